"""`recv.ChunkRingStream`: windows, rings, and how streams end."""

import gc
import threading
import weakref

import chunk_tools as tools
import numpy as np
import pytest
import spead2
from waiting import eventually


def test_what_it_is(lib):
    data, free = tools.rings(lib, 2)
    stream = lib.recv.ChunkRingStream(
        thread_pool=lib.ThreadPool(),
        config=lib.recv.StreamConfig(stream_id=5),
        chunk_stream_config=tools.config(lib),
        data_ringbuffer=data,
        free_ringbuffer=free,
    )
    assert stream.data_ringbuffer is data and stream.free_ringbuffer is free
    assert isinstance(stream, lib.recv.ChunkRingPair)
    assert weakref.ref(stream)() is stream
    assert stream.config.stream_id == 5
    assert stream.config is not stream.config  # copies
    stream.stop()


def test_the_configuration_of_the_stream_may_be_left_out(lib):
    data, free = tools.rings(lib, 2)
    lib.recv.ChunkRingStream(
        lib.ThreadPool(),
        chunk_stream_config=tools.config(lib), data_ringbuffer=data, free_ringbuffer=free,
    ).stop()  # fmt: skip


def test_heaps_have_to_say_their_length(lib):
    config = lib.recv.StreamConfig(stream_id=5)
    stream = tools.stream(lib, stream_config=config)
    assert (stream.config.stream_id, stream.config.allow_unsized_heaps) == (5, False)
    assert config.allow_unsized_heaps is True
    stream.stop()


def test_wrong_arguments(lib):
    pool, config, chunks = lib.ThreadPool(), lib.recv.StreamConfig(), tools.config(lib)
    rings = tools.rings(lib, 2)
    make = lib.recv.ChunkRingStream
    with pytest.raises(ValueError, match="place is not set"):
        make(pool, config, lib.recv.ChunkStreamConfig(), *rings)
    for wrong in [
        (), (None, config, chunks, *rings), (pool, 5, chunks, *rings), (pool, None, chunks, *rings),
        (pool, config, None, *rings),
        (pool, config, chunks), (pool, config, chunks, rings[0]), (pool, config, chunks, None, None),
        (pool, config, chunks, *rings, 1),
    ]:  # fmt: skip
        with pytest.raises(TypeError):
            make(*wrong)
    # Nothing has happened to the rings.
    with pytest.raises(lib.Empty):
        rings[0].get_nowait()


def test_a_pair_of_rings_alone_cannot_be_made(lib):
    class Mine(lib.recv.ChunkRingPair):
        pass

    for make in (lib.recv.ChunkRingPair, Mine):
        with pytest.raises(TypeError, match="No constructor defined"):
            make()


def test_a_subclass_may_have_another_constructor(lib):
    class Mine(lib.recv.ChunkRingStream):
        def __init__(self, note):
            self.note = note
            super().__init__(
                lib.ThreadPool(), lib.recv.StreamConfig(), tools.config(lib), *tools.rings(lib, 2)
            )

    stream = Mine("mine")
    assert stream.note == "mine" and stream.data_ringbuffer.maxsize == 2
    stream.stop()


@pytest.mark.parametrize(
    ("window", "numbers", "ids"),
    [
        (4, [0], [0]),
        (4, [5], [0, 1]),
        (4, [400], [97, 98, 99, 100]),
        (4, [40, 80], [7, 8, 9, 10, 17, 18, 19, 20]),
        (4, [40, 36, 44], [7, 8, 9, 10, 11]),
        (4, [40, 52], [7, 8, 9, 10, 11, 12, 13]),
        (1, [40, 44, 40], [10, 11]),
        (2, [40, 44, 40], [9, 10, 11]),
    ],
)
def test_windows(lib, window, numbers, ids):
    stream = tools.stream(lib, tools.config(lib, max_chunks=window))
    stream.add_buffer_reader(tools.packets(numbers))
    assert [chunk.chunk_id for chunk in stream.data_ringbuffer] == ids
    stream.stop()


def test_payload_is_where_it_belongs(lib):
    stream = tools.stream(lib, stream_config=lib.recv.StreamConfig(stream_id=77))
    stream.add_buffer_reader(tools.packets([2, 0, 7]))
    first, second = stream.data_ringbuffer
    values = first.data.reshape(tools.HEAPS, tools.HEAP)
    assert [set(row) for row in values] == [{0}, {0}, {2}, {0}]
    assert tools.shown([first, second]) == [(0, b"\1\0\1\0"), (1, b"\0\0\0\1")]
    assert set(second.data[-tools.HEAP :]) == {7}
    assert (first.stream_id, second.stream_id) == (77, 77)
    stream.stop()


