"""`recv.Chunk`: its buffers and its way through rings."""

import array
import gc
import weakref

import chunk_tools as tools
import numpy as np
import pytest


def test_defaults(lib):
    chunk = lib.recv.Chunk()
    assert (chunk.chunk_id, chunk.stream_id) == (-1, 0)
    assert chunk.data is None and chunk.present is None and chunk.extra is None


@pytest.mark.parametrize("name", ["data", "present", "extra"])
@pytest.mark.parametrize(
    "memory",
    [
        np.zeros(16, np.uint8), np.zeros((4, 4), np.float32), np.zeros(0), np.zeros(()),
        bytearray(4), array.array("i", [1, 2]), memoryview(bytearray(8)), None,
    ],
    ids=repr,
)  # fmt: skip
def test_buffers_are_the_objects_that_were_given(lib, name, memory):
    assert getattr(lib.recv.Chunk(**{name: memory}), name) is memory
    chunk = lib.recv.Chunk()
    setattr(chunk, name, memory)
    assert getattr(chunk, name) is memory


def read_only_array():
    made = np.zeros(4)
    made.flags.writeable = False
    return made


@pytest.mark.parametrize("name", ["data", "present", "extra"])
@pytest.mark.parametrize(
    ("memory", "error"),
    [
        (b"read-only", BufferError),
        (memoryview(b"x"), BufferError),
        (memoryview(bytearray(8))[::2], BufferError),
        (read_only_array(), ValueError),
        (np.zeros(8)[::2], ValueError),
        (np.zeros((4, 4)).T, ValueError),
        (np.zeros((4, 4), order="F"), ValueError),
        (5, TypeError),
        ("text", TypeError),
        ([1, 2], TypeError),
    ],
    ids=repr,
)
def test_wrong_buffers_are_refused(lib, name, memory, error):
    with pytest.raises(error):
        lib.recv.Chunk(**{name: memory})
    chunk = tools.chunk(lib)
    before = getattr(chunk, name)
    with pytest.raises(error):
        setattr(chunk, name, memory)
    assert getattr(chunk, name) is before


@pytest.mark.parametrize(
    "arguments",
    [
        {"chunk_id": 2**63}, {"chunk_id": 1.0}, {"chunk_id": "1"}, {"stream_id": -1},
        {"stream_id": 2**64}, {"unknown": 1},
    ],
)  # fmt: skip
def test_wrong_arguments_are_type_errors(lib, arguments):
    with pytest.raises(TypeError):
        lib.recv.Chunk(**arguments)


def test_arguments_are_keywords(lib):
    with pytest.raises(TypeError):
        lib.recv.Chunk(1)


def test_ids_are_attributes(lib):
    chunk = lib.recv.Chunk(chunk_id=-5, stream_id=2**64 - 1)
    assert (chunk.chunk_id, chunk.stream_id) == (-5, 2**64 - 1)
    chunk.chunk_id, chunk.stream_id = 2**63 - 1, 7
    assert (chunk.chunk_id, chunk.stream_id) == (2**63 - 1, 7)
    with pytest.raises(AttributeError):
        chunk.unknown = 1


def test_memory_is_exported_as_long_as_the_chunk_has_it(lib):
    memory = bytearray(8)
    chunk = lib.recv.Chunk(data=memory)
    with pytest.raises(BufferError):
        memory.extend(b"more")
    chunk.data = None
    memory.extend(b"more")


def test_a_subclass_that_forgets_the_constructor_is_told(lib):
    class Forgetful(lib.recv.Chunk):
        def __init__(self):
            pass

    with pytest.raises(TypeError, match="__init__"):
        _ = Forgetful().data
    with pytest.raises(TypeError):
        lib.recv.ChunkRingbuffer(1).put(Forgetful())


