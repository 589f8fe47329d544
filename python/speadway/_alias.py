"""speadway under the name spead2."""

import importlib
import importlib.util
import logging
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from importlib.abc import Loader

_OURS = "speadway"
_THEIRS = "spead2"


def install() -> None:
    """What `speadway.install_as_spead2` does."""
    ours = sys.modules[_OURS]
    if sys.modules.get(_THEIRS) is ours:
        return
    if _THEIRS in sys.modules:
        raise RuntimeError(
            "spead2 is already imported: call install_as_spead2() before anything imports it"
        )
    # In front of all others: they would find our files, and load them a second time.
    sys.meta_path.insert(0, _Finder())
    sys.modules[_THEIRS] = ours
    # Levels and handlers of the logger `spead2` then are those of our messages, too.
    logging.getLogger(_OURS).parent = logging.getLogger(_THEIRS)


class _Finder:
    """Finds and loads `spead2.name` as the module that `speadway.name` is."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(f"{_THEIRS}."):
            return None
        if importlib.util.find_spec(_our_name(fullname)) is None:
            return None
        return ModuleSpec(fullname, cast("Loader", self))

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(_our_name(spec.name))
        # The import system is about to set another.
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is not None and spec.name.startswith(f"{_THEIRS}."):
            module.__spec__ = spec.loader_state


def _our_name(name: str) -> str:
    parts = [_OURS, *name.split(".")[1:]]
    return ".".join("_speadway" if part == "_spead2" else part for part in parts)
