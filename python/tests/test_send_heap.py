"""Heaps and their packets."""

import gc
import itertools
import random
import weakref

import numpy as np
import pytest
import spead2.send
from sending import Value, make_heap, packets

import speadway.send


def test_flavours(lib):
    flavour = lib.Flavour(4, 64, 48, 7)
    assert lib.send.Heap().flavour == lib.Flavour()
    assert lib.send.Heap(flavour).flavour == flavour
    assert lib.send.Heap(flavour=flavour).flavour == flavour
    for wrong in (None, 40, "64-40"):
        with pytest.raises(TypeError):
            lib.send.Heap(wrong)
    with pytest.raises(AttributeError):
        lib.send.Heap().flavour = flavour


def test_repeat_pointers(lib):
    heap = lib.send.Heap()
    assert heap.repeat_pointers is False
    for value in (True, False, 1, 0, None, np.True_):
        heap.repeat_pointers = value
        assert heap.repeat_pointers is bool(value)
    for wrong in ("yes", []):
        with pytest.raises(TypeError):
            heap.repeat_pointers = wrong


def test_heaps_are_collected_and_can_be_referenced_weakly(lib):
    class Mine(lib.send.Heap):
        def __init__(self, note):
            super().__init__(lib.Flavour(4, 64, 48))
            self.note = note

    heap = Mine("hello")
    heap.add_item(Value(0x1000, bytearray(10)))
    reference = weakref.ref(heap)
    assert (heap.note, heap.flavour.heap_address_bits) == ("hello", 48)
    del heap
    gc.collect()
    assert reference() is None


def test_subclasses_have_to_call_the_constructor(ours):
    class Mine(ours.send.Heap):
        def __init__(self):
            pass

    with pytest.raises(TypeError, match="__init__"):
        Mine().add_start()


def test_items_are_asked_for_what_they_are(lib):
    heap = lib.send.Heap()
    for wrong in (None, object(), 5):
        with pytest.raises(AttributeError):
            heap.add_item(wrong)

    class NoImmediate:
        id = 0x1000

        def to_buffer(self):
            return b"abc"

    with pytest.raises(AttributeError):
        heap.add_item(NoImmediate())

    class Failing(Value):
        def to_buffer(self):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        heap.add_item(Failing(0x1000, b""))
    # Nothing of these is in the heap.
    assert packets(lib, heap) == packets(lib, lib.send.Heap())


@pytest.mark.parametrize(
    ("buffer", "error"),
    [
        ("text", TypeError),
        (None, TypeError),
        (np.arange(10)[::2], ValueError),
        (np.zeros((3, 3), order="F"), ValueError),
        (memoryview(b"abcd")[::2], BufferError),
    ],
)
@pytest.mark.parametrize("immediate", [True, False])
def test_memory_has_to_be_contiguous(lib, buffer, error, immediate):
    with pytest.raises(error):
        lib.send.Heap().add_item(Value(0x1000, buffer, immediate))


@pytest.mark.parametrize(
    "buffer",
    [
        b"",
        b"abc",
        bytearray(b"abcdefgh"),
        memoryview(b"abcdef")[2:],
        np.arange(12, dtype=">u2").reshape(3, 4),
        np.array(17, ">u8"),
        np.zeros((0, 3)),
        np.asfortranarray(np.zeros((1, 5))),
    ],
)
@pytest.mark.parametrize("immediate", [True, False])
def test_any_contiguous_memory_will_do(buffer, immediate):
    theirs, ours = (
        packets(lib, make_heap(lib, Value(0x1000, buffer, immediate)))
        for lib in (spead2, speadway)
    )
    assert ours == theirs


def test_whole_numbers_of_other_types_are_ids(lib):
    assert packets(lib, make_heap(lib, Value(np.int64(0x1234), b"abc"))) == packets(
        lib, make_heap(lib, Value(0x1234, b"abc"))
    )


