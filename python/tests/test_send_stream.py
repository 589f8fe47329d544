"""What all synchronous streams do, shown with those to memory and queues."""

import errno
import gc
import threading
import weakref

import numpy as np
import pytest
from sending import Value, bytes_stream, heap_counts, make_heap, packets


def data_heap(lib, size=3000):
    return make_heap(lib, Value(0x1000, b"x" * size))


def refused(error, stream, method, *arguments):
    with pytest.raises(OSError) as caught:
        getattr(stream, method)(*arguments)
    assert caught.value.errno == error
    return caught.value


def test_classes(lib):
    send = lib.send
    for name in ("BytesStream", "InprocStream", "TcpStream", "UdpStream"):
        assert issubclass(getattr(send, name), send.Stream)
    assert not hasattr(send.Stream, "send_heap")
    with pytest.raises(TypeError):
        send.Stream()


def test_what_is_sent_is_the_packets(lib):
    stream = bytes_stream(lib, max_packet_size=200)
    heap = data_heap(lib)
    assert stream.getvalue() == b""
    assert stream.num_substreams == 1
    length = stream.send_heap(heap)
    expected = b"".join(packets(lib, heap, 1, 200))
    assert stream.getvalue() == stream.getvalue() == expected
    assert length == len(expected)
    with pytest.raises(AttributeError):
        stream.num_substreams = 2


def test_configurations_are_copied(lib):
    config = lib.send.StreamConfig(max_packet_size=200)
    stream = lib.send.BytesStream(lib.ThreadPool(), config)
    config.max_packet_size = 1472
    stream.send_heap(data_heap(lib))
    assert stream.getvalue() == b"".join(packets(lib, data_heap(lib), 1, 200))


def test_constructors(lib):
    pool = lib.ThreadPool()
    config = lib.send.StreamConfig()
    lib.send.BytesStream(thread_pool=pool, config=config)
    for arguments in [(), (None,), (pool, None), (config,), (pool, config, 1)]:
        with pytest.raises(TypeError):
            lib.send.BytesStream(*arguments)


def test_subclasses_and_weak_references(lib):
    class Mine(lib.send.BytesStream):
        def __init__(self, note):
            super().__init__(lib.ThreadPool(), lib.send.StreamConfig(max_heaps=1))
            self.note = note

    stream = Mine("hello")
    stream.send_heap(lib.send.Heap())
    reference = weakref.ref(stream)
    del stream
    gc.collect()
    assert reference() is None


def test_a_stream_outlives_its_pool(lib):
    stream = bytes_stream(lib)
    gc.collect()
    assert stream.send_heap(lib.send.Heap()) == 49


def test_heaps_are_numbered(lib):
    stream = bytes_stream(lib)
    heap = lib.send.Heap()
    stream.send_heap(heap)
    refused(errno.EINVAL, stream, "send_heap", heap, -1, 7)
    stream.send_heap(heap, cnt=100)
    stream.send_heap(heap, -5)
    assert heap_counts(stream.getvalue()) == [1, 100, 2]


def test_number_sequences(lib):
    stream = bytes_stream(lib)
    heap = lib.send.Heap()
    stream.set_cnt_sequence(2**40 - 1, 3)
    stream.send_heap(heap)
    stream.send_heap(heap)
    stream.set_cnt_sequence(next=2**64 - 1, step=2**64 - 1)
    stream.send_heap(heap)
    stream.send_heap(heap)
    assert heap_counts(stream.getvalue()) == [2**40 - 1, 2, 2**40 - 1, 2**40 - 2]
    with pytest.raises(ValueError, match="step"):
        stream.set_cnt_sequence(1, 0)
    for wrong in [(-1, 1), (1, -1), (2**64, 1), (1.5, 1), (1,)]:
        with pytest.raises(TypeError):
            stream.set_cnt_sequence(*wrong)


