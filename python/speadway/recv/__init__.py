"""Receive SPEAD streams."""

from . import stream_stat_indices
from .._speadway.recv import RingStreamConfig, StreamConfig, StreamStatConfig, StreamStats

__all__ = [
    "RingStreamConfig",
    "StreamConfig",
    "StreamStatConfig",
    "StreamStats",
    "stream_stat_indices",
]
