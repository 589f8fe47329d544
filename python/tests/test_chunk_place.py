"""Placement by C functions: what they are given, and what becomes of what they answer."""

import ctypes

import chunk_tools as tools
import numba
import numpy as np
import pytest
import scipy
from chunk_tools import HEAP, HEAPS


def receive(lib, config, data, **options):
    """All chunks that a stream makes of these packets, and the stream."""
    stream = tools.stream(lib, config, **options)
    stream.add_buffer_reader(data)
    chunks = list(stream.data_ringbuffer)
    stream.stop()
    return chunks, stream


def test_the_record_is_as_documented(lib):
    seen = []

    def place(data, size):
        packet = bytes(data.packet[: data.packet_size])
        seen.append((packet, size, data.items[0], data.items[1], data.items[2]))
        seen.append((data.chunk_id, data.heap_index, data.heap_offset))
        seen.append((data.extra_offset, data.extra_size, bool(data.extra)))
        tools.by_number(data, size)

    config = tools.config(lib, place, items=[tools.NUMBER, tools.HEAP_LENGTH, 0x9999])
    packet = tools.packets([5])
    receive(lib, config, packet + packet[:3])
    assert seen[0] == (packet, 80, 5, HEAP, -1)
    assert seen[1:] == [(-1, 0, 0), (0, 0, False)]


def test_without_items_there_are_none(lib):
    seen = []
    config = tools.config(lib, lambda data, size: seen.append(bool(data.items)), items=[])
    receive(lib, config, tools.packets([1]))
    assert seen == [False]


def test_the_context_is_passed_on(lib):
    seen = []
    config = lib.recv.ChunkStreamConfig(
        items=[tools.NUMBER, tools.HEAP_LENGTH],
        place=tools.placement(lambda data, size, user: seen.append(user), context=0xABCDE),
    )
    receive(lib, config, tools.packets([1]))
    assert seen == [0xABCDE]


def test_it_is_asked_once_per_heap_with_the_first_packet(lib):
    seen = []

    def place(data, size):
        seen.append((data.items[0], data.packet_size))
        data.chunk_id, data.heap_offset = data.items[0], 0

    config = tools.config(lib, place)
    data = tools.packets([1, 2], size=1000, packet_size=200)
    chunks, stream = receive(lib, config, data, heaps=1, size=1000)
    assert seen == [(1, 200), (2, 200)]
    assert [(one.chunk_id, bytes(one.present), set(one.data)) for one in chunks] == [
        (0, b"\0", {0}), (1, b"\1", {1}), (2, b"\1", {2}),
    ]  # fmt: skip
    assert stream.stats.packets > 10


def test_the_function_lives_as_long_as_the_stream(lib):
    # Nothing but the stream has it.
    chunks, _ = receive(lib, tools.config(lib, tools.by_number), tools.packets(range(8)))
    assert tools.shown(chunks) == [(0, b"\1" * 4), (1, b"\1" * 4)]


def test_rejected_and_late_heaps_are_counted(lib):
    data = tools.packets([8, 9, 0]) + tools.packets([10], size=32) + tools.packets([1], stop=True)
    chunks, stream = receive(lib, tools.config(lib), data)
    assert tools.shown(chunks) == [(1, bytes(4)), (2, b"\1\1\0\0")]
    assert (stream.stats.heaps, stream.stats.packets) == (5, 6)
    assert stream.stats["too_old_heaps"] == 2
    # The heap of the wrong size, and the one that ends the stream.
    assert stream.stats["rejected_heaps"] == 2


def test_statistics_of_the_function(lib):
    config = lib.recv.StreamConfig()
    counter = config.add_stat("test.counter")
    maximum = config.add_stat("test.maximum", lib.recv.StreamStatConfig.Mode.MAXIMUM)

    def place(data, size):
        tools.by_number(data, size)
        if data.chunk_id >= 0:
            data.batch_stats[counter] += 2
            data.batch_stats[maximum] = max(data.batch_stats[maximum], data.items[0])

    _, stream = receive(
        lib, tools.config(lib, place), tools.packets([3, 7, 5]), stream_config=config
    )
    assert (counter, maximum) == (9, 10)
    assert (stream.stats[counter], stream.stats["test.maximum"]) == (6, 7)
    names = [name for name, _ in stream.stats.items()]
    assert names[9:] == ["test.counter", "test.maximum", "too_old_heaps", "rejected_heaps"]
    assert stream.config.next_stat_index() == 13


def test_extra(lib):
    def place(data, size):
        tools.by_number(data, size)
        data.extra[0], data.extra[1] = data.items[0], 0xEE
        data.extra_offset, data.extra_size = 2 * data.heap_index, 2

    config = tools.config(lib, place, max_heap_extra=4)
    chunks, _ = receive(lib, config, tools.packets([4, 6, 7]), extra=2 * HEAPS)
    assert [bytes(one.extra) for one in chunks] == [
        bytes(8), bytes([4, 0xEE, 0, 0, 6, 0xEE, 7, 0xEE]),
    ]  # fmt: skip


