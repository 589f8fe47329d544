"""Receive and send SPEAD streams."""

import atexit as _atexit
from importlib import import_module as _import_module
from types import ModuleType as _ModuleType

from ._descriptor import Descriptor
from ._item import Item
from ._item_group import ItemGroup
from ._ranges import parse_range_list
from ._speadway import (
    BUG_COMPAT_DESCRIPTOR_WIDTHS,
    BUG_COMPAT_PYSPEAD_0_5_2,
    BUG_COMPAT_SHAPE_BIT_1,
    BUG_COMPAT_SWAP_ENDIAN,
    CTRL_DESCRIPTOR_REISSUE,
    CTRL_DESCRIPTOR_UPDATE,
    CTRL_STREAM_START,
    CTRL_STREAM_STOP,
    DESCRIPTOR_DESCRIPTION_ID,
    DESCRIPTOR_DTYPE_ID,
    DESCRIPTOR_FORMAT_ID,
    DESCRIPTOR_ID,
    DESCRIPTOR_ID_ID,
    DESCRIPTOR_NAME_ID,
    DESCRIPTOR_SHAPE_ID,
    Empty,
    Flavour,
    Full,
    HEAP_CNT_ID,
    HEAP_LENGTH_ID,
    InprocQueue,
    MEMCPY_NONTEMPORAL,
    MEMCPY_STD,
    MemoryAllocator,
    MemoryPool,
    MmapAllocator,
    NULL_ID,
    PAYLOAD_LENGTH_ID,
    PAYLOAD_OFFSET_ID,
    STREAM_CTRL_ID,
    Stopped,
    ThreadPool,
    __version__,
    node_of_core,
)
from ._speadway import stop_all as _stop_all

_atexit.register(_stop_all)

for _class in (Descriptor, Item, ItemGroup):
    _class.__module__ = __name__  # where users find them


def install_as_spead2() -> None:
    """Have `import spead2`, and imports of its submodules, find speadway.

    To be called before anything imports spead2: if it is there already, `RuntimeError` is raised. What
    speadway logs then reaches the logger `spead2`, too.
    """
    from ._alias import install  # which few programs need

    install()


def __getattr__(name: str) -> _ModuleType:
    # For programs that import nothing but this package.
    if name in ("recv", "send", "tools"):
        return _import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "BUG_COMPAT_DESCRIPTOR_WIDTHS",
    "BUG_COMPAT_PYSPEAD_0_5_2",
    "BUG_COMPAT_SHAPE_BIT_1",
    "BUG_COMPAT_SWAP_ENDIAN",
    "CTRL_DESCRIPTOR_REISSUE",
    "CTRL_DESCRIPTOR_UPDATE",
    "CTRL_STREAM_START",
    "CTRL_STREAM_STOP",
    "DESCRIPTOR_DESCRIPTION_ID",
    "DESCRIPTOR_DTYPE_ID",
    "DESCRIPTOR_FORMAT_ID",
    "DESCRIPTOR_ID",
    "DESCRIPTOR_ID_ID",
    "DESCRIPTOR_NAME_ID",
    "DESCRIPTOR_SHAPE_ID",
    "Descriptor",
    "Empty",
    "Flavour",
    "Full",
    "HEAP_CNT_ID",
    "HEAP_LENGTH_ID",
    "InprocQueue",
    "Item",
    "ItemGroup",
    "MEMCPY_NONTEMPORAL",
    "MEMCPY_STD",
    "MemoryAllocator",
    "MemoryPool",
    "MmapAllocator",
    "NULL_ID",
    "PAYLOAD_LENGTH_ID",
    "PAYLOAD_OFFSET_ID",
    "STREAM_CTRL_ID",
    "Stopped",
    "ThreadPool",
    "__version__",
    "install_as_spead2",
    "node_of_core",
    "parse_range_list",
]
