"""`recv.asyncio.Stream`."""

import asyncio
import gc
import weakref

import packets
import pytest


def make(lib, **ring):
    ring_config = lib.recv.RingStreamConfig(**ring)
    return lib.module("recv.asyncio").Stream(lib.ThreadPool(), ring_config=ring_config)


async def until_waiting():
    """Lets the tasks that were made get as far as they can."""
    for _ in range(5):
        await asyncio.sleep(0)


def add_heaps(lib, queue, count, first=0):
    to_send = packets.heaps(count, 100, first=first, descriptors="none")
    for packet in packets.encode(to_send):
        queue.add_packet(packet)


@pytest.fixture
def fed(lib):
    """A stream, and the queue it receives from."""
    queue = lib.InprocQueue()
    stream = make(lib)
    stream.add_inproc_reader(queue)
    return stream, queue


async def test_get(lib):
    stream = make(lib)
    stream.add_buffer_reader(packets.stream(2))
    assert [(await stream.get()).cnt, (await stream.get()).cnt] == [1, 2]
    for _ in range(2):
        with pytest.raises(lib.Stopped):
            await stream.get()


async def test_iteration(lib):
    stream = make(lib)
    stream.add_buffer_reader(packets.stream(20))
    assert [heap.cnt async for heap in stream] == list(range(1, 21))
    assert [heap.cnt async for heap in stream] == []


async def test_it_is_a_stream_too(lib):
    stream = make(lib)
    assert isinstance(stream, lib.recv.Stream)
    with pytest.raises(lib.Empty):
        stream.get_nowait()
    stream.add_buffer_reader(packets.stream(3))
    assert (await stream.get()).cnt == 1
    assert [heap.cnt for heap in stream] == [2, 3]


async def test_others_run_meanwhile(lib, fed):
    stream, queue = fed
    task = asyncio.create_task(stream.get())
    await until_waiting()
    assert not task.done()
    add_heaps(lib, queue, 1)
    assert packets.number_of(await asyncio.wait_for(task, 10)) == 0


async def test_others_run_while_there_is_always_a_heap(lib):
    stream = make(lib)
    stream.add_buffer_reader(packets.stream(50))
    other = asyncio.create_task(asyncio.sleep(0, "done"))
    async for _ in stream:
        if other.done():
            break
    assert other.done()
    stream.stop()


async def test_who_waits_first_is_served_first(lib, fed):
    stream, queue = fed
    tasks = [asyncio.create_task(stream.get()) for _ in range(10)]
    await until_waiting()
    add_heaps(lib, queue, 10)
    heaps = await asyncio.wait_for(asyncio.gather(*tasks), 10)
    assert [packets.number_of(heap) for heap in heaps] == list(range(10))


async def test_a_cancelled_task_takes_no_heap_with_it(lib, fed):
    stream, queue = fed
    for at in [0, 1, 2]:
        tasks = [asyncio.create_task(stream.get()) for _ in range(3)]
        await until_waiting()
        tasks[at].cancel()
        add_heaps(lib, queue, 2, first=2 * at)
        others = [task for task in tasks if task is not tasks[at]]
        heaps = await asyncio.wait_for(asyncio.gather(*others), 10)
        assert [packets.number_of(heap) for heap in heaps] == [2 * at, 2 * at + 1]
        with pytest.raises(asyncio.CancelledError):
            await tasks[at]


async def test_a_task_that_is_cancelled_when_its_heap_is_there(lib, fed):
    stream, queue = fed
    first, second = (asyncio.create_task(stream.get()) for _ in range(2))
    await until_waiting()
    add_heaps(lib, queue, 1)
    while stream.ringbuffer.size() == 0 and not first.done():
        pass
    # Whatever the loop does first: the heap goes to the one or the other.
    asyncio.get_running_loop().call_soon(first.cancel)
    done, _ = await asyncio.wait([first, second], timeout=10, return_when=asyncio.FIRST_COMPLETED)
    await until_waiting()
    if first.cancelled():
        heap = await asyncio.wait_for(second, 10)
    else:
        heap = await first
        second.cancel()
    assert packets.number_of(heap) == 0


async def test_cancelling_at_any_moment_loses_nothing(ours):
    queue = ours.InprocQueue()
    stream = make(ours)
    stream.add_inproc_reader(queue)
    numbers = []

    async def consume():
        heap = await stream.get()
        numbers.append(packets.number_of(heap))

    for number in range(50):
        tasks = [asyncio.create_task(consume()) for _ in range(3)]
        for _ in range(number % 5):
            await asyncio.sleep(0)
        add_heaps(ours, queue, 1, first=number)
        for _ in range(number % 7):
            await asyncio.sleep(0)
        for task in tasks[:2]:
            task.cancel()
        await asyncio.wait(tasks, timeout=0.01)
        tasks[2].cancel()
        await asyncio.wait(tasks)
    queue.stop()
    async for heap in stream:
        numbers.append(packets.number_of(heap))
    assert numbers == list(range(50))


async def test_waiting_for_too_long(lib, fed):
    stream, queue = fed
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(stream.get(), 0.01)
    add_heaps(lib, queue, 1)
    assert packets.number_of(await asyncio.wait_for(stream.get(), 10)) == 0


async def test_stopping_wakes_all_who_wait(lib, fed):
    stream, _ = fed
    tasks = [asyncio.create_task(stream.get()) for _ in range(3)]
    await until_waiting()
    stream.stop()
    for outcome in await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10):
        assert isinstance(outcome, lib.Stopped)


async def test_the_end_of_a_queue_ends_the_iteration(lib, fed):
    stream, queue = fed

    async def consume():
        return [packets.number_of(heap) async for heap in stream]

    task = asyncio.create_task(consume())
    await until_waiting()
    add_heaps(lib, queue, 3)
    queue.stop()
    assert await asyncio.wait_for(task, 10) == [0, 1, 2]


async def test_streams_end_with_their_last_reference(ours):
    # The reference's stays until the loop is closed.
    stream = make(ours)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(stream.get(), 0.01)
    reference = weakref.ref(stream)
    del stream
    gc.collect()
    assert reference() is None


def test_one_loop_after_the_other(lib):
    queue = lib.InprocQueue()
    stream = make(lib)
    stream.add_inproc_reader(queue)
    for number in range(3):

        async def one(number=number):
            task = asyncio.create_task(stream.get())
            await until_waiting()
            add_heaps(lib, queue, 1, first=number)
            return packets.number_of(await task)

        assert asyncio.run(one()) == number
