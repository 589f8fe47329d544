"""Streams of every kind, made and given up again and again, leave nothing behind."""

import asyncio
import functools
import socket

import chunk_tools as tools
import packets
import pytest
from footprint import check_growth
from sending import Value

CYCLES = 200
# What a cycle works with in bytes, and half of what a leak of that would come to: allocators keep
# some of what the tests before have used.
SIZE = 64 << 10
ENOUGH = CYCLES * SIZE // 2


def big_heap(lib):
    heap = lib.send.Heap()
    heap.add_item(Value(0x1000, bytearray(SIZE)))
    return heap


def chunk_stream(lib, number):
    stream = tools.stream(lib, chunks=4, size=SIZE // tools.HEAPS)
    stream.add_buffer_reader(tools.packets(range(8), SIZE // tools.HEAPS, stop=True))
    if number % 2:
        for chunk in stream.data_ringbuffer:
            stream.add_free_chunk(chunk)
    elif number % 4:
        stream.stop()


def chunk_group(lib, number):
    lossless = lib.recv.ChunkStreamGroupConfig.EvictionMode.LOSSLESS
    config = lib.recv.ChunkStreamGroupConfig(max_chunks=4, eviction_mode=lossless)
    group = lib.recv.ChunkStreamRingGroup(config, *tools.rings(lib, 8, size=SIZE // tools.HEAPS))
    pool = lib.ThreadPool()
    for _ in range(2):
        group.emplace_back(pool, lib.recv.StreamConfig(), tools.config(lib))
    for member in group:
        data = tools.packets(range(8), SIZE // tools.HEAPS, stop=True)
        member.add_buffer_reader(data)
    if number % 2:
        for chunk in group.data_ringbuffer:
            group.add_free_chunk(chunk)
    elif number % 4:
        group[0].stop()


def inproc(lib, number):
    queue, pool = lib.InprocQueue(), lib.ThreadPool()
    receiver = lib.recv.Stream(pool)
    receiver.add_inproc_reader(queue)
    sender = lib.send.InprocStream(pool, [queue])
    sender.send_heap(big_heap(lib))
    if number % 2:
        queue.stop()
        assert len(list(receiver)) == 1


def tcp(lib, number):
    receiver = lib.recv.Stream(lib.ThreadPool())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        receiver.add_tcp_reader(listener)
        endpoint = listener.getsockname()
        sender = lib.send.TcpStream(lib.ThreadPool(), [endpoint])
    sender.send_heap(big_heap(lib))
    del sender
    if number % 2:
        assert len(list(receiver)) == 1


def in_loop(coroutine):
    @functools.wraps(coroutine)
    def cycle(lib, number):
        asyncio.run(coroutine(lib, number))

    return cycle


@in_loop
async def asyncio_heaps(lib, number):
    stream = lib.module("recv.asyncio").Stream(lib.ThreadPool())
    waiting = asyncio.create_task(stream.get())
    await asyncio.sleep(0)
    if number % 2:
        waiting.cancel()
    stream.add_buffer_reader(packets.stream(4, SIZE // 4, stop=True))
    async for _ in stream:
        pass
    await asyncio.gather(waiting, return_exceptions=True)


@in_loop
async def asyncio_chunks(lib, number):
    ring = lib.module("recv.asyncio").ChunkRingbuffer(4)
    _, free = tools.rings(lib, 4, size=SIZE // tools.HEAPS)
    stream = lib.recv.ChunkRingStream(
        lib.ThreadPool(), lib.recv.StreamConfig(), tools.config(lib), ring, free
    )
    waiting = asyncio.create_task(ring.get())
    await asyncio.sleep(0)
    if number % 2:
        waiting.cancel()
    stream.add_buffer_reader(tools.packets(range(8), SIZE // tools.HEAPS, stop=True))
    async for chunk in ring:
        stream.add_free_chunk(chunk)
    await asyncio.gather(waiting, return_exceptions=True)


@in_loop
async def asyncio_senders(lib, number):
    pool, queue, send = lib.ThreadPool(), lib.InprocQueue(), lib.module("send.asyncio")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        to_tcp = await send.TcpStream.connect(pool, [listener.getsockname()])
        taking, _ = listener.accept()
    with taking:
        senders = [send.InprocStream(pool, [queue]), to_tcp]
        futures = [sender.async_send_heap(big_heap(lib)) for sender in senders]
        if number % 2:
            await asyncio.gather(*futures)
            await asyncio.gather(*(sender.async_flush() for sender in senders))


@pytest.mark.parametrize(
    "cycle",
    [chunk_stream, chunk_group, inproc, tcp, asyncio_heaps, asyncio_chunks, asyncio_senders],
)
def test_nothing_is_left_behind(ours, cycle):
    check_growth(lambda number: cycle(ours, number), bytes=ENOUGH, warm_up=40, cycles=CYCLES)
