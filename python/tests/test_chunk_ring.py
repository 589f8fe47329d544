"""`recv.ChunkRingbuffer`: getting, putting, waiting, ending."""

import os
import select
import signal
import threading
import time
import weakref

import chunk_tools as tools
import pytest
from waiting import eventually


@pytest.fixture
def ring(lib):
    return lib.recv.ChunkRingbuffer(2)


def test_it_knows_its_size(lib, ring):
    assert (ring.maxsize, ring.qsize(), ring.empty(), ring.full()) == (2, 0, True, False)
    ring.put(tools.chunk(lib))
    assert (ring.qsize(), ring.empty(), ring.full()) == (1, False, False)
    ring.put(chunk=tools.chunk(lib))
    assert (ring.qsize(), ring.empty(), ring.full()) == (2, False, True)


@pytest.mark.parametrize("size", [-1, 2**64, 1.5, "a", None])
def test_impossible_sizes_are_type_errors(lib, size):
    with pytest.raises(TypeError):
        lib.recv.ChunkRingbuffer(size)


def test_the_size_may_be_a_keyword_and_is_needed(lib):
    assert lib.recv.ChunkRingbuffer(maxsize=3).maxsize == 3
    with pytest.raises(TypeError):
        lib.recv.ChunkRingbuffer()


def test_no_room_at_all_is_an_error(ours):
    with pytest.raises(ValueError, match="at least 1"):
        ours.recv.ChunkRingbuffer(0)


def test_first_in_first_out(lib, ring):
    first, second = tools.chunk(lib), tools.chunk(lib)
    ring.put(first)
    ring.put(second)
    assert ring.get() is first
    assert ring.get_nowait() is second
    with pytest.raises(lib.Empty):
        ring.get_nowait()


def test_a_put_that_finds_no_room_restores_the_chunk(lib, ring):
    chunk = tools.chunk(lib)
    data, present = chunk.data, chunk.present
    ring.put(tools.chunk(lib))
    ring.put(tools.chunk(lib))
    with pytest.raises(lib.Full):
        ring.put_nowait(chunk)
    assert chunk.data is data and chunk.present is present


def test_stopping(lib, ring):
    chunk = tools.chunk(lib)
    ring.put(chunk)
    assert ring.stop() is True
    other = tools.chunk(lib)
    for put in (ring.put, ring.put_nowait):
        with pytest.raises(lib.Stopped):
            put(other)
        assert other.data is not None and other.present is not None
    assert ring.get() is chunk
    for get in (ring.get, ring.get_nowait):
        with pytest.raises(lib.Stopped):
            get()
    assert list(ring) == []


def test_only_the_first_stop_is_one(ours):
    ring = ours.recv.ChunkRingbuffer(1)
    assert [ring.stop(), ring.stop()] == [True, False]


def test_iteration_ends_with_the_ring(lib, ring):
    chunks = [tools.chunk(lib), tools.chunk(lib)]
    for chunk in chunks:
        ring.put(chunk)
    ring.stop()
    assert iter(ring) is ring
    assert list(ring) == chunks


def test_it_ends_with_its_last_producer(lib, ring):
    ring.add_producer()
    ring.add_producer()
    assert ring.remove_producer() is False
    with pytest.raises(lib.Empty):
        ring.get_nowait()
    assert ring.remove_producer() is True
    with pytest.raises(lib.Stopped):
        ring.get_nowait()
    assert ring.remove_producer() is False


def test_the_last_producer_of_a_stopped_ring_is_its_last(lib, ring):
    ring.add_producer()
    ring.add_producer()
    ring.stop()
    assert ring.remove_producer() is False
    assert ring.remove_producer() is True


def test_get_waits_for_a_chunk(lib, ring):
    got = tools.in_thread(ring.get)
    chunk = tools.chunk(lib)
    ring.put(chunk)
    assert got() is chunk


def test_put_waits_for_room(lib, ring):
    first, second, third = (tools.chunk(lib) for _ in range(3))
    ring.put(first)
    ring.put(second)
    put = tools.in_thread(ring.put, third)
    assert [ring.get() for _ in range(3)] == [first, second, third]
    put()