@pytest.mark.parametrize("rate", [-1.0, 0, 1e9, float("inf"), -float("inf"), float("nan")])
def test_rates(lib, rate):
    stream = bytes_stream(lib)
    assert stream.send_heap(data_heap(lib), rate=rate) == 3128
    heaps = [lib.send.HeapReference(data_heap(lib), rate=rate)] * 2
    assert stream.send_heaps(heaps, lib.send.GroupMode.SERIAL) == 2 * 3128


@pytest.mark.parametrize(
    ("number", "arguments"),
    [
        (errno.EINVAL, (2**40,)),
        (errno.EINVAL, (-1, 1)),
        (None, (2**64,)),
        (None, (1.5,)),
        (None, (-1, -1)),
        (None, (-1, 0, "fast")),
        (None, (-1, 0, 1.0, 1)),
    ],
)
def test_impossible_sends(lib, number, arguments):
    stream = bytes_stream(lib)
    heap = lib.send.Heap()
    if number is None:
        with pytest.raises(TypeError):
            stream.send_heap(heap, *arguments)
    else:
        refused(number, stream, "send_heap", heap, *arguments)
    for wrong in (None, "heap", 5):
        with pytest.raises(TypeError):
            stream.send_heap(wrong)
    with pytest.raises(TypeError):
        stream.send_heap(heap, colour=1)
    assert stream.getvalue() == b""


@pytest.mark.parametrize("size", [0, 40, 55])
def test_packets_too_small_for_anything(lib, size):
    stream = bytes_stream(lib, max_packet_size=size)
    with pytest.raises(ValueError, match="packet size is too small"):
        stream.send_heap(lib.send.Heap())
    with pytest.raises(ValueError, match="packet size is too small"):
        stream.send_heaps([lib.send.HeapReference(lib.send.Heap())], lib.send.GroupMode.SERIAL)


def test_a_list_is_sent_whole_or_not_at_all(lib):
    large = make_heap(lib, *(Value(0x1000 + i, b"x" * 20) for i in range(4)), repeat=True)
    small = lib.send.Heap()
    stream = bytes_stream(lib, max_packet_size=64, max_heaps=2)
    ref, serial = lib.send.HeapReference, lib.send.GroupMode.SERIAL
    with pytest.raises(ValueError, match="repeat item pointers"):
        stream.send_heaps([ref(small), ref(large)], serial)
    refused(errno.EINVAL, stream, "send_heaps", [ref(small), ref(small, substream_index=1)], serial)
    refused(errno.EINVAL, stream, "send_heaps", [ref(small), ref(small, cnt=2**40)], serial)
    assert stream.getvalue() == b""
    stream.send_heaps([ref(small), ref(small)], serial)
    assert heap_counts(stream.getvalue()) == [1, 2]


def test_impossible_lists(lib):
    stream = bytes_stream(lib)
    ref, serial = lib.send.HeapReference(lib.send.Heap()), lib.send.GroupMode.SERIAL
    for empty in ([], (), lib.send.HeapReferenceList([])):
        refused(errno.EINVAL, stream, "send_heaps", empty, serial)
    for arguments in [
        ([ref], 1),
        ([ref], None),
        ([ref],),
        ([lib.send.Heap()], serial),
        (None, serial),
        (iter([ref]), serial),
    ]:
        with pytest.raises(TypeError):
            stream.send_heaps(*arguments)
    assert stream.send_heaps(heaps=[ref], mode=serial) == 49


@pytest.mark.parametrize("max_heaps", [1, 2, 3, 5])
def test_every_heap_of_a_list_takes_a_place_in_the_queue(lib, max_heaps):
    stream = bytes_stream(lib, max_heaps=max_heaps)
    ref, serial = lib.send.HeapReference(lib.send.Heap()), lib.send.GroupMode.SERIAL
    stream.send_heaps([ref] * max_heaps, serial)
    for heaps in ([ref] * (max_heaps + 1), lib.send.HeapReferenceList([ref] * (max_heaps + 1))):
        with pytest.raises(BlockingIOError) as caught:
            stream.send_heaps(heaps, serial)
        assert caught.value.errno == errno.EAGAIN
    stream.send_heaps((ref,) * max_heaps, serial)
    assert heap_counts(stream.getvalue()) == list(range(1, 2 * max_heaps + 1))