class TestTravelling:
    def test_the_same_object_with_the_same_buffers_comes_back(self, lib):
        class Mine(lib.recv.Chunk):
            def __init__(self, size):
                memory = np.arange(size, dtype=np.uint16)
                super().__init__(data=memory, present=np.ones(2, np.uint8), chunk_id=-3, stream_id=9)
                self.note = [size]

        ring = lib.recv.ChunkRingbuffer(2)
        chunk = Mine(8)
        data, present = chunk.data, chunk.present
        for _ in range(3):
            ring.put(chunk)
            assert chunk.data is None and chunk.present is None and chunk.extra is None
            assert chunk.note == [8]
            assert ring.get() is chunk
            assert chunk.data is data and chunk.present is present and chunk.extra is None
            assert (chunk.chunk_id, chunk.stream_id) == (-3, 9)
        assert list(data) == list(range(8))
        assert list(present) == [1, 1]

    def test_a_weak_reference_does_not_keep_it(self, lib):
        chunk = tools.chunk(lib)
        reference = weakref.ref(chunk)
        ring = lib.recv.ChunkRingbuffer(1)
        ring.put(chunk)
        del chunk
        gc.collect()
        assert reference() is not None  # the ring does
        del ring
        gc.collect()
        assert reference() is None

    @pytest.mark.parametrize("missing", ["data", "present"])
    def test_both_buffers_are_needed(self, lib, missing):
        chunk = tools.chunk(lib)
        setattr(chunk, missing, None)
        ring = lib.recv.ChunkRingbuffer(1)
        for put in (ring.put, ring.put_nowait):
            with pytest.raises(ValueError, match=f"{missing} buffer is not set"):
                put(chunk)
        assert ring.empty()
        assert (chunk.data is None) == (missing == "data")

    def test_it_cannot_be_in_two_rings(self, lib):
        chunk = tools.chunk(lib)
        first, second = lib.recv.ChunkRingbuffer(2), lib.recv.ChunkRingbuffer(2)
        first.put(chunk)
        for ring in (first, second):
            with pytest.raises(ValueError):
                ring.put_nowait(chunk)
        assert (first.qsize(), second.qsize()) == (1, 0)
        assert first.get() is chunk

    def test_other_buffers_may_be_set_when_it_is_back(self, lib):
        ring = lib.recv.ChunkRingbuffer(1)
        chunk = tools.chunk(lib)
        ring.put(chunk)
        ring.get()
        other = np.full(100, 7, np.uint8)
        chunk.data = other
        ring.put(chunk)
        assert ring.get().data is other

    def test_what_is_set_while_it_is_away_gives_way(self, lib):
        ring = lib.recv.ChunkRingbuffer(2)
        chunk = tools.chunk(lib)
        data = chunk.data
        ring.put(chunk)
        chunk.data = np.zeros(3, np.uint8)
        with pytest.raises(ValueError, match="present"):
            ring.put_nowait(chunk)
        assert ring.get() is chunk
        assert chunk.data is data

    def test_a_ring_takes_only_chunks(self, lib):
        ring = lib.recv.ChunkRingbuffer(1)
        for wrong in (None, 5, object()):
            with pytest.raises(TypeError):
                ring.put(wrong)
            with pytest.raises(TypeError):
                ring.put_nowait(wrong)


class TestOfOurs:
    def test_counts_what_is_present(self, ours):
        chunk = tools.chunk(ours, heaps=5)
        chunk.present[1:3] = 1
        assert (chunk.n_present, chunk.n_missing) == (2, 3)
        chunk.present = None
        with pytest.raises(ValueError, match="present buffer is not set"):
            _ = chunk.n_present

    def test_views_are_the_memory(self, ours):
        chunk = tools.chunk(ours, heaps=2, size=8)
        view = chunk.view("i2", (2, -1))
        assert (view.dtype, view.shape) == (np.dtype("i2"), (2, 4))
        view[1, 0] = 0x0102
        assert list(chunk.data[8:10]) == [2, 1]
        assert chunk.view().shape == (16,)
        with pytest.raises(ValueError):
            chunk.view("i2", (3, 3))
        with pytest.raises(TypeError):
            chunk.view("no such type")

    def test_says_what_it_is(self, ours):
        chunk = tools.chunk(ours)
        chunk.chunk_id = 5
        assert repr(chunk) == "<Chunk 5: 0 of 4 present>"
        assert repr(ours.recv.Chunk()) == "<Chunk -1, without buffers>"

    def test_a_chunk_that_no_stream_filled_has_no_way_home(self, ours):
        with pytest.raises(ValueError, match="no free ring"):
            tools.chunk(ours).recycle()
        with pytest.raises(ValueError, match="data buffer"):
            ours.recv.Chunk().recycle()

    def test_a_cycle_through_a_chunk_is_collected(self, ours):
        class Mine(ours.recv.Chunk):
            pass

        class Buffer(bytearray):
            pass

        memory = Buffer(8)
        chunk = Mine(data=memory, present=bytearray(1))
        memory.chunk = chunk
        reference = weakref.ref(chunk)
        del memory, chunk
        gc.collect()
        assert reference() is None
