"""Receive SPEAD streams."""

from . import stream_stat_indices
from .._speadway.recv import (
    Heap,
    IncompleteHeap,
    RingStreamConfig,
    Stream,
    StreamConfig,
    StreamStatConfig,
    StreamStats,
    UdpIbvConfig,
)

__all__ = [
    "Heap",
    "IncompleteHeap",
    "RingStreamConfig",
    "Stream",
    "StreamConfig",
    "StreamStatConfig",
    "StreamStats",
    "UdpIbvConfig",
    "stream_stat_indices",
]
