import asyncio
import enum
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Protocol, overload

from . import Flavour, InprocQueue, RawDescriptor, ThreadPool, _AnyBuffer

class _HasFileno(Protocol):
    def fileno(self) -> int: ...

class _Item(Protocol):
    @property
    def id(self) -> int: ...
    def to_buffer(self) -> _AnyBuffer: ...
    def allow_immediate(self) -> bool: ...

class _Descriptor(Protocol):
    def to_raw(self, flavour: Flavour) -> RawDescriptor: ...

_Endpoints = Sequence[tuple[str, int]]

class GroupMode(enum.Enum):
    ROUND_ROBIN = 0
    SERIAL = 1

class RateMethod(enum.Enum):
    SW = 0
    HW = 1
    AUTO = 2

class StreamConfig:
    DEFAULT_MAX_PACKET_SIZE: ClassVar[int]
    DEFAULT_MAX_HEAPS: ClassVar[int]
    DEFAULT_BURST_SIZE: ClassVar[int]
    DEFAULT_BURST_RATE_RATIO: ClassVar[float]
    DEFAULT_RATE_METHOD: ClassVar[RateMethod]
    max_packet_size: int
    rate: float
    burst_size: int
    max_heaps: int
    burst_rate_ratio: float
    rate_method: RateMethod
    def __init__(
        self,
        *,
        max_packet_size: int = ...,
        rate: float = ...,
        burst_size: int = ...,
        max_heaps: int = ...,
        burst_rate_ratio: float = ...,
        rate_method: RateMethod = ...,
    ) -> None: ...
    @property
    def burst_rate(self) -> float: ...

class Heap:
    repeat_pointers: bool
    def __init__(self, flavour: Flavour = ...) -> None: ...
    @property
    def flavour(self) -> Flavour: ...
    def add_item(self, item: _Item) -> None: ...
    def add_descriptor(self, descriptor: _Descriptor) -> None: ...
    def add_start(self) -> None: ...
    def add_end(self) -> None: ...

class HeapReference:
    cnt: int
    substream_index: int
    rate: float
    def __init__(
        self, heap: Heap, *, cnt: int = -1, substream_index: int = 0, rate: float = -1.0
    ) -> None: ...
    @property
    def heap(self) -> Heap: ...

class HeapReferenceList:
    def __init__(self, heaps: Sequence[HeapReference]) -> None: ...
    def __len__(self) -> int: ...
    def __getitem__(self, key: slice, /) -> HeapReferenceList: ...

class PacketGenerator:
    def __init__(self, heap: Heap, cnt: int, max_packet_size: int) -> None: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def __next__(self) -> bytes: ...

class Stream:
    def set_cnt_sequence(self, next: int, step: int) -> None: ...
    @property
    def num_substreams(self) -> int: ...

class SyncStream(Stream):
    def send_heap(
        self, heap: Heap, cnt: int = ..., substream_index: int = ..., rate: float = ...
    ) -> int: ...
    def send_heaps(
        self, heaps: HeapReferenceList | Sequence[HeapReference], mode: GroupMode
    ) -> int: ...

class AsyncStream(Stream):
    @property
    def fd(self) -> int: ...
    def flush(self) -> None: ...
    def process_callbacks(self) -> bool: ...
    def _queue_heap(
        self, future: asyncio.Future[int], heap: Heap, cnt: int, substream_index: int, rate: float
    ) -> None: ...
    def _queue_heaps(
        self,
        future: asyncio.Future[int],
        heaps: HeapReferenceList | Sequence[HeapReference],
        mode: GroupMode,
    ) -> None: ...
    def _queue_flush(self, future: asyncio.Future[Any]) -> bool: ...

class UdpStream(SyncStream):
    DEFAULT_BUFFER_SIZE: ClassVar[int]
    @overload
    def __init__(
        self,
        thread_pool: ThreadPool,
        endpoints: _Endpoints,
        config: StreamConfig = ...,
        buffer_size: int = ...,
        interface_address: str = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        thread_pool: ThreadPool,
        endpoints: _Endpoints,
        config: StreamConfig = ...,
        buffer_size: int = ...,
        ttl: int = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        thread_pool: ThreadPool,
        endpoints: _Endpoints,
        config: StreamConfig,
        buffer_size: int,
        ttl: int,
        interface_address: str,
    ) -> None: ...
    @overload
    def __init__(
        self,
        thread_pool: ThreadPool,
        endpoints: _Endpoints,
        config: StreamConfig,
        buffer_size: int,
        ttl: int,
        interface_index: int,
    ) -> None: ...
    @overload
    def __init__(
        self,
        thread_pool: ThreadPool,
        socket: _HasFileno,
        endpoints: _Endpoints,
        config: StreamConfig = ...,
    ) -> None: ...

class TcpStream(SyncStream):
    DEFAULT_BUFFER_SIZE: ClassVar[int]
    @overload
    def __init__(
        self,
        thread_pool: ThreadPool,
        endpoints: _Endpoints,
        config: StreamConfig = ...,
        buffer_size: int = ...,
        interface_address: str = ...,
    ) -> None: ...
    @overload
    def __init__(
        self, thread_pool: ThreadPool, socket: _HasFileno, config: StreamConfig = ...
    ) -> None: ...

class BytesStream(SyncStream):
    def __init__(self, thread_pool: ThreadPool, config: StreamConfig = ...) -> None: ...
    def getvalue(self) -> bytes: ...

class InprocStream(SyncStream):
    def __init__(
        self,
        thread_pool: ThreadPool,
        queues: Sequence[InprocQueue],
        config: StreamConfig = ...,
    ) -> None: ...
    @property
    def queues(self) -> list[InprocQueue]: ...

class UdpStreamAsyncio(AsyncStream):
    DEFAULT_BUFFER_SIZE: ClassVar[int]
    @overload
    def __init__(
        self,
        thread_pool: ThreadPool,
        endpoints: _Endpoints,
        config: StreamConfig = ...,
        buffer_size: int = ...,
        interface_address: str = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        thread_pool: ThreadPool,
        endpoints: _Endpoints,
        config: StreamConfig = ...,
        buffer_size: int = ...,
        ttl: int = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        thread_pool: ThreadPool,
        endpoints: _Endpoints,
        config: StreamConfig,
        buffer_size: int,
        ttl: int,
        interface_address: str,
    ) -> None: ...
    @overload
    def __init__(
        self,
        thread_pool: ThreadPool,
        endpoints: _Endpoints,
        config: StreamConfig,
        buffer_size: int,
        ttl: int,
        interface_index: int,
    ) -> None: ...
    @overload
    def __init__(
        self,
        thread_pool: ThreadPool,
        socket: _HasFileno,
        endpoints: _Endpoints,
        config: StreamConfig = ...,
    ) -> None: ...

class TcpStreamAsyncio(AsyncStream):
    DEFAULT_BUFFER_SIZE: ClassVar[int]
    def __init__(
        self, thread_pool: ThreadPool, socket: _HasFileno, config: StreamConfig = ...
    ) -> None: ...

class InprocStreamAsyncio(AsyncStream):
    def __init__(
        self,
        thread_pool: ThreadPool,
        queues: Sequence[InprocQueue],
        config: StreamConfig = ...,
    ) -> None: ...
    @property
    def queues(self) -> list[InprocQueue]: ...
