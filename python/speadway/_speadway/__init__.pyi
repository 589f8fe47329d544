from collections.abc import Sequence
from typing import Any, Final, TypeAlias, overload

import numpy.typing as npt
from typing_extensions import Buffer

from .._item import Item
from .._item_group import ItemGroup
from . import recv as recv
from . import send as send
from .recv import Heap

# Type checkers know arrays as buffers from Python 3.12 on only.
_AnyBuffer: TypeAlias = Buffer | npt.NDArray[Any]

__version__: str

BUG_COMPAT_DESCRIPTOR_WIDTHS: Final = 1
BUG_COMPAT_SHAPE_BIT_1: Final = 2
BUG_COMPAT_SWAP_ENDIAN: Final = 4
BUG_COMPAT_PYSPEAD_0_5_2: Final = 7
CTRL_STREAM_START: Final = 0
CTRL_DESCRIPTOR_REISSUE: Final = 1
CTRL_STREAM_STOP: Final = 2
CTRL_DESCRIPTOR_UPDATE: Final = 3
NULL_ID: Final = 0
HEAP_CNT_ID: Final = 1
HEAP_LENGTH_ID: Final = 2
PAYLOAD_OFFSET_ID: Final = 3
PAYLOAD_LENGTH_ID: Final = 4
DESCRIPTOR_ID: Final = 5
STREAM_CTRL_ID: Final = 6
DESCRIPTOR_NAME_ID: Final = 16
DESCRIPTOR_DESCRIPTION_ID: Final = 17
DESCRIPTOR_SHAPE_ID: Final = 18
DESCRIPTOR_FORMAT_ID: Final = 19
DESCRIPTOR_ID_ID: Final = 20
DESCRIPTOR_DTYPE_ID: Final = 21
MEMCPY_STD: Final = 0
MEMCPY_NONTEMPORAL: Final = 1

class Empty(Exception): ...
class Full(Exception): ...
class Stopped(Exception): ...

class Flavour:
    @overload
    def __init__(
        self, version: int, item_pointer_bits: int, heap_address_bits: int, bug_compat: int = 0
    ) -> None: ...
    @overload
    def __init__(self) -> None: ...
    @property
    def version(self) -> int: ...
    @property
    def item_pointer_bits(self) -> int: ...
    @property
    def heap_address_bits(self) -> int: ...
    @property
    def bug_compat(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

class ThreadPool:
    def __init__(self, threads: int = 1, affinity: Sequence[int] = ()) -> None: ...
    def stop(self) -> None: ...
    @staticmethod
    def set_affinity(core: int) -> None: ...

class MemoryAllocator:
    def __init__(self) -> None: ...

class MmapAllocator(MemoryAllocator):
    def __init__(
        self, flags: int = 0, prefer_huge: bool = False, *, node: int | None = None
    ) -> None: ...

def node_of_core(core: int) -> int: ...

class MemoryPool(MemoryAllocator):
    @overload
    def __init__(
        self,
        lower: int,
        upper: int,
        max_free: int,
        initial: int,
        allocator: MemoryAllocator | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        thread_pool: ThreadPool,
        lower: int,
        upper: int,
        max_free: int,
        initial: int,
        low_water: int,
        allocator: MemoryAllocator | None = None,
    ) -> None: ...
    warn_on_empty: bool

class InprocQueue:
    def __init__(self) -> None: ...
    def add_packet(self, packet: _AnyBuffer, /) -> None: ...
    def stop(self) -> None: ...

class RawDescriptor:
    def __init__(self) -> None: ...
    id: int
    name: bytes
    description: bytes
    shape: Sequence[int | None]
    format: Sequence[tuple[str, int]]
    numpy_header: bytes

def log_info(message: str) -> None: ...
def stop_all() -> None: ...
def pack_bits(format: Sequence[tuple[str, int]], elements: list[Any]) -> bytearray: ...
def unpack_bits(format: Sequence[tuple[str, int]], raw: _AnyBuffer, count: int) -> list[Any]: ...
def update_items(group: ItemGroup, heap: Heap, new_order: str) -> dict[str, Item] | None: ...
