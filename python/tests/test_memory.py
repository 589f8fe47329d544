"""Allocators, and the constants."""

import gc
import logging
import mmap
import threading
import weakref

import numpy as np
import packets
import pytest
from waiting import eventually


def receive(lib, allocator, size=5000, count=3):
    config = lib.recv.StreamConfig(memory_allocator=allocator)
    stream = lib.recv.Stream(lib.ThreadPool(), config)
    stream.add_buffer_reader(packets.stream(count, size))
    heaps = list(stream)
    assert [packets.number_of(heap) for heap in heaps] == list(range(count))
    for number, heap in enumerate(heaps):
        np.testing.assert_array_equal(packets.data_of(heap), packets.values(number, size))
    return heaps


def test_allocators(lib):
    for allocator in [
        lib.MemoryAllocator(),
        lib.MmapAllocator(),
        lib.MmapAllocator(0, True),
        lib.MmapAllocator(flags=0, prefer_huge=True),
        lib.MmapAllocator(mmap.MAP_POPULATE),
        lib.MemoryPool(1, 4096, 4, 1),
        lib.MemoryPool(4096, 8192, 4, 1),
        lib.MemoryPool(lower=1, upper=8192, max_free=4, initial=1, allocator=lib.MmapAllocator()),
        lib.MemoryPool(1, 8192, 0, 0, None),
        lib.MemoryPool(1, 8192, 1, 3),
    ]:
        assert isinstance(allocator, lib.MemoryAllocator)
        assert weakref.ref(allocator)() is allocator
        receive(lib, allocator)


