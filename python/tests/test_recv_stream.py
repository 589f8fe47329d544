"""`recv.Stream`, its heaps and their items."""

import gc
import select
import threading
import weakref

import numpy as np
import packets
import pytest
from waiting import eventually


def make(lib, ring=None, pool=None, **options):
    ring_config = lib.recv.RingStreamConfig(**(ring or {}))
    return lib.recv.Stream(pool or lib.ThreadPool(), lib.recv.StreamConfig(**options), ring_config)


def received(lib, data, ring=None, **options):
    """A stream that receives `data`, and the heaps it delivers."""
    stream = make(lib, ring, **options)
    stream.add_buffer_reader(data)
    heaps = list(stream)
    stream.stop()  # statistics may lag behind until then
    return stream, heaps


def test_heaps_arrive_in_order_and_whole(lib):
    _, heaps = received(lib, packets.stream(7, 5000))
    assert [heap.cnt for heap in heaps] == [1, 2, 3, 4, 5, 6, 7]
    assert [packets.number_of(heap) for heap in heaps] == list(range(7))
    for number, heap in enumerate(heaps):
        assert isinstance(heap, lib.recv.Heap)
        np.testing.assert_array_equal(packets.data_of(heap), packets.values(number, 5000))


def test_get_waits_and_then_says_that_the_stream_has_ended(lib):
    stream = make(lib)
    timer = threading.Timer(0.05, stream.add_buffer_reader, [packets.stream(2)])
    timer.start()
    assert [stream.get().cnt, stream.get().cnt] == [1, 2]
    for _ in range(2):
        with pytest.raises(lib.Stopped):
            stream.get()
        with pytest.raises(lib.Stopped):
            stream.get_nowait()
    assert list(stream) == []
    timer.join()


def test_get_nowait_does_not_wait(lib):
    stream = make(lib)
    with pytest.raises(lib.Empty):
        stream.get_nowait()
    stream.add_buffer_reader(packets.stream(1))
    eventually(lambda: stream.ringbuffer.size() == 1, timeout=10)
    assert stream.get_nowait().cnt == 1


def test_iteration(lib):
    stream = make(lib)
    assert iter(stream) is stream
    stream.add_buffer_reader(packets.stream(3))
    assert next(stream).cnt == 1
    assert [heap.cnt for heap in stream] == [2, 3]
    with pytest.raises(StopIteration):
        next(stream)


def test_several_threads_share_a_stream(lib):
    stream = make(lib)
    numbers, lock = [], threading.Lock()

    def consume():
        for heap in stream:
            with lock:
                numbers.append(packets.number_of(heap))

    threads = [threading.Thread(target=consume) for _ in range(4)]
    for thread in threads:
        thread.start()
    stream.add_buffer_reader(packets.stream(200))
    for thread in threads:
        thread.join(10)
    assert sorted(numbers) == list(range(200))


def test_the_ring(lib):
    stream = make(lib, ring={"heaps": 3})
    ring = stream.ringbuffer
    assert ring is stream.ringbuffer
    assert isinstance(ring, lib.recv.Stream.Ringbuffer)
    assert (ring.size(), ring.capacity()) == (0, 3)
    stream.add_buffer_reader(packets.stream(5))
    eventually(lambda: stream.stats.worker_blocked == 1, timeout=10)
    assert ring.size() == 3
    assert len(list(stream)) == 5


def test_the_descriptor_is_readable_while_there_is_something_to_get(lib):
    stream = make(lib)

    def readable(timeout):
        return select.select([stream.fd], [], [], timeout)[0] != []

    assert stream.fd == stream.fd
    assert not readable(0)
    stream.add_buffer_reader(packets.stream(2))
    assert readable(5)
    stream.get()
    assert readable(5)
    stream.get()
    assert readable(5)  # the end
    with pytest.raises(lib.Stopped):
        stream.get_nowait()
    assert readable(0)


def test_items_are_addressed_ones_by_place_then_immediates_by_value(lib):
    items = [(0x2000, None, 4), (0x2001, 9), (0x2002, None, 0), (0x2003, 3), (0x2004, None, 4)]
    data = packets.packet(5, b"abcdefgh", length=8, items=items)
    _, [heap] = received(lib, data)
    shown = [(item.id, item.is_immediate, bytes(item)) for item in heap.get_items()]
    assert shown == [
        (0x2002, False, b"abcd"),
        # 0x2000 has no bytes: 0x2004 starts where it does
        (0x2004, False, b"efgh"),
        (0x2003, True, b"\0\0\0\0\3"),
        (0x2001, True, b"\0\0\0\0\11"),
    ]
    assert [item.immediate_value for item in heap.get_items()[2:]] == [3, 9]


