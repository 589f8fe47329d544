"""`recv.ChunkStreamRingGroup`: streams that fill chunks together."""

import collections.abc
import gc
import weakref

import chunk_tools as tools
import numpy as np
import pytest
from waiting import eventually


def make(lib, window=4, *, lossless=False, chunks=32, data=None, kind=None, **options):
    mode = lib.recv.ChunkStreamGroupConfig.EvictionMode
    config = lib.recv.ChunkStreamGroupConfig(
        max_chunks=window, eviction_mode=mode.LOSSLESS if lossless else mode.LOSSY, **options
    )
    return (kind or lib.recv.ChunkStreamRingGroup)(config, *tools.rings(lib, chunks, data=data))


def add(lib, group, *, pool=None, stream_id=0, **options):
    config = lib.recv.StreamConfig(stream_id=stream_id)
    return group.emplace_back(pool or lib.ThreadPool(), config, tools.config(lib, **options))


class TestTheSequence:
    @pytest.fixture
    def group(self, lib):
        made = make(lib)
        yield made
        made.stop()

    def test_an_empty_one(self, lib, group):
        assert len(group) == 0 and list(group) == [] and not group
        with pytest.raises(IndexError):
            group[0]

    def test_what_it_is(self, lib, group):
        assert isinstance(group, collections.abc.Sequence)
        assert issubclass(lib.recv.ChunkStreamRingGroup, collections.abc.Sequence)
        assert isinstance(group, lib.recv.ChunkRingPair)
        assert weakref.ref(group)() is group
        assert hash(group) and group == group

    def test_members(self, lib, group):
        streams = [add(lib, group, stream_id=n) for n in range(3)]
        assert len(group) == 3
        assert all(type(one) is lib.recv.ChunkStreamGroupMember for one in streams)
        assert all(group[n] is streams[n] for n in range(3))
        assert all(group[n - 3] is streams[n] for n in range(3))
        assert group[np.int64(1)] is streams[1]
        assert group[:] == streams and group[::-1] == streams[::-1] and group[1:2] == [streams[1]]
        assert list(group) == streams and list(reversed(group)) == streams[::-1]
        assert streams[1] in group and 5 not in group
        assert (group.index(streams[2]), group.count(streams[0]), group.count(5)) == (2, 1, 0)
        assert [one.config.stream_id for one in group] == [0, 1, 2]
        for wrong in (3, -4):
            with pytest.raises(IndexError):
                group[wrong]
        for wrong in ("a", 1.0, None):
            with pytest.raises(TypeError):
                group[wrong]
        with pytest.raises(ValueError):
            group.index(5)
        with pytest.raises((TypeError, AttributeError)):
            group[0] = streams[1]

    def test_its_parts(self, lib, group):
        assert group.config.max_chunks == 4
        assert group.config is group.config
        assert isinstance(group.data_ringbuffer, lib.recv.ChunkRingbuffer)
        assert group.data_ringbuffer is group.data_ringbuffer
        assert group.free_ringbuffer.qsize() == 32


def test_subclasses_of_rings_and_groups_come_through(lib):
    class Ring(lib.recv.ChunkRingbuffer):
        pass

    class Mine(lib.recv.ChunkStreamRingGroup):
        def __init__(self, note):
            self.note = note
            super().__init__(lib.recv.ChunkStreamGroupConfig(), Ring(2), Ring(2))

    group = Mine("mine")
    assert (group.note, len(group)) == ("mine", 0)
    assert type(group.data_ringbuffer) is Ring
    group.stop()


def test_members_are_made_by_their_group(lib):
    class Mine(lib.recv.ChunkStreamGroupMember):
        pass

    for kind in (lib.recv.ChunkStreamGroupMember, Mine):
        with pytest.raises(TypeError, match="No constructor defined"):
            kind()


def test_wrong_arguments(lib):
    kind, config = lib.recv.ChunkStreamRingGroup, lib.recv.ChunkStreamGroupConfig()
    rings = tools.rings(lib, 2)
    for wrong in [(), (None, *rings), (config, None, rings[1]), (config, rings[0]), (config, 1, 2)]:
        with pytest.raises(TypeError):
            kind(*wrong)
    group = make(lib, 4)
    with pytest.raises(ValueError, match="stream max_chunks must not be larger than group"):
        add(lib, group, max_chunks=5)
    with pytest.raises(ValueError, match="place is not set"):
        group.emplace_back(
            lib.ThreadPool(), lib.recv.StreamConfig(), lib.recv.ChunkStreamConfig()
        )
    for wrong in [(), (lib.ThreadPool(), lib.recv.StreamConfig()), (lib.ThreadPool(), 5, 6)]:
        with pytest.raises(TypeError):
            group.emplace_back(*wrong)
    with pytest.raises(ValueError, match="thread.?pool"):
        group.emplace_back(None, lib.recv.StreamConfig(), tools.config(lib))
    assert len(group) == 0
    member = add(lib, group)
    assert member.config.allow_unsized_heaps is False
    group.stop()


