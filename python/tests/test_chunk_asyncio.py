"""`recv.asyncio.ChunkRingbuffer`."""

import asyncio
import weakref

import chunk_tools as tools
import pytest


@pytest.fixture
def ring(lib):
    return lib.module("recv.asyncio").ChunkRingbuffer(2)


async def turns(count=20):
    """Lets the other tasks run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_it_is_a_ring(lib, ring):
    assert isinstance(ring, lib.recv.ChunkRingbuffer)
    assert (ring.maxsize, ring.qsize()) == (2, 0)
    with pytest.raises(lib.Empty):
        ring.get_nowait()
    chunk = tools.chunk(lib)
    ring.put_nowait(chunk)
    assert ring.get_nowait() is chunk


async def test_get_and_put(lib, ring):
    chunk = tools.chunk(lib)
    await ring.put(chunk)
    assert chunk.data is None
    assert await ring.get() is chunk
    assert chunk.data is not None


async def test_get_waits(lib, ring):
    getting = asyncio.create_task(ring.get())
    await turns()
    assert not getting.done()
    chunk = tools.chunk(lib)
    ring.put_nowait(chunk)
    assert await asyncio.wait_for(getting, 10) is chunk


async def test_put_waits(lib, ring):
    chunks = [tools.chunk(lib) for _ in range(3)]
    await ring.put(chunks[0])
    await ring.put(chunks[1])
    putting = asyncio.create_task(ring.put(chunks[2]))
    await turns()
    assert not putting.done()
    assert await ring.get() is chunks[0]
    await asyncio.wait_for(putting, 10)
    assert [await ring.get(), await ring.get()] == chunks[1:]


async def test_who_waits_longest_is_first(lib, ring):
    order = []

    async def get(name):
        await ring.get()
        order.append(name)

    tasks = []
    for name in range(4):
        tasks.append(asyncio.create_task(get(name)))
        await turns()
    for _ in range(4):
        await ring.put(tools.chunk(lib))
    await asyncio.wait_for(asyncio.gather(*tasks), 10)
    assert order == [0, 1, 2, 3]


async def test_puts_are_in_order_too(lib, ring):
    chunks = [tools.chunk(lib) for _ in range(6)]
    tasks = []
    for chunk in chunks:
        tasks.append(asyncio.create_task(ring.put(chunk)))
        await turns()
    received = [await ring.get() for _ in chunks]
    assert received == chunks
    await asyncio.gather(*tasks)


async def test_cancelling_loses_nothing(ours):
    """Whenever a task is cancelled, its chunk goes to the next; with the reference it may not."""
    ring = ours.module("recv.asyncio").ChunkRingbuffer(2)
    for delay in range(8):
        first = asyncio.create_task(ring.get())
        await turns()
        second = asyncio.create_task(ring.get())
        await turns()
        chunk = tools.chunk(ours)
        ring.put_nowait(chunk)
        await turns(delay)
        first.cancel()
        [outcome] = await asyncio.gather(first, return_exceptions=True)
        if outcome is not chunk:
            assert isinstance(outcome, asyncio.CancelledError)
            assert await asyncio.wait_for(second, 10) is chunk
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        assert ring.empty()


async def test_cancelling_a_put_leaves_the_chunk(lib, ring):
    await ring.put(tools.chunk(lib))
    await ring.put(tools.chunk(lib))
    chunks = [tools.chunk(lib), tools.chunk(lib)]
    tasks = [asyncio.create_task(ring.put(chunk)) for chunk in chunks]
    await turns()
    tasks[0].cancel()
    await turns()
    assert chunks[0].data is not None
    await ring.get()
    await asyncio.wait_for(tasks[1], 10)
    assert chunks[1].data is None


async def test_the_end(lib, ring):
    chunks = [tools.chunk(lib), tools.chunk(lib)]
    for chunk in chunks:
        await ring.put(chunk)
    waiting = asyncio.create_task(ring.put(tools.chunk(lib)))
    await turns()
    ring.stop()
    with pytest.raises(lib.Stopped):
        await asyncio.wait_for(waiting, 10)
    assert [chunk async for chunk in ring] == chunks
    with pytest.raises(lib.Stopped):
        await ring.get()
    with pytest.raises(lib.Stopped):
        await ring.put(chunks[0])
    assert chunks[0].data is not None


async def test_the_end_wakes_all_who_wait(lib, ring):
    tasks = [asyncio.create_task(ring.get()) for _ in range(3)]
    await turns()
    ring.stop()
    for task in tasks:
        with pytest.raises(lib.Stopped):
            await asyncio.wait_for(task, 10)


async def test_other_tasks_have_their_turn(lib, ring):
    """Even if there is always a chunk."""
    turns_of_others = 0

    async def other():
        nonlocal turns_of_others
        while True:
            turns_of_others += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    chunk = tools.chunk(lib)
    for _ in range(10):
        ring.put_nowait(chunk)
        await ring.get()
    assert turns_of_others >= 5
    task.cancel()


async def test_a_stream_fills_it(lib):
    """As the consumers of correlators do: `async for`, and each chunk goes back."""
    data = lib.module("recv.asyncio").ChunkRingbuffer(2)
    _, free = tools.rings(lib, 4)
    stream = lib.recv.ChunkRingStream(
        lib.ThreadPool(), lib.recv.StreamConfig(), tools.config(lib), data, free
    )
    adding = tools.in_thread(stream.add_buffer_reader, tools.packets(range(200)))
    ids = []
    async for chunk in data:
        ids.append(chunk.chunk_id)
        stream.add_free_chunk(chunk)
    assert ids == list(range(50))
    adding()
    stream.stop()


def test_one_loop_after_the_other(lib, ring):
    for _ in range(2):
        chunk = tools.chunk(lib)

        async def through(chunk=chunk):
            getting = asyncio.create_task(ring.get())
            await turns()
            await ring.put(chunk)
            return await getting

        assert asyncio.run(through()) is chunk


def test_threads_may_iterate_over_it(lib, ring):
    chunk = tools.chunk(lib)
    ring.put_nowait(chunk)
    ring.stop()
    assert list(ring) == [chunk]


async def test_it_goes_with_its_last_reference(lib):
    ring = lib.module("recv.asyncio").ChunkRingbuffer(2)
    getting = asyncio.create_task(ring.get())
    await turns()
    await ring.put(tools.chunk(lib))
    await getting
    reference = weakref.ref(ring)
    del getting, ring
    assert reference() is None