@pytest.mark.parametrize("bits", [8, 40, 56])
def test_ids_that_do_not_fit_are_refused(ours, bits):
    """The reference sends such items under another id."""
    heap = ours.send.Heap(ours.Flavour(4, 64, bits))
    for item_id in (-1, 0, 1, 4, 1 << (63 - bits), 1 << 64):
        with pytest.raises(ValueError, match="id|ID"):
            heap.add_item(Value(item_id, b"abc", True))
    for item_id in ("a", 1.5, None):
        with pytest.raises(TypeError):
            heap.add_item(Value(item_id, b"abc"))
    assert packets(ours, heap) == packets(ours, ours.send.Heap(ours.Flavour(4, 64, bits)))


@pytest.mark.parametrize("bits", [8, 16, 24, 32, 40, 48, 56])
def test_control_items(bits):
    for method in ("add_start", "add_end"):
        made = []
        for lib in (spead2, speadway):
            heap = make_heap(lib, bits=bits)
            getattr(heap, method)()
            made.append(packets(lib, heap))
        assert made[0] == made[1]


def test_memory_is_referenced(lib):
    memory = bytearray(b"x" * 100)
    heap = make_heap(lib, Value(0x1000, memory))
    memory[0] = ord("y")
    assert packets(lib, heap)[0].endswith(b"y" + b"x" * 99)
    with pytest.raises(BufferError):
        memory.append(0)
    generator = lib.send.PacketGenerator(heap, 1, 1472)
    del heap
    with pytest.raises(BufferError):
        memory.append(0)
    del generator
    memory.append(0)


def test_short_values_are_read_when_they_are_sent(lib):
    """A heap can be used again with a timestamp that is written into in place."""
    timestamp = np.array([1], ">u8")
    items = [Value(0x1000, timestamp, True), Value(0x1001, timestamp.view("u1")[2:], True)]
    heap = make_heap(lib, *items, bits=48)
    before = packets(lib, heap)
    timestamp[0] = 2
    assert before != packets(lib, heap) == packets(lib, make_heap(lib, *items, bits=48))


def test_the_generator(lib):
    heap = make_heap(lib, Value(0x1000, b"x" * 20))
    generator = lib.send.PacketGenerator(heap=heap, cnt=1, max_packet_size=56)
    assert iter(generator) is generator
    assert all(type(packet) is bytes for packet in generator)
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(generator)


def test_impossible_generators(lib):
    heap = make_heap(lib, Value(0x1000, b"x" * 20))
    for arguments in [
        (None, 1, 1472),
        (heap, -1, 1472),
        (heap, 1.5, 1472),
        (heap, 2**64, 1472),
        (heap, 1, -1),
        (heap, 1),
    ]:
        with pytest.raises(TypeError):
            lib.send.PacketGenerator(*arguments)
    with pytest.raises(ValueError, match="packet size is too small"):
        packets(lib, heap, 1, 55)


def test_repeated_pointers_have_to_fit(lib):
    heap = make_heap(lib, *(Value(0x1000 + i, b"x" * 20) for i in range(4)), repeat=True)
    with pytest.raises(ValueError, match="too small to repeat item pointers"):
        packets(lib, heap, 1, 80)
    assert len(packets(lib, heap, 1, 88)) == 5


@pytest.mark.parametrize("bits", [8, 40, 56])
def test_a_count_larger_than_the_flavour_can_tell(ours, bits):
    """The reference sends a pointer with another id."""
    heap = make_heap(ours, bits=bits)
    with pytest.raises(ValueError, match="heap count"):
        packets(ours, heap, 1 << bits)


def test_a_heap_longer_than_the_flavour_can_tell(ours):
    """The reference sends packets that contradict themselves."""
    heap = make_heap(ours, Value(0x1000, bytes(256)), bits=8)
    with pytest.raises(ValueError, match="longer"):
        packets(ours, heap)


def random_items(rng, bits):
    ids = range(5, min(1 << (63 - bits), 0x8000))
    room = 200 if bits == 8 else 3000
    for _ in range(rng.choice([0, 1, 2, 5, 20, 60])):
        length = rng.choice([0, 1, 2, 5, 6, 8, 9, 100, 1000])
        if length <= room:
            room -= length
            yield Value(rng.choice(ids), rng.randbytes(length), rng.random() < 0.5)