def test_a_small_pool_goes_round(lib):
    class Mine(lib.recv.Chunk):
        pass

    stream = tools.stream(lib, chunks=3, data=2, kind=None)
    stream.add_buffer_reader(tools.packets(range(400)))
    seen, buffers = [], set()
    for chunk in stream.data_ringbuffer:
        seen.append((chunk.chunk_id, bytes(chunk.present), chunk.data[0]))
        buffers.add(id(chunk.data))
        stream.add_free_chunk(chunk)
        assert chunk.data is None
    assert seen == [(n, b"\1" * 4, 4 * n % 251) for n in range(100)]
    assert len(buffers) == 3
    stream.stop()


def test_subclasses_of_chunks_come_through(lib):
    class Mine(lib.recv.Chunk):
        def __init__(self, **options):
            super().__init__(**options)
            self.note = "mine"

    data, free = tools.rings(lib, 2, kind=Mine)
    chunks = [free.get(), free.get()]
    for chunk in chunks:
        free.put(chunk)
    stream = lib.recv.ChunkRingStream(
        lib.ThreadPool(), lib.recv.StreamConfig(), tools.config(lib), data, free
    )
    stream.add_buffer_reader(tools.packets([0, 4]))
    received = list(data)
    assert all(one is other for one, other in zip(received, chunks, strict=True))
    assert {chunk.note for chunk in received} == {"mine"}
    stream.stop()


class TestReturningChunks:
    def test_presence_is_cleared(self, lib):
        stream = tools.stream(lib, chunks=1)
        chunk = stream.free_ringbuffer.get()
        chunk.present[:] = 1
        chunk.chunk_id = 77
        present = chunk.present
        stream.add_free_chunk(chunk)
        assert list(present) == [0, 0, 0, 0]
        assert chunk.data is None and chunk.chunk_id == 77
        assert stream.free_ringbuffer.qsize() == 1
        stream.stop()

    def test_twice_is_an_error(self, lib):
        stream = tools.stream(lib, chunks=1)
        chunk = stream.free_ringbuffer.get()
        stream.add_free_chunk(chunk)
        with pytest.raises(ValueError, match="data buffer is not set"):
            stream.add_free_chunk(chunk)
        assert stream.free_ringbuffer.qsize() == 1
        stream.stop()

    def test_without_buffers_is_an_error(self, lib):
        stream = tools.stream(lib, chunks=1)
        for chunk in (lib.recv.Chunk(), lib.recv.Chunk(data=np.zeros(4))):
            with pytest.raises(ValueError, match="buffer is not set"):
                stream.add_free_chunk(chunk)
        for wrong in (None, 5):
            with pytest.raises(TypeError):
                stream.add_free_chunk(wrong)
        stream.stop()

    def test_one_too_many_is_an_error(self, lib):
        stream = tools.stream(lib, chunks=1)
        chunk = tools.chunk(lib)
        with pytest.raises(lib.Full):
            stream.add_free_chunk(chunk)
        assert chunk.data is not None
        stream.stop()

    def test_after_the_end_nothing_happens(self, lib):
        stream = tools.stream(lib, chunks=1)
        stream.stop()
        chunk = tools.chunk(lib)
        stream.add_free_chunk(chunk)
        if lib.is_ours:
            assert chunk.data is not None  # the reference loses it


