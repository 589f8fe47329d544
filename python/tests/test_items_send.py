"""Heap generators: which descriptors and values the next heap carries."""

import gc
import itertools
import weakref

import numpy as np
import pytest
from differential import BOTH

ONE, TWO = 0x1000, 0x1001


class Recorder:
    """A heap that says what is put into it."""

    def __init__(self):
        self.log = []

    def add_item(self, item):
        self.log.append(("item", item.id, item.version))

    def add_descriptor(self, descriptor):
        self.log.append(("descriptor", descriptor.id))


def heap(generator, **which):
    recorder = Recorder()
    assert generator.add_to_heap(recorder, **which) is recorder
    return recorder.log


def group_of_two(lib, **options):
    group = lib.send.ItemGroup(**options)
    group.add_item(ONE, "one", "", (), "u1")
    group.add_item(TWO, "two", "", (), "u1", value=1)
    return group


def test_what_changed_is_sent(lib):
    group = group_of_two(lib)
    assert heap(group) == [("descriptor", ONE), ("descriptor", TWO), ("item", TWO, 1)]
    assert heap(group) == []
    group["one"].value = 3
    assert heap(group) == [("item", ONE, 2)]
    group["two"].version = 7
    assert heap(group) == [("item", TWO, 7)]
    assert heap(group) == []


def test_what_is_sent_can_be_chosen(lib):
    group = group_of_two(lib)
    group["one"].value = 3
    assert heap(group, descriptors="none", data="none") == []
    assert heap(group, data="none") == [("descriptor", ONE), ("descriptor", TWO)]
    assert heap(group) == [("item", ONE, 2), ("item", TWO, 1)]
    assert heap(group, data="all") == [("item", ONE, 2), ("item", TWO, 1)]
    assert heap(group, descriptors="all") == [("descriptor", ONE), ("descriptor", TWO)]


@pytest.mark.parametrize("which", [{"descriptors": "x"}, {"data": "x"}, {"data": None}])
def test_other_choices_are_refused(lib, which):
    with pytest.raises(ValueError, match="must be one of 'stale', 'all', 'none'"):
        lib.send.ItemGroup().get_heap(**which)


def test_an_item_that_replaces_another_is_sent_again(lib):
    group = group_of_two(lib)
    heap(group)
    group.add_item(TWO, "two", "new", (), "u1", value=1)
    assert heap(group) == [("descriptor", TWO), ("item", TWO, 2)]
    assert heap(group) == []
    group.add_item(TWO, "two", "newer", (), "u1")
    assert heap(group) == [("descriptor", TWO)]
    assert heap(group) == []


@pytest.mark.parametrize(
    ("frequency", "described"),
    [(None, [0]), (0, [0, 1, 2, 3, 4, 5]), (1, [0, 1, 2, 3, 4, 5]), (2, [0, 2, 4]), (3, [0, 3])],
)
def test_descriptors_are_repeated(lib, frequency, described):
    group = group_of_two(lib, descriptor_frequency=frequency)
    heaps = [heap(group) for _ in range(6)]
    assert [at for at, log in enumerate(heaps) if ("descriptor", ONE) in log] == described


def test_several_generators_of_a_group_each_remember(lib):
    group = lib.ItemGroup()
    group.add_item(ONE, "one", "", (), "u1", value=1)
    generators = [lib.send.HeapGenerator(group) for _ in range(2)]
    expected = [("descriptor", ONE), ("item", ONE, 1)]
    assert [heap(generator) for generator in generators] == [expected, expected]
    assert [heap(generator) for generator in generators] == [[], []]


def test_random_histories():
    """Whatever is done to a group, both send the same."""
    rng = np.random.default_rng(3)
    which = list(itertools.product(("stale", "all", "none"), repeat=2))
    for _ in range(50):
        frequency = [None, 0, 1, 2, 3][rng.integers(5)]
        groups = [lib.send.ItemGroup(descriptor_frequency=frequency) for lib in BOTH]
        for step in range(60):
            id, action = int(rng.integers(ONE, ONE + 4)), rng.integers(5)
            for group in groups:
                if action == 0 or id not in group:
                    value = step if step % 2 else None
                    group.add_item(id, f"item{id % 3}", str(step % 4), (), "u1", value=value)
                elif action == 1:
                    group[id].value = step
                elif action == 2:
                    group[id].version += 1
            descriptors, data = which[rng.integers(len(which))]
            theirs, ours = (heap(g, descriptors=descriptors, data=data) for g in groups)
            assert ours == theirs


def packets(lib, heap):
    return [bytes(packet) for packet in lib.send.PacketGenerator(heap, 1, 1472)]


def test_start_and_end(lib):
    group = lib.send.ItemGroup(flavour=lib.Flavour(4, 64, 48))
    for made, value in ((group.get_start(), 0), (group.get_end(), 2)):
        assert made.flavour == lib.Flavour(4, 64, 48)
        [packet] = packets(lib, made)
        assert packet[40:48] == bytes([0x80, 6, 0, 0, 0, 0, 0, value])


def test_the_flavour_is_that_of_the_heaps(lib):
    items = lib.ItemGroup()
    generator = lib.send.HeapGenerator(items, None, lib.Flavour(4, 64, 48))
    assert generator.get_heap().flavour.heap_address_bits == 48
    assert lib.send.HeapGenerator(items).get_heap().flavour == lib.Flavour()


def test_both_make_the_same_packets():
    def made(lib):
        group = lib.send.ItemGroup()
        group.add_item(ONE, "one", "the first", (), format=[("u", 48)], value=5)
        group.add_item(TWO, "two", "the second", (3,), "<u2", value=[1, 2, 3])
        group.add_item(0x1002, "three", "", (None,), format=[("c", 8)], value="text")
        group.add_item(0x1003, "four", "", (2, 2), ">f4", "F", value=[[1, 2], [3, 4]])
        group.add_item(0x1004, "five", "", (3,), format=[("u", 4), ("b", 1)], value=[(1, 1)] * 3)
        first = packets(lib, group.get_heap())
        group["one"].value = 6
        return first + packets(lib, group.get_heap()) + packets(lib, group.get_heap(data="all"))

    theirs, ours = (made(lib) for lib in BOTH)
    assert ours == theirs


def test_subclasses_may_have_other_constructors(lib):
    class Special(lib.send.ItemGroup):
        def __init__(self, *, every):
            super().__init__(descriptor_frequency=every)

    group = Special(every=1)
    group.add_item(ONE, "one", "", (), "u1")
    assert [heap(group) for _ in range(2)] == [[("descriptor", ONE)]] * 2


def test_a_group_goes_with_its_last_reference(lib):
    group = group_of_two(lib)
    gone = weakref.ref(group)
    gc.disable()
    try:
        del group
        assert gone() is None
    finally:
        gc.enable()