@pytest.mark.parametrize("seed", range(300))
def test_packets_are_the_references_byte_for_byte(seed):
    rng = random.Random(seed)
    bits = rng.choice([8, 16, 24, 32, 40, 48, 56])
    items = list(random_items(rng, bits))
    repeat = rng.random() < 0.3
    size = rng.choice([56, 57, 64, 72, 100, 256, 1472, 9000, 70000])
    cnt = rng.choice([0, 1, 5, (1 << bits) - 1, rng.getrandbits(bits)])
    control = rng.choice([None, None, "add_start", "add_end"])

    def outcome(lib):
        heap = make_heap(lib, *items, bits=bits, repeat=repeat)
        if control is not None:
            getattr(heap, control)()
        try:
            return packets(lib, heap, cnt, size)
        except ValueError:
            return ValueError

    ours, theirs = outcome(speadway), outcome(spead2)
    if ours != theirs:
        assert_is_misplaced_padding(ours, theirs)


def assert_is_misplaced_padding(ours, theirs):
    """The reference puts padding before the values that it should follow, if it is in several
    packets; values are then received wrong."""
    assert len(ours) == len(theirs) > 1
    assert [head(packet) for packet in ours] == [head(packet) for packet in theirs]
    last_pointer = ours[-1][: head_length(ours[-1])][-8:]
    end = int.from_bytes(last_pointer)  # a NULL item, addressed: its id and mode are zeros
    payload = [b"".join(packet[head_length(packet) :] for packet in side) for side in (ours, theirs)]
    assert end < len(payload[0])
    assert payload[0][end:].strip(b"\0") == b""
    assert sorted(payload[0]) == sorted(payload[1])


def head_length(packet):
    return 8 + 8 * int.from_bytes(packet[6:8])


def head(packet):
    return packet[: head_length(packet)]


DESCRIPTORS = [
    {"shape": (), "dtype": "<u4"},
    {"shape": (3, 4), "dtype": ">f8", "order": "F"},
    {"shape": (None, 2), "format": [("u", 12), ("i", 4)]},
    {"shape": (5,), "format": [("c", 8)]},
    {"shape": (), "format": [("u", 48)]},
]


@pytest.mark.parametrize("options", DESCRIPTORS)
@pytest.mark.parametrize("bits", [24, 40, 48])
@pytest.mark.parametrize("compat", range(8))
def test_descriptors_are_the_references(options, bits, compat):
    made = []
    for lib in (spead2, speadway):
        heap = lib.send.Heap(lib.Flavour(4, 64, bits, compat))
        heap.add_descriptor(spead2.Descriptor(0x1234, "name", "a description", **options))
        made.append(packets(lib, heap, 1, 256))
    assert made[0] == made[1]


@pytest.mark.parametrize("item_id", [0, -1, 1 << 23, 1 << 64])
def test_descriptors_of_impossible_ids(lib, item_id):
    descriptor = spead2.Descriptor(item_id, "name", "", (), "u1")
    with pytest.raises((ValueError, TypeError)):
        heap = lib.send.Heap()
        heap.add_descriptor(descriptor)
        packets(lib, heap)


def test_what_is_no_descriptor(lib):
    class Wrong:
        def to_raw(self, flavour):
            return 5

    heap = lib.send.Heap()
    with pytest.raises(AttributeError):
        heap.add_descriptor(5)
    with pytest.raises((AttributeError, RuntimeError)):
        heap.add_descriptor(Wrong())
    assert packets(lib, heap) == packets(lib, lib.send.Heap())


def test_a_heap_may_grow_while_it_is_divided(ours):
    """The generator goes on with the heap as it was; the reference makes packets of both."""
    heap = make_heap(ours, Value(0x1000, b"x" * 100))
    before = packets(ours, heap, 1, 64)
    generator = ours.send.PacketGenerator(heap, 1, 64)
    first = next(generator)
    heap.add_item(Value(0x1001, b"y" * 100))
    assert list(itertools.chain([first], generator)) == before
    assert packets(ours, heap, 1, 64) != before
