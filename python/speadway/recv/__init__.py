"""Receive SPEAD streams."""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from . import stream_stat_indices
from .._speadway.recv import (
    Axis,
    Chunk,
    ChunkRingbuffer,
    ChunkStreamConfig,
    ChunkStreamGroupConfig,
    ChunkStreamGroupMember,
    Heap,
    IncompleteHeap,
    Layout,
    RingStreamConfig,
    Stream,
    StreamConfig,
    StreamStatConfig,
    StreamStats,
)
from ._chunk import ChunkRingPair, ChunkRingStream, ChunkStreamRingGroup

if _TYPE_CHECKING:
    from ._chunks import Chunks, Tally


def __getattr__(name: str) -> _Any:
    # What takes longer to import than all the rest, and not every program needs.
    if name in ("Chunks", "Tally"):
        from . import _chunks

        return getattr(_chunks, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Axis",
    "Chunk",
    "ChunkRingPair",
    "ChunkRingStream",
    "ChunkRingbuffer",
    "ChunkStreamConfig",
    "ChunkStreamGroupConfig",
    "ChunkStreamGroupMember",
    "ChunkStreamRingGroup",
    "Chunks",
    "Heap",
    "IncompleteHeap",
    "Layout",
    "RingStreamConfig",
    "Stream",
    "StreamConfig",
    "StreamStatConfig",
    "StreamStats",
    "Tally",
    "stream_stat_indices",
]