def feed(streams, numbers, **options):
    """Gives heaps to the streams in turn, each in a thread of its own."""
    share = [[n for n in numbers if n % len(streams) == at] for at in range(len(streams))]
    return [
        tools.in_thread(stream.add_buffer_reader, tools.packets(part, **options))
        for stream, part in zip(streams, share, strict=True)
    ]


@pytest.mark.parametrize("members", [1, 2, 4])
def test_lossless_groups_lose_nothing(lib, members):
    group = make(lib, lossless=True, chunks=6, data=3)
    streams = [add(lib, group, max_chunks=3) for _ in range(members)]
    adding = feed(streams, range(400))
    seen = []
    for chunk in group.data_ringbuffer:
        seen.append((chunk.chunk_id, bytes(chunk.present)))
        assert list(chunk.data[:: tools.HEAP]) == [(4 * chunk.chunk_id + n) % 251 for n in range(4)]
        group.add_free_chunk(chunk)
    assert seen == [(n, b"\1" * 4) for n in range(100)]
    for done in adding:
        done()
    group.stop()
    assert sum(stream.stats.heaps for stream in streams) == 400
    assert sum(stream.stats["too_old_heaps"] for stream in streams) == 0


def test_fewer_threads_than_members(ours):
    """The reference would wait for ever."""
    group, pool = make(ours, lossless=True, chunks=6, data=3), ours.ThreadPool(1)
    streams = [add(ours, group, pool=pool) for _ in range(4)]
    feed(streams, range(400))
    seen = []
    for chunk in group.data_ringbuffer:
        seen.append((chunk.chunk_id, bytes(chunk.present)))
        group.add_free_chunk(chunk)
    assert seen == [(n, b"\1" * 4) for n in range(100)]
    group.stop()


def test_lossy_groups_do_not_wait(lib):
    """The first member is done before the other begins: its heaps are all too old but the last."""
    group = make(lib, chunks=32)
    streams = [add(lib, group) for _ in range(2)]
    queue = lib.InprocQueue()
    streams[1].add_inproc_reader(queue)
    streams[0].add_buffer_reader(tools.packets(range(0, 80, 2)))
    eventually(lambda: streams[0].stats.heaps == 40)
    for number in (1, 79):
        queue.add_packet(tools.packets([number]))
    queue.stop()
    chunks = tools.shown(group.data_ringbuffer)
    assert [chunk_id for chunk_id, _ in chunks] == list(range(20))
    assert chunks[0] == (0, b"\1\0\1\0") and chunks[-1] == (19, b"\1\0\1\1")
    assert streams[1].stats["too_old_heaps"] == 1
    group.stop()


def test_members_are_added_before_data(lib):
    group = make(lib)
    stream = add(lib, group)
    queue = lib.InprocQueue()
    stream.add_inproc_reader(queue)
    queue.add_packet(tools.packets([1]))
    eventually(lambda: stream.stats.heaps == 1)
    with pytest.raises(RuntimeError, match="Cannot add a stream"):
        add(lib, group)
    assert len(group) == 1
    group.stop()
    with pytest.raises(RuntimeError, match="Cannot add a stream"):
        add(lib, group)


def test_stopping_a_member_stops_the_group(lib):
    group = make(lib)
    streams = [add(lib, group) for _ in range(2)]
    queue = lib.InprocQueue()
    streams[0].add_inproc_reader(queue)
    queue.add_packet(tools.packets([1]))
    eventually(lambda: streams[0].stats.heaps == 1)
    streams[1].stop()
    with pytest.raises(lib.Stopped):
        group.data_ringbuffer.get()
    with pytest.raises(lib.Stopped):
        group.free_ringbuffer.put(tools.chunk(lib))
    streams[0].stop()
    group.stop()


@pytest.mark.parametrize("lossless", [False, True])
def test_stopping_while_members_wait(lib, lossless):
    group = make(lib, lossless=lossless, chunks=5, data=1)
    streams = [add(lib, group) for _ in range(2)]
    adding = feed(streams, range(400))
    group.data_ringbuffer.get()
    group.stop()
    for done in adding:
        done()


def test_the_ring_ends_with_the_last_member(lib):
    group = make(lib)
    streams = [add(lib, group) for _ in range(2)]
    streams[0].add_buffer_reader(tools.packets([0]))
    eventually(lambda: streams[0].stats.heaps == 1)
    with pytest.raises(lib.Empty):
        group.data_ringbuffer.get_nowait()
    streams[1].add_buffer_reader(tools.packets([1]))
    assert tools.shown(group.data_ringbuffer) == [(0, b"\1\1\0\0")]
    group.stop()


def test_members_keep_their_group(lib):
    group = make(lib)
    streams = [add(lib, group) for _ in range(2)]
    of_group, of_stream = weakref.ref(group), weakref.ref(streams[0])
    del group
    gc.collect()
    assert of_group() is not None and of_group()[1] is streams[1]
    data = of_group().data_ringbuffer
    streams.clear()
    gc.collect()
    assert of_group() is None and of_stream() is None
    with pytest.raises(lib.Stopped):
        data.get_nowait()