def test_stop_wakes_those_who_wait(lib, ring):
    getters = [tools.in_thread(ring.get) for _ in range(3)]
    full = lib.recv.ChunkRingbuffer(1)
    full.put(tools.chunk(lib))
    chunk = tools.chunk(lib)
    putter = tools.in_thread(full.put, chunk)
    eventually(lambda: chunk.data is None)  # it has begun
    ring.stop()
    full.stop()
    for waits in (*getters, putter):
        with pytest.raises(lib.Stopped):
            waits()
    assert chunk.data is not None


@pytest.mark.parametrize("waiting", ["get", "put", "iterate"])
def test_signals_end_a_wait(lib, ring, waiting):
    chunk = tools.chunk(lib)
    if waiting == "put":
        while not ring.full():
            ring.put(tools.chunk(lib))
    call = {"get": ring.get, "put": lambda: ring.put(chunk), "iterate": lambda: next(ring)}[waiting]
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        call()
    timer.join()
    assert chunk.data is not None


def test_others_run_while_one_waits(lib, ring):
    got = tools.in_thread(ring.get)
    time.sleep(0)
    assert sum(range(1000)) == 499500  # this thread has the GIL
    ring.stop()
    with pytest.raises(lib.Stopped):
        got()


def readable(descriptor):
    return bool(select.select([descriptor], [], [], 0)[0])


def test_descriptors_tell_what_would_not_wait(lib, ring):
    chunk = tools.chunk(lib)
    assert (readable(ring.data_fd), readable(ring.space_fd)) == (False, True)
    ring.put(chunk)
    assert (readable(ring.data_fd), readable(ring.space_fd)) == (True, True)
    ring.put(tools.chunk(lib))
    assert (readable(ring.data_fd), readable(ring.space_fd)) == (True, False)
    ring.get()
    ring.get()
    assert (readable(ring.data_fd), readable(ring.space_fd)) == (False, True)
    ring.stop()
    assert (readable(ring.data_fd), readable(ring.space_fd)) == (True, True)
    assert ring.data_fd == ring.data_fd


def test_a_subclass_may_have_another_constructor(lib):
    class Named(lib.recv.ChunkRingbuffer):
        def __init__(self, name, size):
            super().__init__(size)
            self.name = name

    ring = Named("mine", 3)
    assert (ring.name, ring.maxsize) == ("mine", 3)
    assert weakref.ref(ring)() is ring


class TestOfOurs:
    def test_timeouts(self, ours):
        ring = ours.recv.ChunkRingbuffer(1)
        start = time.monotonic()
        with pytest.raises(ours.Empty):
            ring.get(timeout=0.3)
        assert 0.3 <= time.monotonic() - start < 5
        with pytest.raises(ours.Empty):
            ring.get(timeout=0)
        ring.put(tools.chunk(ours), timeout=0)
        chunk = tools.chunk(ours)
        with pytest.raises(ours.Full):
            ring.put(chunk, timeout=0.05)
        assert chunk.data is not None
        assert ring.get(timeout=1e30) is not None
        for wrong in (-1, float("nan")):
            with pytest.raises(ValueError, match="timeout"):
                ring.get(timeout=wrong)
            with pytest.raises(ValueError, match="timeout"):
                ring.put(chunk, timeout=wrong)
        assert chunk.data is not None

    def test_counters(self, ours):
        ring = ours.recv.ChunkRingbuffer(2)
        for _ in range(2):
            ring.put(tools.chunk(ours))
        with pytest.raises(ours.Full):
            ring.put_nowait(tools.chunk(ours))
        ring.get()
        counters = ring.counters
        assert (counters["pushed"], counters["popped"], counters["size"]) == (2, 1, 1)
        assert (counters["capacity"], counters["high_water"], counters["full_events"]) == (2, 2, 1)

    def test_says_what_it_is(self, ours):
        ring = ours.recv.ChunkRingbuffer(2)
        ring.put(tools.chunk(ours))
        ring.stop()
        assert repr(ring) == "<ChunkRingbuffer with 1 of 2 chunks, stopped>"