def test_pools_may_be_shared_and_nested(lib):
    inner = lib.MemoryPool(100, 1000, 4, 1)
    outer = lib.MemoryPool(4096, 8192, 4, 1, inner)
    threads = [threading.Thread(target=receive, args=(lib, outer)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_heaps_outlive_their_pool(lib):
    heaps = receive(lib, lib.MemoryPool(1, 8192, 4, 1))
    array = np.array(heaps[2].get_items()[0], np.uint8, copy=False)
    del heaps
    np.testing.assert_array_equal(array, packets.values(2, 5000))


@pytest.mark.parametrize(
    "arguments",
    [(), (1, 2, 3), (1, -1, 3, 1), (1, 2, 3, "a"), (1, 2, 3, 1, 3), (1, 2, 3, 1, None, 5), (None, 1, 2, 3, 1, 0)],
)
def test_pools_that_cannot_be(lib, arguments):
    with pytest.raises(TypeError):
        lib.MemoryPool(*arguments)


def test_a_pool_that_holds_nothing_is_refused(ours):
    # The reference accepts it, and then never uses it.
    with pytest.raises(ValueError, match="lower must not exceed upper"):
        ours.MemoryPool(3, 2, 1, 1)


def test_an_mmap_allocator_that_cannot_be(lib):
    for arguments in [("a",), (2**40,), (0, "a"), (0, False, 1)]:
        with pytest.raises(TypeError):
            lib.MmapAllocator(*arguments)


def test_mapped_memory_may_be_of_one_node(ours):
    try:
        allocator = ours.MmapAllocator(prefer_huge=True, node=ours.node_of_core(0))
    except ValueError as error:
        assert "NUMA node 0: Operation not permitted" in str(error)  # as in some containers
    else:
        receive(ours, allocator)


def test_a_node_that_is_not_there(ours):
    with pytest.raises(ValueError, match="NUMA node 63: "):
        ours.MmapAllocator(node=63)
    for node in ["0", -1, 1.5]:
        with pytest.raises((TypeError, OverflowError)):
            ours.MmapAllocator(node=node)
    with pytest.raises(FileNotFoundError, match="core 100000"):
        ours.node_of_core(100000)


def test_a_pool_that_runs_dry_warns(lib, caplog):
    pool = lib.MemoryPool(1, 8192, 4, 0)
    assert pool.warn_on_empty is True
    with caplog.at_level(logging.WARNING):
        receive(lib, pool, count=1)
        eventually(lambda: "memory pool is empty when allocating" in caplog.text, timeout=10)


def test_a_pool_can_run_dry_quietly(lib, caplog):
    pool = lib.MemoryPool(4096, 8192, 4, 0)
    pool.warn_on_empty = False
    assert pool.warn_on_empty is False
    with pytest.raises(TypeError):
        pool.warn_on_empty = "no"
    receive(lib, pool)
    receive(lib, lib.MemoryPool(4096, 8192, 4, 0), count=1)  # warns, after what the other might say
    eventually(lambda: "memory pool is empty" in caplog.text, timeout=10)
    assert caplog.text.count("memory pool is empty") == 1


def test_a_pool_that_is_filled_in_the_background(ours):
    # The reference's wheel refuses all arguments of this constructor, though it has it.
    pool = ours.MemoryPool(ours.ThreadPool(), 1, 8192, 8, 2, 2)
    receive(ours, pool)
    by_name = ours.MemoryPool(
        thread_pool=ours.ThreadPool(),
        lower=1,
        upper=8192,
        max_free=8,
        initial=2,
        low_water=2,
        allocator=ours.MmapAllocator(),
    )
    receive(ours, by_name)
    with pytest.raises(TypeError):
        ours.MemoryPool(ours.ThreadPool(), 1, 8192, 8, 2)


def test_subclasses(lib):
    class Tuned(lib.MemoryPool):
        def __init__(self, size):
            super().__init__(1, size, 4, 1)
            self.size = size

    tuned = Tuned(8192)
    receive(lib, tuned)
    assert tuned.size == 8192

    class Lazy(lib.MemoryAllocator):
        def __init__(self):
            pass

    with pytest.raises(TypeError, match="__init__"):
        receive(lib, Lazy())


def test_heaps_too_large_for_memory_are_discarded(ours):
    # The reference's allocator throws, in its worker.
    data = packets.packet(1, b"abcd", length=2**39) + packets.stream(1)
    stream = ours.recv.Stream(ours.ThreadPool())
    stream.add_buffer_reader(data)
    assert len(list(stream)) == 1
    stream.stop()
    assert stream.counters["packets_discarded.heap_too_large"] == 1


def test_constants(lib):
    expected = {
        "BUG_COMPAT_DESCRIPTOR_WIDTHS": 1,
        "BUG_COMPAT_SHAPE_BIT_1": 2,
        "BUG_COMPAT_SWAP_ENDIAN": 4,
        "BUG_COMPAT_PYSPEAD_0_5_2": 7,
        "NULL_ID": 0,
        "HEAP_CNT_ID": 1,
        "HEAP_LENGTH_ID": 2,
        "PAYLOAD_OFFSET_ID": 3,
        "PAYLOAD_LENGTH_ID": 4,
        "DESCRIPTOR_ID": 5,
        "STREAM_CTRL_ID": 6,
        "DESCRIPTOR_NAME_ID": 16,
        "DESCRIPTOR_DESCRIPTION_ID": 17,
        "DESCRIPTOR_SHAPE_ID": 18,
        "DESCRIPTOR_FORMAT_ID": 19,
        "DESCRIPTOR_ID_ID": 20,
        "DESCRIPTOR_DTYPE_ID": 21,
        "CTRL_STREAM_START": 0,
        "CTRL_DESCRIPTOR_REISSUE": 1,
        "CTRL_STREAM_STOP": 2,
        "CTRL_DESCRIPTOR_UPDATE": 3,
        "MEMCPY_STD": 0,
        "MEMCPY_NONTEMPORAL": 1,
    }
    for name, value in expected.items():
        assert getattr(lib.root, name) == value


def test_allocators_go_with_their_last_user(lib):
    allocator = lib.MemoryPool(1, 8192, 4, 1)
    reference = weakref.ref(allocator)
    heaps = receive(lib, allocator)
    del allocator
    gc.collect()
    assert reference() is None
    assert len(heaps) == 3