class TestEnding:
    def test_by_the_end_of_the_data(self, lib):
        """Everything is delivered, and then the data ring ends; the free ring does not."""
        stream = tools.stream(lib, chunks=4)
        stream.add_buffer_reader(tools.packets([0, 4]))
        assert [chunk.chunk_id for chunk in stream.data_ringbuffer] == [0, 1]
        stream.add_free_chunk(tools.chunk(lib))
        assert stream.free_ringbuffer.get_nowait() is not None

    def test_by_a_stop_item(self, lib):
        stream = tools.stream(lib)
        stream.add_buffer_reader(tools.packets([0], stop=True) + tools.packets([1]))
        assert tools.shown(stream.data_ringbuffer) == [(0, b"\1\0\0\0")]
        stream.stop()

    def test_stop_items_may_be_ignored(self, lib):
        config = lib.recv.StreamConfig(stop_on_stop_item=False)
        stream = tools.stream(lib, stream_config=config)
        stream.add_buffer_reader(tools.packets([0], stop=True) + tools.packets([1]))
        assert tools.shown(stream.data_ringbuffer) == [(0, b"\1\1\0\0")]
        stream.stop()

    def test_by_the_user(self, lib):
        """Both rings end at once, and what is in flight goes nowhere."""
        stream = tools.stream(lib, chunks=4)
        queue = lib.InprocQueue()
        stream.add_inproc_reader(queue)
        queue.add_packet(tools.packets([0]))
        eventually(lambda: stream.free_ringbuffer.qsize() == 3)
        stream.stop()
        with pytest.raises(lib.Stopped):
            stream.data_ringbuffer.get_nowait()
        with pytest.raises(lib.Stopped):
            stream.free_ringbuffer.put(tools.chunk(lib))
        stream.stop()

    def test_by_the_user_while_it_waits_for_a_chunk(self, lib):
        stream = tools.stream(lib, chunks=2)
        adding = tools.in_thread(stream.add_buffer_reader, tools.packets(range(100)))
        eventually(lambda: stream.free_ringbuffer.empty())
        stream.stop()
        adding()

    def test_by_the_user_while_it_waits_for_room(self, lib):
        stream = tools.stream(lib, chunks=8, data=1)
        adding = tools.in_thread(stream.add_buffer_reader, tools.packets(range(100)))
        eventually(lambda: stream.data_ringbuffer.full())
        stream.stop()
        adding()

    def test_by_its_last_reference(self, lib):
        stream = tools.stream(lib, chunks=2)
        data, free = stream.data_ringbuffer, stream.free_ringbuffer
        reference = weakref.ref(stream)
        del stream
        gc.collect()
        assert reference() is None
        with pytest.raises(lib.Stopped):
            data.get_nowait()
        with pytest.raises(lib.Stopped):
            free.put(tools.chunk(lib))

    def test_a_ring_of_several_streams_ends_with_the_last(self, lib):
        data, free = tools.rings(lib, 16)
        streams = [
            lib.recv.ChunkRingStream(
                lib.ThreadPool(), lib.recv.StreamConfig(stream_id=n), tools.config(lib), data, free
            )
            for n in range(2)
        ]
        streams[0].add_buffer_reader(tools.packets([0]))
        assert data.get().stream_id == 0
        with pytest.raises(lib.Empty):
            data.get_nowait()
        streams[1].add_buffer_reader(tools.packets([0]))
        assert [chunk.stream_id for chunk in data] == [1]


def test_it_waits_until_it_is_started(lib):
    config = lib.recv.StreamConfig(explicit_start=True)
    stream = tools.stream(lib, stream_config=config)
    stream.add_buffer_reader(tools.packets([0]))
    assert stream.data_ringbuffer.empty()
    stream.start()
    assert tools.shown(stream.data_ringbuffer) == [(0, b"\1\0\0\0")]


def test_it_receives_from_the_network(lib):
    """As a telescope's correlator does: several UDP readers on one stream."""
    stream = tools.stream(lib, stream_config=lib.recv.StreamConfig(max_heaps=8))
    sockets = []
    for _ in range(2):
        import socket

        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("127.0.0.1", 0))
        stream.add_udp_reader(made)
        sockets.append(made)
    ports = [made.getsockname() for made in sockets]
    sender = spead2.send.UdpStream(spead2.ThreadPool(), ports)
    for number in range(8):
        sender.send_heap(tools.heap(number), substream_index=number % 2)
    eventually(lambda: stream.stats.heaps == 8)
    sender.send_heap(tools.stop_heap())
    assert tools.shown(stream.data_ringbuffer) == [(0, b"\1" * 4), (1, b"\1" * 4)]
    stream.stop()
    for made in sockets:
        made.close()


def test_no_gil_is_held_while_it_waits(lib):
    """Other threads run while one waits for a chunk."""
    stream = tools.stream(lib)
    got = tools.in_thread(stream.data_ringbuffer.get)
    progress = threading.Event()
    threading.Thread(target=progress.set).start()
    assert progress.wait(10)
    stream.stop()
    with pytest.raises(lib.Stopped):
        got()