def test_immediates_are_as_wide_as_the_flavour_has_them(lib):
    data = packets.packet(5, b"", length=0, items=[(0x2001, 0x010203)], address_bits=48)
    _, [heap] = received(lib, data)
    assert bytes(heap.get_items()[0]) == b"\0\0\0\1\2\3"
    assert heap.flavour == lib.Flavour(4, 64, 48)


def test_flavours_have_the_bug_compatibility_of_the_stream(lib):
    data = packets.packet(5, b"", length=0, items=[(0x2001, 1)])
    _, [heap] = received(lib, data, bug_compat=3)
    assert heap.flavour == lib.Flavour(4, 64, 40, 3)


def test_an_item_is_a_buffer_of_bytes(lib):
    _, [heap] = received(lib, packets.stream(1, 100))
    item = heap.get_items()[0]
    view = memoryview(item)
    assert (view.format, view.shape, view.strides, view.readonly) == ("B", (100,), (1,), False)
    assert (view.ndim, view.itemsize, view.nbytes) == (1, 1, 100)
    array = np.array(item, np.uint8, copy=False)
    np.testing.assert_array_equal(array, packets.values(0, 100))
    other = np.asarray(heap.get_items()[0])
    array[3] = 99
    assert other[3] == 99  # the same memory
    immediate = heap.get_items()[1]
    assert np.frombuffer(immediate, np.uint8).tolist() == [0, 0, 0, 0, 0]


def test_arrays_outlive_their_heap(lib):
    _, heaps = received(lib, packets.stream(3, 2000))
    array = np.array(heaps[1].get_items()[0], np.uint8, copy=False)
    del heaps
    gc.collect()
    np.testing.assert_array_equal(array, packets.values(1, 2000))


def test_an_item_keeps_its_heap_alive(lib):
    _, [heap] = received(lib, packets.stream(1, 2000))
    reference = weakref.ref(heap)
    item = heap.get_items()[0]
    del heap
    gc.collect()
    assert reference() is not None
    assert weakref.ref(item)() is item
    assert issubclass(type("Mine", (type(item),), {}), type(item))
    del item
    gc.collect()
    assert reference() is None


def test_descriptors_are_not_items(lib):
    _, heaps = received(lib, packets.stream(2, 16))
    assert [item.id for item in heaps[0].get_items()] == [packets.DATA, packets.NUMBER]
    data, number = heaps[0].get_descriptors()
    assert (data.id, data.name, data.description) == (packets.DATA, b"data", b"some bytes")
    assert (data.shape, data.format) == ([], [])
    assert eval(data.numpy_header) == {"descr": "|u1", "fortran_order": False, "shape": (16,)}
    assert (number.id, number.name) == (packets.NUMBER, b"number")
    assert (number.shape, number.format, number.numpy_header) == ([], [("u", 40)], b"")
    assert heaps[1].get_descriptors() == []


def test_raw_descriptors_can_be_made_and_changed(lib):
    _, [heap] = received(lib, packets.stream(1, 16))
    descriptor = type(heap.get_descriptors()[0])()
    assert (descriptor.id, descriptor.name, descriptor.description) == (0, b"", b"")
    assert (descriptor.shape, descriptor.format, descriptor.numpy_header) == ([], [], b"")
    descriptor.id = 5
    descriptor.name = b"n"
    descriptor.description = b"d"
    descriptor.shape = (2, None)
    descriptor.format = [("u", 8), ("c", 16)]
    descriptor.numpy_header = b"h"
    assert (descriptor.id, descriptor.name, descriptor.description) == (5, b"n", b"d")
    assert (descriptor.shape, descriptor.format) == ([2, None], [("u", 8), ("c", 16)])
    assert descriptor.numpy_header == b"h"
    for name, wrong in [("id", "a"), ("name", "n"), ("format", ["u"]), ("shape", 3)]:
        with pytest.raises(TypeError):
            setattr(descriptor, name, wrong)
    with pytest.raises(ValueError):
        descriptor.format = [("uu", 8)]


def test_start_and_end_of_stream(lib):
    data = b"".join(packets.encode([packets.start(), *packets.heaps(1), packets.end()]))
    _, heaps = received(lib, data, stop_on_stop_item=False)
    assert [heap.is_start_of_stream() for heap in heaps] == [True, False, False]
    assert [heap.is_end_of_stream() for heap in heaps] == [False, False, True]


