"""Item groups updated from heaps that streams received."""

import gc
import logging
import random
import weakref

import numpy as np
import pytest
import spead2
from differential import BOTH, describe
from test_items_random import random_type, random_value

RUNS = 40


def receive(lib, packets, **config):
    """The heaps in these packets."""
    ring = lib.recv.RingStreamConfig(heaps=64)
    stream = lib.recv.Stream(lib.ThreadPool(), lib.recv.StreamConfig(**config), ring)
    stream.add_buffer_reader(packets)
    return list(stream)


def sent(heaps, lib=spead2):
    stream = lib.send.BytesStream(lib.ThreadPool())
    for heap in heaps:
        stream.send_heap(heap)
    return stream.getvalue()


def one_item(value, *, flavour=None, **kind):
    """A heap with an item and its descriptor, and one with the item alone, in packets."""
    group = spead2.send.ItemGroup(flavour=flavour or spead2.Flavour(4, 64, 48))
    group.add_item(0x1000, "data", "", value=value, **kind)
    return sent([group.get_heap(), group.get_heap(data="all")])


def values_of(lib, packets, new_order="="):
    """All values that a group goes through."""
    group = lib.ItemGroup()
    for heap in receive(lib, packets):
        try:
            updated = group.update(heap, new_order)
        except ValueError as error:
            yield type(error)
            continue
        yield {name: (describe(item.value), item.version) for name, item in updated.items()}


@pytest.mark.parametrize("seed", range(RUNS))
def test_both_receive_the_same(seed):
    rng = random.Random(f"update {seed}")
    group = spead2.send.ItemGroup(flavour=spead2.Flavour(4, 64, rng.choice([40, 48])))
    heaps = []
    for _ in range(4):
        for at in range(rng.randrange(1, 5)):
            kind = random_type(rng)
            value = random_value(rng, kind)
            item = spead2.Item(0x1000 + at, f"item{at}", "", value=value, **kind)
            try:
                size = len(memoryview(item.to_buffer()).tobytes())
            except (ValueError, OverflowError, TypeError):
                continue
            if size > 0:  # see test_values_without_elements
                group._add_item(item)
        heaps.append(group.get_heap(data="all"))
        heaps.append(group.get_heap(descriptors="none", data="all"))
    packets = sent(heaps)
    for new_order in "=|<>":
        theirs, ours = (list(values_of(lib, packets, new_order)) for lib in BOTH)
        assert ours == theirs


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ({"shape": (4,), "dtype": "<u4"}, [1, 2, 3, 4]),
        ({"shape": (4,), "dtype": ">u4"}, [1, 2, 3, 4]),
        ({"shape": (2, 2), "dtype": "<c8", "order": "F"}, [[1, 2], [3, 4j]]),
        ({"shape": (None, 2), "format": [("u", 16)]}, [[1, 2], [3, 4], [5, 6]]),
        ({"shape": (), "dtype": "<f8"}, 1.5),
        ({"shape": (), "dtype": ">i2"}, -2),
        ({"shape": (), "format": [("u", 48)]}, 2**48 - 1),
        ({"shape": (), "format": [("i", 40)]}, 2**40 - 1),
        ({"shape": (2,), "dtype": [("a", "<u4"), ("b", ">f8")]}, [(1, 2), (3, 4)]),
        ({"shape": (), "dtype": "S5"}, "abcde"),
    ],
)
@pytest.mark.parametrize("addr_bits", [24, 40, 48])
def test_common_types(kind, value, addr_bits):
    packets = one_item(value, flavour=spead2.Flavour(4, 64, addr_bits), **kind)
    theirs, ours = (list(values_of(lib, packets)) for lib in BOTH)
    assert ours == theirs
    assert [list(update) for update in ours] == [["data"], ["data"]]


def test_values_share_the_memory_of_the_heap(lib):
    [heap, _] = receive(lib, one_item(np.arange(4), shape=(4,), dtype="<u4"))
    group = lib.ItemGroup()
    value = group.update(heap)["data"].value
    raw = np.asarray(heap.get_items()[0])
    assert np.shares_memory(value, raw)
    value[0] = 0x01020304
    assert raw[:4].tolist() == [4, 3, 2, 1]


def test_values_keep_their_heap(lib):
    group = lib.ItemGroup()
    heaps = receive(lib, one_item(np.arange(4), shape=(4,), dtype="<u4"))
    gone = [weakref.ref(heap) for heap in heaps]
    values = [group.update(heap)["data"].value for heap in heaps]
    del heaps
    gc.collect()
    assert all(heap() is not None for heap in gone)
    assert [value.tolist() for value in values] == [[0, 1, 2, 3]] * 2
    del values
    group["data"].value = 0
    if lib.is_ours:
        gc.collect()
        assert all(heap() is None for heap in gone)