def test_orders_of_packets(lib):
    heaps = [data_heap(lib, size) for size in (200, 500, 100)]
    refs = [lib.send.HeapReference(heap) for heap in heaps]
    made = [packets(lib, heap, cnt, 160) for cnt, heap in enumerate(heaps, 1)]
    stream = bytes_stream(lib, max_packet_size=160)
    stream.send_heaps(refs, lib.send.GroupMode.SERIAL)
    assert stream.getvalue() == b"".join(b"".join(heap) for heap in made)
    stream = bytes_stream(lib, max_packet_size=160)
    stream.send_heaps(refs, lib.send.GroupMode.ROUND_ROBIN)
    in_turn = [heap[i] for i in range(6) for heap in made if i < len(heap)]
    assert stream.getvalue() == b"".join(in_turn)


def test_memory_is_free_once_it_is_sent(lib):
    stream = bytes_stream(lib)
    memory = bytearray(10000)
    stream.send_heap(make_heap(lib, Value(0x1000, memory)))
    memory.append(0)
    array = np.zeros(100)
    alive = weakref.ref(array)
    stream.send_heaps(
        [lib.send.HeapReference(make_heap(lib, Value(0x1000, array)))] * 2,
        lib.send.GroupMode.SERIAL,
    )
    del array
    assert alive() is None


def test_other_threads_run_while_one_sends(lib):
    """A heap that takes a second, and a thread that needs the GIL to end the wait for it."""
    stream = bytes_stream(lib, rate=4e5, burst_size=1)
    heap = data_heap(lib, 100_000)
    sender = threading.Thread(target=stream.send_heap, args=(heap,))
    sender.start()
    turns = 0
    while sender.is_alive():
        turns += 1
        sender.join(0.001)
    assert turns > 10


def test_threads_fill_the_queue(lib):
    stream = bytes_stream(lib, rate=1e6, burst_size=1, max_heaps=2)
    heap = data_heap(lib, 50_000)
    outcomes = []
    start = threading.Barrier(4)

    def send():
        start.wait()
        try:
            outcomes.append(stream.send_heap(heap))
        except BlockingIOError:
            outcomes.append(None)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(None) == 2
    assert stream.send_heap(lib.send.Heap()) == 49


def test_queues(lib):
    queues = [lib.InprocQueue(), lib.InprocQueue()]
    stream = lib.send.InprocStream(lib.ThreadPool(), queues)
    assert stream.num_substreams == 2
    assert [mine is yours for mine, yours in zip(stream.queues, queues, strict=True)] == [True] * 2
    with pytest.raises(AttributeError):
        stream.queues = []
    for index in (0, 1):
        assert stream.send_heap(data_heap(lib), substream_index=index) == 3128
    refused(errno.EINVAL, stream, "send_heap", data_heap(lib), -1, 2)
    queues[0].stop()
    refused(errno.ECANCELED, stream, "send_heap", data_heap(lib))
    assert stream.send_heap(data_heap(lib), substream_index=1) == 3128


def test_constructors_with_queues(lib):
    pool, queue, config = lib.ThreadPool(), lib.InprocQueue(), lib.send.StreamConfig()
    lib.send.InprocStream(pool, (queue, queue), config)
    lib.send.InprocStream(thread_pool=pool, queues=[queue], config=config)
    with pytest.raises(ValueError, match="empty"):
        lib.send.InprocStream(pool, [])
    for wrong in (None, iter([queue]), queue, [5]):
        with pytest.raises(TypeError):
            lib.send.InprocStream(pool, wrong)
    with pytest.raises(TypeError):
        lib.send.InprocStream(pool, [queue], None)


def test_huge_queues_are_refused(ours):
    with pytest.raises(MemoryError):
        bytes_stream(ours, max_heaps=2**60)
