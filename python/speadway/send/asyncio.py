"""Send SPEAD streams from asyncio: what is queued is awaited."""

import asyncio
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from .. import ThreadPool
from .._speadway.send import (
    AsyncStream,
    GroupMode,
    Heap,
    HeapReference,
    HeapReferenceList,
    InprocStreamAsyncio,
    StreamConfig,
    TcpStreamAsyncio,
    UdpStreamAsyncio,
)

__all__ = ["InprocStream", "TcpStream", "UdpStream"]


if TYPE_CHECKING:
    _Native = AsyncStream
else:
    # Joined with a native class that is one: Python must not lay out another.
    _Native = object


class _Futures(_Native):
    """What asyncio's streams have in common."""

    _watching: asyncio.AbstractEventLoop | None = None

    def async_send_heap(
        self, heap: Heap, cnt: int = -1, substream_index: int = 0, rate: float = -1.0
    ) -> asyncio.Future[int]:
        """Queue a heap. The result is the bytes of its packets, when they have been sent.

        Raises ValueError at once if the packets are too small for the heap. What else can go wrong
        is raised when the future is awaited: BlockingIOError if the queue is full, OSError for what
        the system refuses. Cancelling the future does not take the heap back.
        """
        loop = asyncio.get_event_loop()
        future = loop.create_future()
        self._queue_heap(future, heap, cnt, substream_index, rate)
        if self._watching is not loop:
            self._watch(loop)
        return future

    def async_send_heaps(
        self, heaps: HeapReferenceList | Sequence[HeapReference], mode: GroupMode
    ) -> asyncio.Future[int]:
        """Queue a list of heaps, all or none of them. The result is the bytes of all packets."""
        loop = asyncio.get_event_loop()
        future = loop.create_future()
        self._queue_heaps(future, heaps, mode)
        if self._watching is not loop:
            self._watch(loop)
        return future

    async def async_flush(self) -> None:
        """Wait until all that was queued so far has been sent or has failed."""
        future = asyncio.get_running_loop().create_future()
        if self._queue_flush(future):
            await future

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have `loop` complete the futures, while there are some."""
        self._unwatch()
        loop.add_reader(self.fd, self._process)
        self._watching = loop

    def _unwatch(self) -> None:
        loop, self._watching = self._watching, None
        if loop is not None and not loop.is_closed():
            loop.remove_reader(self.fd)

    def _process(self) -> None:
        if not self.process_callbacks():
            self._unwatch()


class UdpStream(_Futures, UdpStreamAsyncio):
    """Sends heaps as UDP packets. The constructors are those of `speadway.send.UdpStream`."""


class InprocStream(_Futures, InprocStreamAsyncio):
    """Sends heaps to queues in this process, each of which is a substream."""


class TcpStream(_Futures, TcpStreamAsyncio):
    """Sends heaps over a TCP connection: one that there is, or see `connect`."""

    @classmethod
    async def connect(
        cls,
        thread_pool: ThreadPool,
        endpoints: Sequence[tuple[str, int]],
        config: StreamConfig | None = None,
        buffer_size: int = TcpStreamAsyncio.DEFAULT_BUFFER_SIZE,
        interface_address: str = "",
    ) -> Self:
        """Connect to the one endpoint, a pair of host and port. OSError if it is refused."""
        if not isinstance(thread_pool, ThreadPool):
            raise TypeError(f"thread_pool must be a ThreadPool, not {type(thread_pool).__name__}")
        if len(endpoints) != 1:
            raise ValueError("endpoints must contain exactly one element")
        config = StreamConfig() if config is None else config
        connection = await _connect(*endpoints[0], buffer_size, interface_address)
        with connection:
            return cls(thread_pool, connection, config)


async def _connect(host: str, port: int, buffer_size: int, interface: str) -> socket.socket:
    loop = asyncio.get_running_loop()
    if not 0 <= port <= 65535:
        raise TypeError(f"a port is from 0 to 65535, not {port}")
    family, address = await _resolve(loop, host, port)
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        if buffer_size > 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_size)
        if interface:
            await _bind(loop, connection, interface)
        await loop.sock_connect(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection


async def _bind(
    loop: asyncio.AbstractEventLoop, connection: socket.socket, interface: str
) -> None:
    _, address = await _resolve(loop, interface, 0)
    try:
        connection.bind(address)
    except OSError as error:
        raise RuntimeError(f"cannot send from {interface!r}: {error}") from error


async def _resolve(
    loop: asyncio.AbstractEventLoop, host: str, port: int
) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    try:
        found = await loop.getaddrinfo(host or "localhost", port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise RuntimeError(f"Host not found: {host!r} ({error})") from error
    family, _, _, _, address = found[0]
    return family, address
