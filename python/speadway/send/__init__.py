"""Send SPEAD streams."""

from .._speadway.send import (
    BytesStream,
    GroupMode,
    Heap,
    HeapReference,
    HeapReferenceList,
    InprocStream,
    PacketGenerator,
    RateMethod,
    Stream,
    StreamConfig,
    TcpStream,
    UdpStream,
)

__all__ = [
    "BytesStream",
    "GroupMode",
    "Heap",
    "HeapReference",
    "HeapReferenceList",
    "InprocStream",
    "PacketGenerator",
    "RateMethod",
    "Stream",
    "StreamConfig",
    "TcpStream",
    "UdpStream",
]