def test_the_heap_that_ends_the_stream_is_not_delivered(lib):
    data = packets.stream(2) + packets.stream(3)
    stream, heaps = received(lib, data)
    assert len(heaps) == 2
    # The stop heap's packet counts, those after it do not.
    assert (stream.stats.heaps, stream.stats.packets) == (2, 3)


def test_heaps_cannot_be_made(lib):
    _, [heap] = received(lib, packets.stream(1))
    for cls in (lib.recv.Heap, lib.recv.IncompleteHeap, type(heap.get_items()[0])):
        with pytest.raises(TypeError):
            cls()


def test_statistics(lib):
    stream, _ = received(lib, packets.stream(3, 5000))
    stats = dict(stream.stats)
    # Four packets of data a heap; the stop heap is a single packet.
    assert stats["heaps"] == 3
    assert stats["packets"] == 13
    assert (stats["batches"], stats["max_batch"]) == (1, 13)
    assert stats["single_packet_heaps"] == 1
    assert stats["search_dist"] >= 12
    assert stats["incomplete_heaps_evicted"] == stats["incomplete_heaps_flushed"] == 0


def test_counters_tell_what_became_of_packets(ours):
    stream, _ = received(ours, packets.stream(3, 5000) + b"rubbish!")
    counters = stream.counters
    assert counters["packets"] == 13
    assert counters["heaps.placed"] == 3
    assert counters["heaps.stop"] == 1
    received_packets = counters["packets_received"]
    discarded = sum(value for name, value in counters.items() if name.startswith("packets_discarded."))
    assert received_packets == counters["packets_placed"] + discarded


def incomplete(lib, **ring):
    """The first 2 of 4 packets of one heap of 5000 bytes, and what the stream makes of them."""
    first_two = b"".join(packets.encode(packets.heaps(1, 5000))[:2])
    return received(lib, first_two, ring=ring)


def test_incomplete_heaps_are_dropped(lib):
    stream, heaps = incomplete(lib)
    assert heaps == []
    assert (stream.stats.heaps, stream.stats.incomplete_heaps_flushed) == (1, 1)


@pytest.mark.parametrize("keep", [False, True])
def test_incomplete_heaps_are_delivered_on_request(lib, keep):
    _, [heap] = incomplete(lib, contiguous_only=False, incomplete_keep_payload_ranges=keep)
    assert isinstance(heap, lib.recv.IncompleteHeap)
    assert not isinstance(heap, lib.recv.Heap)
    assert heap.cnt == 1
    assert heap.flavour == lib.Flavour()
    assert 0 < heap.received_length < heap.heap_length
    assert heap.payload_ranges == ([(0, heap.received_length)] if keep else [])
    assert [(item.id, bytes(item)) for item in heap.get_items()] == [(packets.NUMBER, bytes(5))]
    assert not heap.is_start_of_stream()
    assert not heap.is_end_of_stream()
    assert not hasattr(heap, "get_descriptors")
    assert weakref.ref(heap)() is heap


def test_ranges_of_heaps_out_of_order(lib):
    payload = bytes(range(100))
    parts = [(10, 20), (40, 60), (60, 70)]
    data = b"".join(
        packets.packet(1, payload[a:b], offset=a, length=100, items=[(0x2000, None, 0)]) for a, b in parts
    )
    ring = {"contiguous_only": False, "incomplete_keep_payload_ranges": True}
    _, [heap] = received(lib, data, ring=ring, allow_out_of_order=True)
    assert heap.payload_ranges == [(10, 20), (40, 70)]
    assert (heap.received_length, heap.heap_length) == (40, 100)


def test_heaps_of_unknown_length(lib):
    data = packets.packet(1, b"abcd", items=[(0x2000, None, 0)]) + packets.packet(1, b"efgh", offset=4)
    stream, [heap] = received(lib, data)
    assert bytes(heap.get_items()[0]) == b"abcdefgh"
    assert stream.stats.incomplete_heaps_flushed == 1
    stream, heaps = received(lib, data, allow_unsized_heaps=False)
    assert heaps == []
    assert (stream.stats.packets, stream.stats.heaps) == (2, 0)


def test_an_incomplete_heap_of_unknown_length(lib):
    data = packets.packet(1, b"abcd", items=[(0x2000, None, 20)])
    _, [heap] = received(lib, data, ring={"contiguous_only": False})
    assert isinstance(heap, lib.recv.IncompleteHeap)
    assert heap.heap_length == -1


def test_order_within_heaps(lib):
    parts = [packets.packet(1, b"efgh", offset=4, length=8), packets.packet(1, b"abcd", length=8)]
    data = b"".join(parts)
    _, heaps = received(lib, data)
    assert heaps == []
    _, [heap] = received(lib, data, allow_out_of_order=True)
    assert heap.cnt == 1


