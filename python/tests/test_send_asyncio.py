"""`send.asyncio`."""

import asyncio
import contextlib
import errno
import gc
import socket
import weakref

import numpy as np
import pytest
from sending import Value, endpoint, listener, make_heap, packets, read_all, udp_socket


@pytest.fixture
def sink():
    with udp_socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        yield bound


def udp_stream(lib, sink, **options):
    config = lib.send.StreamConfig(**options)
    return lib.module("send.asyncio").UdpStream(lib.ThreadPool(), [endpoint(sink)], config)


def data_heap(lib, size=3000):
    return make_heap(lib, Value(0x1000, b"x" * size))


async def error_of(future):
    with pytest.raises(OSError) as caught:
        await future
    return caught.value.errno


def test_classes(lib):
    aio = lib.module("send.asyncio")
    for name in ("InprocStream", "TcpStream", "UdpStream"):
        cls = getattr(aio, name)
        assert issubclass(cls, lib.send.Stream)
        assert not issubclass(cls, getattr(lib.send, name))
        assert not hasattr(cls, "send_heap")


async def test_a_heap(lib, sink):
    stream = udp_stream(lib, sink)
    heap = data_heap(lib)
    future = stream.async_send_heap(heap)
    assert isinstance(future, asyncio.Future)
    assert await future == 3128
    assert await stream.async_send_heap(heap, cnt=7, substream_index=0, rate=0.0) == 3128
    expected = packets(lib, heap, 1) + packets(lib, heap, 7)
    assert [sink.recv(2000) for _ in expected] == expected
    assert isinstance(stream.fd, int)
    assert stream.num_substreams == 1


async def test_lists(lib, sink):
    stream = udp_stream(lib, sink)
    mode = lib.send.GroupMode.ROUND_ROBIN
    references = [lib.send.HeapReference(data_heap(lib)) for _ in range(4)]
    assert await stream.async_send_heaps(references, mode) == 4 * 3128
    assert await stream.async_send_heaps(lib.send.HeapReferenceList(references), mode=mode) == 4 * 3128


async def test_what_is_wrong_at_once(lib, sink):
    stream = udp_stream(lib, sink)
    heap, mode = data_heap(lib), lib.send.GroupMode.SERIAL
    for wrong in [(None,), (heap, "a"), (heap, -1, -1), (heap, -1, 0, "a"), (heap, -1, 0, 0.0, 1)]:
        with pytest.raises(TypeError):
            stream.async_send_heap(*wrong)
    for wrong in [(None, mode), ([heap], mode), ([], 0), ([],)]:
        with pytest.raises(TypeError):
            stream.async_send_heaps(*wrong)
    small = udp_stream(lib, sink, max_packet_size=40)
    with pytest.raises(ValueError, match="too small"):
        small.async_send_heap(heap)


async def test_what_is_wrong_when_awaited(lib, sink):
    stream = udp_stream(lib, sink, max_heaps=2)
    heap, mode = data_heap(lib), lib.send.GroupMode.SERIAL
    reference = lib.send.HeapReference(heap)
    assert await error_of(stream.async_send_heap(heap, 2**40)) == errno.EINVAL
    assert await error_of(stream.async_send_heap(heap, -1, 1)) == errno.EINVAL
    assert await error_of(stream.async_send_heaps([], mode)) == errno.EINVAL
    with pytest.raises(BlockingIOError):
        await stream.async_send_heaps([reference] * 3, mode)
    assert await stream.async_send_heaps([reference] * 2, mode) == 2 * 3128


async def test_a_full_queue(lib, sink):
    stream = udp_stream(lib, sink, max_heaps=2, rate=1e6, burst_size=1)
    futures = [stream.async_send_heap(data_heap(lib, 50_000)) for _ in range(4)]
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(result) for result in results] == [int, int, BlockingIOError, BlockingIOError]
    assert await stream.async_send_heap(lib.send.Heap()) == 49


async def test_what_the_system_refuses(lib):
    stream = lib.module("send.asyncio").UdpStream(lib.ThreadPool(), [("127.0.0.1", 0)])
    assert await error_of(stream.async_send_heap(data_heap(lib))) == errno.EINVAL


async def test_results_come_in_order(lib, sink):
    stream = udp_stream(lib, sink, max_heaps=200)
    order = []
    futures = [stream.async_send_heap(data_heap(lib, 100 * i)) for i in range(1, 101)]
    for number, future in enumerate(futures):
        future.add_done_callback(lambda _, number=number: order.append(number))
    await asyncio.gather(*futures)
    await asyncio.sleep(0)
    assert order == list(range(100))


async def test_flushing(lib, sink):
    stream = udp_stream(lib, sink, max_heaps=10, rate=1e6, burst_size=1)
    await stream.async_flush()
    stream.flush()
    futures = [stream.async_send_heap(data_heap(lib, 20_000)) for _ in range(3)]
    await stream.async_flush()
    assert all(future.done() for future in futures)
    future = stream.async_send_heap(data_heap(lib))
    stream.flush()
    assert not future.done()  # only the event loop completes it
    assert await future == 3128
    waits = [asyncio.create_task(stream.async_flush()) for _ in range(3)]
    futures = [stream.async_send_heap(data_heap(lib, 20_000)) for _ in range(3)]
    await asyncio.gather(*waits)
    await asyncio.gather(*futures)


async def test_cancelled_flushes(lib, sink):
    stream = udp_stream(lib, sink, max_heaps=10, rate=1e6, burst_size=1)
    future = stream.async_send_heap(data_heap(lib, 50_000))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stream.async_flush(), 0.001)
    assert await future == sum(map(len, packets(lib, data_heap(lib, 50_000))))
    await stream.async_flush()


