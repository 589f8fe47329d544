"""Receive SPEAD streams."""

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
    UdpIbvConfig,
)
from ._chunk import ChunkRingPair, ChunkRingStream, ChunkStreamRingGroup
from ._chunks import Chunks, Tally

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
    "UdpIbvConfig",
    "stream_stat_indices",
]