def test_converted_values_do_not(ours):
    group = ours.ItemGroup()
    [heap, _] = receive(ours, one_item(np.arange(4), shape=(4,), dtype=">u4"))
    group.update(heap)
    gone = weakref.ref(heap)
    del heap
    assert gone() is None
    assert group["data"].value.tolist() == [0, 1, 2, 3]


def test_each_library_takes_heaps_of_the_other():
    packets = one_item(np.arange(4), shape=(4,), dtype="<u4")
    for receiver, owner in (BOTH, BOTH[::-1]):
        group = owner.ItemGroup()
        group.add_item(0x1000, "data", "", (4,), "<u4")
        heap = receive(receiver, packets)[1]
        assert group.update(heap)["data"].value.tolist() == [0, 1, 2, 3]


def test_changes_of_an_item_are_noticed(lib):
    heaps = receive(lib, one_item(np.arange(4), shape=(4,), dtype="<u2"))
    group = lib.ItemGroup()
    item = group.update(heaps[0])["data"]
    item.shape = (2, 2)
    assert group.update(heaps[1])["data"].value.tolist() == [[0, 1], [2, 3]]
    item.order = "F"
    assert group.update(heaps[1])["data"].value.tolist() == [[0, 2], [1, 3]]
    assert group.update(heaps[1], new_order=">")["data"].value.dtype == ">u2"
    item.shape = [4]
    assert group.update(heaps[1])["data"].value.tolist() == [0, 1, 2, 3]
    item.shape = (-4,)
    with pytest.raises((ValueError, TypeError)):
        item.shape = (5,)
        group.update(heaps[1])
    assert item.version == 1 + 2 * 5


@pytest.mark.parametrize("shape", [(2**40, 2**40), (-1, 3), (1,) * 40])
def test_odd_shapes(ours, shape):
    heaps = receive(ours, one_item(np.arange(4), shape=(4,), dtype="<u2"))
    group = ours.ItemGroup()
    item = group.update(heaps[0])["data"]
    item.shape = shape
    try:
        group.update(heaps[1])
    except (ValueError, OverflowError):
        pass
    assert item.version in (3, 5)


def test_subclasses_of_items_are_asked(lib):
    class Asked(lib.Item):
        def set_from_raw(self, raw_item, new_order="="):
            super().set_from_raw(raw_item, new_order)
            self.raw_size = len(memoryview(raw_item))

    class Plain(lib.Item):
        note = "has nothing to say"

    packets = one_item(np.arange(4), shape=(4,), dtype="<u4")
    for kind, version in ((Asked, 3), (Plain, 3)):
        group = lib.ItemGroup()
        group._add_item(kind(0x1000, "data", "", (4,), "<u4"))
        item = group.update(receive(lib, packets)[1])["data"]
        assert type(item) is kind and item.version == version
        assert item.value.tolist() == [0, 1, 2, 3]
        assert kind is Plain or item.raw_size == 16


def test_items_may_be_of_any_class(lib):
    class Foreign:
        id, name, version = 0x1000, "data", 1

        def set_from_raw(self, raw_item, new_order="="):
            self.value = bytes(raw_item)
            self.version += 1

    group = lib.ItemGroup()
    group._add_item(Foreign())
    packets = one_item(np.arange(4), shape=(4,), dtype="<u2")
    item = group.update(receive(lib, packets)[1])["data"]
    assert item.value == np.arange(4, dtype="<u2").tobytes()
    assert item.version == 3


def test_unknown_items_are_warned_of(lib, caplog):
    caplog.set_level(logging.WARNING)
    heaps = receive(lib, one_item(np.arange(4), shape=(4,), dtype="<u4"))
    assert lib.ItemGroup().update(heaps[1]) == {}
    messages = [record.getMessage() for record in caplog.records if "0x1000" in record.getMessage()]
    assert messages == ["Item with ID 0x1000 received but there is no descriptor"]


def test_updating_leaves_no_references(ours):
    """Neither arrays nor heaps pile up."""
    packets = one_item(np.arange(4), shape=(4,), dtype=">u4")
    group = ours.ItemGroup()
    heap = receive(ours, packets)[0]
    group.update(heap)
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(1000):
        group.update(heap)
    gc.collect()
    assert len(gc.get_objects()) < before + 50