def test_substreams_do_not_push_out_each_others_heaps(lib):
    first = packets.packet(0, b"abcd", length=8)
    others = b"".join(packets.packet(2 * n + 1, b"abcd", length=8) for n in range(4))
    rest = packets.packet(0, b"efgh", offset=4, length=8)
    data = first + others + rest
    _, heaps = received(lib, data, max_heaps=2)
    assert heaps == []
    stream, [heap] = received(lib, data, max_heaps=2, substreams=2)
    assert heap.cnt == 0
    assert stream.stats.incomplete_heaps_evicted == 2


def test_single_packet_heaps_are_delivered_each_time(lib):
    data = packets.packet(7, b"abcd", length=4) * 3
    _, heaps = received(lib, data)
    assert [heap.cnt for heap in heaps] == [7, 7, 7]


def test_stopping_keeps_what_is_in_the_ring(lib):
    stream = make(lib)
    stream.add_buffer_reader(packets.stream(10))
    eventually(lambda: stream.stats.worker_blocked == 1, timeout=10)
    stream.stop()
    assert stream.ringbuffer.size() == 4
    assert [heap.cnt for heap in stream] == [1, 2, 3, 4]
    with pytest.raises(lib.Stopped):
        stream.get()
    stream.stop()


def test_stopping_drops_heaps_under_assembly(lib):
    queue = lib.InprocQueue()
    stream = make(lib, ring={"contiguous_only": False})
    stream.add_inproc_reader(queue)
    for packet in packets.encode(packets.heaps(1, 5000))[:2]:
        queue.add_packet(packet)
    eventually(lambda: stream.stats.packets == 2, timeout=10)
    stream.stop()
    assert list(stream) == []


def test_stopping_wakes_those_who_wait(lib):
    stream = make(lib)
    outcome = []

    def consume():
        with pytest.raises(lib.Stopped):
            stream.get()
        outcome.append("stopped")

    thread = threading.Thread(target=consume)
    thread.start()
    stream.stop()
    thread.join(10)
    assert outcome == ["stopped"]


def test_constructors(lib):
    pool = lib.ThreadPool()
    lib.recv.Stream(thread_pool=pool, config=lib.recv.StreamConfig(), ring_config=lib.recv.RingStreamConfig())
    for wrong in [(), (None,), (pool, None), (pool, lib.recv.StreamConfig(), None), (pool, 3), (3,)]:
        with pytest.raises(TypeError):
            lib.recv.Stream(*wrong)
    with pytest.raises(TypeError):
        lib.recv.Stream(pool, heaps=3)


def test_subclasses(lib):
    class Counting(lib.recv.Stream):
        def __init__(self, name):
            super().__init__(lib.ThreadPool())
            self.name = name

        def get(self):
            return super().get().cnt

    stream = Counting("mine")
    stream.add_buffer_reader(packets.stream(2))
    assert (stream.name, stream.get()) == ("mine", 1)


def test_constructors_must_be_called(lib):
    class Lazy(lib.recv.Stream):
        def __init__(self):
            pass

    for use in ["get", "stop", "start"]:
        with pytest.raises(TypeError, match="__init__"):
            getattr(Lazy(), use)()


def test_a_second_constructor_call_changes_nothing(ours):
    stream = make(ours, ring={"heaps": 3})
    stream.__init__(ours.ThreadPool())
    assert stream.ring_config.heaps == 3
    stream.add_buffer_reader(packets.stream(2))
    assert len(list(stream)) == 2


def test_streams_end_with_their_last_reference(lib):
    stream = make(lib)
    stream.add_udp_reader(0, bind_hostname="127.0.0.1", buffer_size=0)
    reference = weakref.ref(stream)
    del stream
    gc.collect()
    assert reference() is None


def test_heaps_outlive_their_stream(lib):
    stream = make(lib)
    stream.add_buffer_reader(packets.stream(1, 3000))
    heap = stream.get()
    reference = weakref.ref(stream)
    del stream
    gc.collect()
    assert reference() is None
    np.testing.assert_array_equal(packets.data_of(heap), packets.values(0, 3000))


def test_other_threads_run_while_one_waits(lib):
    stream = make(lib)
    started, count = threading.Event(), 0
    waiting = threading.Thread(target=lambda: (started.set(), list(stream)))
    waiting.start()
    started.wait()
    for _ in range(100_000):
        count += 1
    assert waiting.is_alive()
    stream.stop()
    waiting.join(10)
    assert count == 100_000
