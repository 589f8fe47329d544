"""Helpers for functions that numba compiles."""

from typing import Any

import numba.core.cgutils
from numba import types
from numba.extending import intrinsic


@intrinsic  # type: ignore[untyped-decorator]
def intp_to_voidptr(_context: Any, src: Any) -> Any:
    """Make a void pointer of an integer (`intp` or `uintp`).

    Records of numba cannot have pointers, so the pointers in `recv.numba.chunk_place_data` are
    integers.
    """
    if src not in (types.intp, types.uintp):
        return None

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], numba.core.cgutils.voidptr_t)

    return types.voidptr(src), generate


__all__ = ["intp_to_voidptr"]