async def test_cancelling_loses_nothing(lib, sink):
    stream = udp_stream(lib, sink, max_heaps=10, rate=1e7, burst_size=1)
    heap = data_heap(lib)
    futures = [stream.async_send_heap(heap) for _ in range(6)]
    for future in futures[::2]:
        assert future.cancel()
    await stream.async_flush()
    assert [future.cancelled() for future in futures] == [True, False] * 3
    assert [future.result() for future in futures[1::2]] == [3128] * 3
    expected = [packet for cnt in range(1, 7) for packet in packets(lib, heap, cnt)]
    assert [sink.recv(2000) for _ in expected] == expected
    assert await stream.async_send_heap(heap) == 3128


async def test_heaps_are_let_go_before_futures_are_done(lib, sink):
    stream = udp_stream(lib, sink)
    memory = bytearray(3000)
    array = np.zeros(100)
    heap = make_heap(lib, Value(0x1000, memory), Value(0x1001, array))
    alive = weakref.ref(heap), weakref.ref(array)
    seen = []

    def look(_):
        seen.extend(reference() is not None for reference in alive)
        memory.append(0)

    future = stream.async_send_heap(heap)
    future.add_done_callback(look)
    del heap, array
    with pytest.raises(BufferError):
        memory.append(0)
    await future
    await asyncio.sleep(0)
    assert seen == [False, False]


async def test_a_stream_is_kept_while_something_is_in_flight(lib, sink):
    stream = udp_stream(lib, sink)
    alive = weakref.ref(stream)
    future = stream.async_send_heap(data_heap(lib))
    del stream
    gc.collect()
    assert alive() is not None
    assert await future == 3128
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()
    assert alive() is None


def test_one_loop_after_the_other(lib, sink):
    stream = udp_stream(lib, sink)

    async def send():
        return await stream.async_send_heap(data_heap(lib))

    assert [asyncio.run(send()) for _ in range(3)] == [3128] * 3


def test_a_loop_that_ended_too_early(ours, sink):
    """The reference's stream is of no use to the next loop."""
    stream = udp_stream(ours, sink, max_heaps=10, rate=1e6, burst_size=1)

    async def leave():
        stream.async_send_heap(data_heap(ours, 50_000))

    async def stay():
        return await stream.async_send_heap(data_heap(ours))

    asyncio.run(leave())
    assert asyncio.run(stay()) == 3128


def test_a_loop_that_is_not_running_yet(lib, sink):
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        future = udp_stream(lib, sink).async_send_heap(data_heap(lib))
        assert loop.run_until_complete(future) == 3128
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_without_a_loop(lib, sink):
    with pytest.raises(RuntimeError, match="no current event loop"):
        udp_stream(lib, sink).async_send_heap(data_heap(lib))


async def test_many_tasks(lib, sink):
    stream = udp_stream(lib, sink, max_heaps=1000)

    async def send(number):
        return [await stream.async_send_heap(data_heap(lib, number)) for _ in range(10)]

    results = await asyncio.gather(*(send(number) for number in range(50, 100)))
    assert results == [[48 + number] * 10 for number in range(50, 100)]


async def test_queues(lib):
    queues = [lib.InprocQueue(), lib.InprocQueue()]
    cls = lib.module("send.asyncio").InprocStream
    stream = cls(lib.ThreadPool(), queues, lib.send.StreamConfig())
    assert [mine is yours for mine, yours in zip(stream.queues, queues, strict=True)] == [True] * 2
    assert await stream.async_send_heap(data_heap(lib), substream_index=1) == 3128
    queues[0].stop()
    assert await error_of(stream.async_send_heap(data_heap(lib))) == errno.ECANCELED
    with pytest.raises(ValueError, match="empty"):
        cls(lib.ThreadPool(), [])


async def test_connections(lib):
    class Mine(lib.module("send.asyncio").TcpStream):
        pass

    with listener() as listening:
        config = lib.send.StreamConfig(max_packet_size=200)
        stream = await Mine.connect(
            lib.ThreadPool(), [endpoint(listening)], config, 1000, interface_address="127.0.0.1"
        )
        assert type(stream) is Mine
        peer, _ = listening.accept()
        length = sum(map(len, packets(lib, data_heap(lib), 1, 200)))
        assert await stream.async_send_heap(data_heap(lib)) == length
        del stream
        gc.collect()
        assert len(await asyncio.to_thread(read_all, peer)) == length


async def test_connections_that_cannot_be(lib):
    connect = lib.module("send.asyncio").TcpStream.connect
    pool, config = lib.ThreadPool(), lib.send.StreamConfig()
    with listener() as closed:
        nowhere = [endpoint(closed)]
    with pytest.raises(ConnectionRefusedError):
        await connect(pool, nowhere)
    for wrong in ([], nowhere * 2):
        with pytest.raises(ValueError, match="exactly one"):
            await connect(pool, wrong)
    for arguments in [([("nonsense.invalid", 1)],), (nowhere, config, 0, "192.0.2.1")]:
        with pytest.raises(RuntimeError):
            await connect(pool, *arguments)
    for arguments in [(None, nowhere), (pool,), (pool, [("127.0.0.1", 65536)]), (pool, None)]:
        with pytest.raises(TypeError):
            await connect(*arguments)
    with pytest.raises(TypeError):
        lib.module("send.asyncio").TcpStream(pool, nowhere)


async def test_connecting_can_be_cancelled(ours):
    with listener() as listening, contextlib.ExitStack() as stack:
        full = socket.socket()
        stack.enter_context(full)
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        # A full backlog leaves the next without an answer.
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(endpoint(full))
        connect = ours.module("send.asyncio").TcpStream.connect
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connect(ours.ThreadPool(), [endpoint(full)]), 0.05)
        await connect(ours.ThreadPool(), [endpoint(listening)])