def test_presence_of_packets(lib):
    def place(data, _size):
        number = data.items[0]
        data.chunk_id, data.heap_index, data.heap_offset = 0, 4 * number, 1024 * number

    config = tools.config(lib, place).enable_packet_presence(256)
    assert config.packet_presence_payload_size == 256
    stream_config = lib.recv.StreamConfig(allow_out_of_order=True, max_heaps=8)
    # 8 for the header, 8 for each of 6 pointers, 256 of payload
    whole = tools.packets([0, 1], size=1024, packet_size=8 + 6 * 8 + 256)
    size = len(whole) // 8
    some = b"".join(whole[at * size : (at + 1) * size] for at in (0, 2, 3, 5, 7))
    chunks, _ = receive(
        lib, config, some, stream_config=stream_config, heaps=8, size=256
    )
    assert tools.shown(chunks) == [(0, bytes([1, 0, 1, 1, 0, 1, 0, 1]))]


def test_repeated_heaps_are_written_again(lib):
    data = tools.packets([0]) + tools.packets([0])
    chunks, stream = receive(lib, tools.config(lib), data)
    assert tools.shown(chunks) == [(0, b"\1\0\0\0")]
    assert stream.stats.heaps == 2


def absurd(**answers):
    def place(data, _size):
        data.chunk_id = 0
        for name, value in answers.items():
            setattr(data, name, value)

    return place


ABSURD = [
    {"heap_offset": HEAP * HEAPS - HEAP + 1},
    {"heap_offset": 2**64 - 1},
    {"heap_offset": 2**63},
    {"heap_index": HEAPS},
    {"heap_index": 2**64 - 1},
    {"extra_size": 5},
    {"extra_size": 2**64 - 1},
    {"extra_size": 4, "extra_offset": 1},
    {"extra_size": 1, "extra_offset": 2**64 - 1},
]


@pytest.mark.parametrize("answers", ABSURD, ids=str)
def test_absurd_answers_are_dropped_and_counted(ours, answers):
    guard = np.full(3 * HEAP * HEAPS, 0xAA, np.uint8)
    config = tools.config(ours, absurd(**answers), max_heap_extra=4)
    stream = tools.stream(ours, config, chunks=1, extra=4)
    chunk = stream.free_ringbuffer.get()
    chunk.data = guard[HEAP * HEAPS : 2 * HEAP * HEAPS]
    stream.free_ringbuffer.put(chunk)
    stream.add_buffer_reader(tools.packets([3, 4]))
    assert not any(any(one.present) for one in stream.data_ringbuffer)
    stream.stop()
    chunk.data = None
    assert set(guard) == {0xAA}
    assert stream.counters["heaps.bad_placement"] == 2
    assert stream.stats.heaps == 2  # as the reference counts


def test_negative_ids_of_all_kinds_are_rejected(lib):
    for chunk_id in (-1, -2, -(2**63)):
        config = tools.config(lib, absurd(chunk_id=chunk_id))
        chunks, stream = receive(lib, config, tools.packets([1]))
        assert chunks == []
        assert stream.stats["rejected_heaps"] == 1


def test_the_largest_id_works(lib):
    config = tools.config(lib, absurd(chunk_id=2**63 - 1), max_chunks=2)
    chunks, _ = receive(lib, config, tools.packets([1]))
    assert tools.shown(chunks) == [(2**63 - 2, bytes(4)), (2**63 - 1, b"\1\0\0\0")]


def test_scratch_for_extra_is_limited(ours):
    config = tools.config(ours, max_heap_extra=2**63)
    with pytest.raises(ValueError, match="max_heap_extra"):
        tools.stream(ours, config)


def test_functions_of_numba(lib):
    record = lib.module("recv.numba").chunk_place_data
    to_pointer = lib.module("numba").intp_to_voidptr
    types = numba.types

    assert record.size == 80
    offsets = {name: record.offset(name) for name in record.fields}
    assert offsets == {
        name: getattr(tools.PlaceData, name).offset for name, _ in tools.PlaceData._fields_
    }

    @numba.cfunc(
        types.void(types.CPointer(record), types.uintp, types.CPointer(types.int64)), nopython=True
    )
    def place(pointer, size, heap_size):
        data = numba.carray(pointer, 1)
        items = numba.carray(to_pointer(data[0].items), 2, dtype=np.int64)
        if items[0] >= 0 and items[1] == heap_size[0] and size == 80:
            data[0].chunk_id = items[0] // 4
            data[0].heap_index = items[0] % 4
            data[0].heap_offset = items[0] % 4 * items[1]

    size = np.array([HEAP], np.int64)
    call = scipy.LowLevelCallable(
        place.ctypes,
        user_data=size.ctypes.data_as(ctypes.c_void_p),
        signature="void (void *, size_t, void *)",
    )
    config = lib.recv.ChunkStreamConfig(items=[tools.NUMBER, tools.HEAP_LENGTH], place=call)
    chunks, _ = receive(lib, config, tools.packets([0, 5]))
    assert tools.shown(chunks) == [(0, b"\1\0\0\0"), (1, b"\0\1\0\0")]