def test_a_group_without_members_is_collected(lib):
    group = make(lib)
    data = group.data_ringbuffer
    reference = weakref.ref(group)
    del group
    assert reference() is None
    with pytest.raises(lib.Stopped):
        data.get_nowait()


class TestOfOurs:
    def test_members_are_the_same_objects_always(self, ours):
        group = make(ours)
        reference = weakref.ref(add(ours, group))
        gc.collect()
        assert reference() is group[0] is group[0]
        group.stop()

    def test_a_layout_gives_each_member_its_part(self, ours):
        layout = ours.recv.Layout(
            tools.NUMBER, tools.HEAP, heaps_per_chunk=2, axes=[ours.recv.Axis(None, 2)]
        )
        group = make(ours, lossless=True)
        config = ours.recv.ChunkStreamConfig(place=layout)
        streams = [
            group.emplace_back(ours.ThreadPool(), ours.recv.StreamConfig(stream_id=n), config)
            for n in range(2)
        ]
        streams[0].add_buffer_reader(tools.packets([0, 1, 2]))
        streams[1].add_buffer_reader(tools.packets([1, 2]))
        chunks = list(group.data_ringbuffer)
        assert tools.shown(chunks) == [(0, b"\1\0\1\1"), (1, b"\1\1\0\0")]
        assert [chunk.contributions for chunk in chunks] == [{0: 2, 1: 1}, {0: 1, 1: 1}]
        group.stop()

    def test_members_may_be_sent_the_same_heaps(self, ours):
        """With a layout the first to begin a heap has its place."""
        layout = ours.recv.Layout(tools.NUMBER, tools.HEAP, heaps_per_chunk=4)
        group = make(ours, lossless=True)
        config = ours.recv.ChunkStreamConfig(place=layout)
        streams = [
            group.emplace_back(ours.ThreadPool(), ours.recv.StreamConfig(), config)
            for _ in range(2)
        ]
        for stream in streams:
            stream.add_buffer_reader(tools.packets(range(4)))
        assert tools.shown(group.data_ringbuffer) == [(0, b"\1" * 4)]
        group.stop()
        taken = sum(stream.counters["heaps.place_taken"] for stream in streams)
        placed = sum(stream.counters["heaps.placed"] for stream in streams)
        assert (placed, taken) == (4, 4)

    def test_layouts_of_members_have_to_agree(self, ours):
        group = make(ours)
        pool, config = ours.ThreadPool(), ours.recv.StreamConfig()
        for heaps, works in [(4, True), (2, False)]:
            layout = ours.recv.Layout(tools.NUMBER, tools.HEAP, heaps_per_chunk=heaps)
            chunks = ours.recv.ChunkStreamConfig(place=layout)
            if works:
                group.emplace_back(pool, config, chunks)
            else:
                with pytest.raises(ValueError, match="layout"):
                    group.emplace_back(pool, config, chunks)
        group.stop()

    @pytest.mark.parametrize(
        "options", [{"max_age": 1}, {"when_full": "drop_newest"}, {"when_empty": "drop_newest"}]
    )
    def test_what_is_the_groups_is_set_there(self, ours, options):
        group = make(ours)
        with pytest.raises(ValueError, match="ChunkStreamGroupConfig"):
            add(ours, group, **options)
        group.stop()

    def test_old_chunks_are_handed_over(self, ours):
        with pytest.raises(ValueError, match="max_age_in_lossless"):
            make(ours, lossless=True, max_age=0.05)
        for options in [{"max_age": 0.05}, {"lossless": True, "max_age_in_lossless": 0.05}]:
            group = make(ours, **options)
            queue = ours.InprocQueue()
            add(ours, group).add_inproc_reader(queue)
            queue.add_packet(tools.packets([0]))
            assert group.data_ringbuffer.get(timeout=20).chunk_id == 0
            group.stop()

    def test_ring_policies(self, ours):
        group = make(ours, 1, chunks=6, data=3, when_full="recycle_oldest")
        stream = add(ours, group, max_chunks=1)
        stream.add_buffer_reader(tools.packets(range(40)))
        eventually(lambda: group.counters["chunks_delivered"] == 10)
        assert [chunk.chunk_id for chunk in group.data_ringbuffer] == [7, 8, 9]
        group.stop()

    def test_counters(self, ours):
        group = make(ours)
        stream = add(ours, group)
        assert group.counters["live_members"] == 1
        stream.add_buffer_reader(tools.packets([0]))
        list(group.data_ringbuffer)
        assert (group.counters["chunks_opened"], group.counters["live_members"]) == (1, 0)
        assert repr(group) == "<ChunkStreamRingGroup of 1 streams>"
        group.stop()

    def test_its_chunks_return_themselves(self, ours):
        group = make(ours, chunks=6)
        streams = [add(ours, group) for _ in range(2)]
        feed(streams, range(8))
        for chunk in group.data_ringbuffer:
            chunk.recycle()
        assert group.free_ringbuffer.qsize() == 6
        group.stop()
