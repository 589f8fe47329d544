"""Receive SPEAD streams."""

from . import stream_stat_indices
from .._speadway.recv import (
    Axis,
    Chunk,
    ChunkRingbuffer,
    ChunkStreamConfig,
    ChunkStreamGroupConfig,
    ChunkStreamGroupMember,
    Layout,
    RingStreamConfig,
    StreamConfig,
    StreamStatConfig,
    StreamStats,
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
    "Layout",
    "RingStreamConfig",
    "StreamConfig",
    "StreamStatConfig",
    "StreamStats",
    "Tally",
    "stream_stat_indices",
]
