"""What only ours has around chunks: `recv.Layout`, `recv.Chunks` and `recv.Tally`."""

import chunk_tools as tools
import numpy as np
import pytest

BOARD = 0x1601


def receive(ours, layout, data, **options):
    config = ours.recv.ChunkStreamConfig(place=layout, **options)
    memory = {"heaps": layout.flags, "size": layout.chunk_size // layout.flags}
    stream = tools.stream(ours, config, **memory)
    stream.add_buffer_reader(data)
    chunks = list(stream.data_ringbuffer)
    stream.stop()
    return chunks, stream


def test_sizes(ours):
    layout = ours.recv.Layout(tools.NUMBER, 8192, heaps_per_chunk=64, step=4096, axes=[(BOARD, 4)])
    assert (layout.heaps, layout.flags, layout.heap_size) == (256, 256, 8192)
    assert layout.chunk_size == 256 * 8192
    assert layout.sequence_at(2) == 2 * 64 * 4096
    assert repr(layout) == "<Layout of 256 heaps of 8192 B in chunks of 2097152 B>"


def test_a_stream_takes_it_as_its_place(ours):
    layout = ours.recv.Layout(tools.NUMBER, tools.HEAP, heaps_per_chunk=tools.HEAPS)
    config = ours.recv.ChunkStreamConfig(place=layout)
    assert config.place is layout
    chunks, stream = receive(ours, layout, tools.packets([2, 5]) + tools.packets([6], size=32))
    assert tools.shown(chunks) == [(0, b"\0\0\1\0"), (1, b"\0\1\0\0")]
    assert set(chunks[1].data[tools.HEAP : 2 * tools.HEAP]) == {5}
    assert stream.stats["rejected_heaps"] == 1


def test_axes_steps_and_origins(ours):
    layout = ours.recv.Layout(
        tools.NUMBER, tools.HEAP, heaps_per_chunk=2, step=10, origin=100,
        axes=[ours.recv.Axis(BOARD, 3, first=4, step=2)],
    )  # fmt: skip
    heaps = [
        tools.heap(number, extra_items=[(BOARD, board)])
        for number, board in [(100, 4), (110, 8), (120, 6), (90, 4), (105, 4), (100, 5), (100, 10)]
    ]
    chunks, stream = receive(ours, layout, tools.encode(heaps))
    assert tools.shown(chunks) == [(0, bytes([1, 0, 0, 0, 0, 1])), (1, bytes([0, 1, 0, 0, 0, 0]))]
    assert stream.stats["rejected_heaps"] == 4


def test_strides(ours):
    """Boards outermost: each has its heaps one after the other."""
    axis = ours.recv.Axis(BOARD, 2, stride=2 * tools.HEAP)
    layout = ours.recv.Layout(
        tools.NUMBER, tools.HEAP, heaps_per_chunk=2, stride=tools.HEAP, axes=[axis]
    )
    heaps = [tools.heap(2 + n, extra_items=[(BOARD, b)]) for b in range(2) for n in range(2)]
    chunks, _ = receive(ours, layout, tools.encode(heaps))
    rows = chunks[1].data.reshape(4, tools.HEAP)
    assert [set(row) for row in rows] == [{2}, {3}, {2}, {3}]


def test_presence_of_packets(ours):
    layout = ours.recv.Layout(tools.NUMBER, 1024, heaps_per_chunk=2, packet_presence=256)
    assert (layout.heaps, layout.flags) == (2, 8)
    whole = tools.packets([0, 1], size=1024, packet_size=8 + 6 * 8 + 256)
    size = len(whole) // 8
    chunks, _ = receive(ours, layout, whole[: 6 * size])
    assert tools.shown(chunks) == [(0, bytes([1, 1, 1, 1, 1, 1, 0, 0]))]


def test_impossible_layouts(ours):
    make = ours.recv.Layout
    for wrong in [
        {"heap_size": 0}, {"heaps_per_chunk": 0}, {"step": 0}, {"sequence": 0},
        {"axes": [(BOARD, 0)]}, {"axes": [ours.recv.Axis(BOARD, 2, step=0)]},
        {"packet_presence": 0}, {"heaps_per_chunk": 2, "stride": 7},
        {"heap_size": 2**62, "heaps_per_chunk": 2**10},
    ]:  # fmt: skip
        with pytest.raises(ValueError):
            make(**{"sequence": tools.NUMBER, "heap_size": 8, **wrong})
    for wrong in [
        {"heap_size": -1}, {"heap_size": 1.5}, {"axes": 5}, {"axes": [5]}, {"axes": [(1, 2, 3)]},
        {"unknown": 1}, {"axes": [("a", 1)]},
    ]:  # fmt: skip
        with pytest.raises(TypeError):
            make(**{"sequence": tools.NUMBER, "heap_size": 8, **wrong})
    with pytest.raises(TypeError):
        make()
    with pytest.raises(ValueError, match="members"):
        ours.recv.Axis(None, 2, first=1)


def test_axes_show_what_they_are(ours):
    axis = ours.recv.Axis(BOARD, 3, first=4, step=2, stride=128)
    assert (axis.item, axis.count, axis.first, axis.step, axis.stride) == (BOARD, 3, 4, 2, 128)
    assert repr(axis) == "Axis(0x1601, 3, first=4, step=2)"
    assert (ours.recv.Axis(None, 2).item, repr(ours.recv.Axis(None, 2))) == (None, "Axis(None, 2)")


class TestTally:
    def stream(self, ours):
        """Chunks 0 to 2 and 9 to 10: 0 whole, 1 half, 2 empty, 9 empty, 10 whole."""
        stream = tools.stream(ours, tools.config(ours, max_chunks=2))
        numbers = [0, 1, 2, 3, 4, 6, 8, 40, 41, 42, 43]
        stream.add_buffer_reader(tools.packets(numbers))
        return stream

    def test_what_was_missing(self, ours):
        stream = self.stream(ours)
        tally = ours.recv.Tally()
        for chunk in stream.data_ringbuffer:
            tally.note(chunk)
        assert (tally.chunks, tally.complete, tally.last_id) == (5, 2, 10)
        assert tally.chunks_missing == 6  # 3 to 8 were never seen
        assert (tally.heaps_present, tally.heaps_missing) == (11, 2 + 3 + 4 + 6 * 4)

    def test_unwanted_chunks_are_returned(self, ours):
        stream = self.stream(ours)
        chunks = ours.recv.Chunks(stream.data_ringbuffer, complete_only=True, since=1)
        assert [chunk.chunk_id for chunk in chunks] == [10]
        assert chunks.tally.chunks == 5
        assert stream.free_ringbuffer.qsize() == 31

    def test_it_ends_in_time(self, ours):
        stream = tools.stream(ours)
        chunks = ours.recv.Chunks(stream.data_ringbuffer, timeout=0.05)
        assert list(chunks) == []
        stream.stop()

    async def test_with_asyncio(self, ours):
        ring = ours.module("recv.asyncio").ChunkRingbuffer(8)
        for number in range(3):
            chunk = tools.chunk(ours)
            chunk.chunk_id = number
            chunk.present[:] = 1
            await ring.put(chunk)
        ring.stop()
        chunks = ours.recv.Chunks(ring, since=0)
        assert [chunk.chunk_id async for chunk in chunks] == [0, 1, 2]
        assert chunks.tally.complete == 3


def test_views_have_the_shape_that_the_user_knows(ours):
    layout = ours.recv.Layout(tools.NUMBER, tools.HEAP, heaps_per_chunk=tools.HEAPS)
    chunks, _ = receive(ours, layout, tools.packets([1]))
    view = chunks[0].view(">u2", (tools.HEAPS, -1))
    assert view.shape == (4, tools.HEAP // 2)
    assert (view[1] == 0x0101).all() and view.base is not None
    assert np.shares_memory(view, chunks[0].data)