class TestOfOurs:
    def test_chunks_return_themselves(self, ours):
        stream = tools.stream(ours, chunks=2)
        stream.add_buffer_reader(tools.packets(range(40)))
        for chunk in stream.data_ringbuffer:
            with chunk as same:
                assert same is chunk and chunk.n_present == 4
            assert chunk.data is None
        assert chunk.chunk_id == 9
        assert stream.free_ringbuffer.qsize() == 2

    def test_a_chunk_may_be_returned_before_its_block_ends(self, ours):
        stream = tools.stream(ours, chunks=2)
        stream.add_buffer_reader(tools.packets([0]))
        with pytest.raises(RuntimeError, match="in the block"):
            with stream.data_ringbuffer.get() as chunk:
                chunk.recycle()
                raise RuntimeError("in the block")
        assert stream.free_ringbuffer.qsize() == 2

    def test_a_block_does_what_the_subclass_does(self, ours):
        class Mine(ours.recv.Chunk):
            returned = 0

            def recycle(self):
                Mine.returned += 1
                super().recycle()

        stream = tools.stream(ours, chunks=2, kind=None)
        chunk = stream.free_ringbuffer.get()
        mine = Mine(data=chunk.data, present=chunk.present)
        stream.free_ringbuffer.get()
        stream.free_ringbuffer.put(mine)
        stream.add_buffer_reader(tools.packets([0]))
        with stream.data_ringbuffer.get() as chunk:
            assert chunk is mine
        assert Mine.returned == 1

    def test_after_the_end_a_chunk_stays_where_it_is(self, ours):
        stream = tools.stream(ours, chunks=2)
        stream.add_buffer_reader(tools.packets([0]))
        with stream.data_ringbuffer.get() as chunk:
            stream.stop()
        assert chunk.data is not None

    def test_contributions(self, ours):
        stream = tools.stream(ours, stream_config=ours.recv.StreamConfig(stream_id=9))
        stream.add_buffer_reader(tools.packets([0, 2]))
        chunk = stream.data_ringbuffer.get()
        assert chunk.contributions == {9: 2}
        assert ours.recv.Chunk().contributions == {}

    def test_every_counter_by_name(self, ours):
        stream = tools.stream(ours)
        stream.add_buffer_reader(tools.packets([0, 1], stop=True))
        list(stream.data_ringbuffer)
        stream.stop()
        counters = stream.counters
        assert counters["heaps.placed"] == 2 and counters["heaps.stop"] == 1
        assert counters["packets_received"] == 3

    def test_old_chunks_are_handed_over(self, ours):
        stream = tools.stream(ours, tools.config(ours, max_age=0.05))
        queue = ours.InprocQueue()
        stream.add_inproc_reader(queue)
        queue.add_packet(tools.packets([0]))
        assert stream.data_ringbuffer.get(timeout=20).chunk_id == 0
        stream.stop()

    def test_a_stray_id_does_not_move_the_window(self, ours):
        stream = tools.stream(ours, tools.config(ours, max_jump=10))
        stream.add_buffer_reader(tools.packets([0, 1, 2, 4 << 40, 3]))
        assert tools.shown(stream.data_ringbuffer) == [(0, b"\0\1\1\1")]
        assert stream.counters["heaps.doubtful"] == 2

    def test_repeated_heaps_may_be_dropped(self, ours):
        stream = tools.stream(ours, tools.config(ours, deduplicate=True))
        stream.add_buffer_reader(tools.packets([0, 0, 1]))
        assert tools.shown(stream.data_ringbuffer) == [(0, b"\1\1\0\0")]
        assert stream.counters["heaps.place_taken"] == 1

    def fill(self, ours, *, chunks, data, **policy):
        """A stream whose consumer takes nothing until it has ended."""
        config = tools.config(ours, max_chunks=1, **policy)
        stream = tools.stream(ours, config, chunks=chunks, data=data)
        stream.add_buffer_reader(tools.packets(range(40)))
        eventually(lambda: stream.counters["heaps.placed"] + lost(stream) == 40)
        return stream, [chunk.chunk_id for chunk in stream.data_ringbuffer]

    def test_a_full_ring_may_drop_the_newest(self, ours):
        stream, ids = self.fill(ours, chunks=6, data=3, when_full="drop_newest")
        assert ids == [0, 1, 2]
        assert stream.free_ringbuffer.qsize() == 3

    def test_a_full_ring_may_recycle_the_oldest(self, ours):
        stream, ids = self.fill(ours, chunks=6, data=3, when_full="recycle_oldest")
        assert ids == [7, 8, 9]
        assert stream.free_ringbuffer.qsize() == 3
        assert stream.data_ringbuffer.counters["evicted"] == 7

    def test_an_empty_ring_may_go_without(self, ours):
        stream, ids = self.fill(ours, chunks=2, data=8, when_empty="drop_newest")
        assert ids == [0, 1]
        assert stream.counters["heaps.no_chunk"] == 32

    def test_an_empty_ring_may_take_the_oldest(self, ours):
        stream, ids = self.fill(ours, chunks=2, data=8, when_empty="recycle_oldest")
        assert ids == [8, 9]

    def test_parks_are_counted(self, ours):
        stream = tools.stream(ours, chunks=2)
        stream.add_buffer_reader(tools.packets(range(40)))
        eventually(lambda: stream.counters["parks.free_ring"] == 1)
        for chunk in stream.data_ringbuffer:
            chunk.recycle()
        stream.stop()
        assert stream.counters["parked_ns.free_ring"] > 0


def lost(stream):
    return stream.counters["heaps.no_chunk"]
