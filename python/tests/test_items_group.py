"""Item groups: who replaces whom, and what received heaps do."""

import copy
import logging
import pickle

import numpy as np
import pytest
from differential import Heap, RawItem

BYTE = [("u", 8)]


class Raw:
    """What was received of a descriptor."""

    def __init__(self, id, name, description=b"", shape=(), format=BYTE):
        self.id, self.name, self.description = id, name, description
        self.shape, self.format, self.numpy_header = list(shape), format, b""


def update(lib, group, items=(), descriptors=(), **keywords):
    """Values and versions of what was updated."""
    updated = group.update(Heap(items, descriptors, lib.Flavour()), **keywords)
    assert all(group[name] is item for name, item in updated.items())
    return {name: (item.value, item.version) for name, item in updated.items()}


def names(group):
    return list(group.keys())


def records(caplog):
    return [(r.levelname, r.getMessage()) for r in caplog.records]


@pytest.fixture(autouse=True)
def all_levels(caplog):
    caplog.set_level(logging.DEBUG)


def test_lookup(lib):
    group = lib.ItemGroup()
    one = group.add_item(0x1000, "one", "", (), "u1")
    two = group.add_item(0x1001, "two", "", (), "u1", value=3)
    assert len(group) == 2
    assert group["one"] is one and group[0x1000] is one and group[np.int64(0x1001)] is two
    assert "one" in group and 0x1000 in group and np.int64(0x1000) in group
    for absent in ("three", 5, None, 1.5, 4096.0, b"one"):
        assert absent not in group
        with pytest.raises(KeyError):
            group[absent]
    assert names(group) == ["one", "two"] and list(group.ids()) == [0x1000, 0x1001]
    assert list(group.values()) == [one, two]
    assert list(group.items()) == [("one", one), ("two", two)]


def test_views_are_live(lib):
    group = lib.ItemGroup()
    views = (group.keys(), group.ids(), group.values(), group.items())
    assert [len(view) for view in views] == [0, 0, 0, 0]
    group.add_item(None, "one", "", (), "u1")
    assert [len(view) for view in views] == [1, 1, 1, 1]


def test_ids_are_found_for_those_without(lib):
    group = lib.ItemGroup()
    group.add_item(0xFFF, "z", "", (), "u1")
    group.add_item(0x1001, "y", "", (), "u1")
    ids = [group.add_item(None, name, "", (), "u1").id for name in "abc"]
    assert ids == [0x1000, 0x1002, 0x1003]
    assert group.add_item(None, "b", "", (), "u1").id == 0x1004
    assert group.add_item(None, "d", "", (), "u1").id == 0x1002


def test_wrong_arguments(lib):
    group = lib.ItemGroup()
    with pytest.raises(TypeError):
        group.add_item()
    with pytest.raises(TypeError):
        group.add_item(1, "a", "", (), "u1", other=1)
    with pytest.raises(ValueError):
        group.add_item(1, "a", "", ())
    assert len(group) == 0


def test_others_of_the_name_or_id_are_replaced(lib, caplog):
    group = lib.ItemGroup()
    for id, name in ((0x1000, "a"), (0x1001, "b"), (0x1002, "c")):
        group.add_item(id, name, "", (), "u1")
    assert group.add_item(0x2000, "a", "", (), "u1").version == 2
    assert (names(group), list(group.ids())) == (["b", "c", "a"], [0x1001, 0x1002, 0x2000])
    group["c"].version = 9
    assert group.add_item(0x1001, "c", "", (), "u1").version == 10
    assert (names(group), list(group.ids())) == (["a", "c"], [0x2000, 0x1001])
    assert records(caplog) == [
        ("INFO", "Descriptor replacement for ID 0x2000, name a"),
        ("INFO", "Descriptor replacement for ID 0x1001, name c"),
    ]


def test_an_item_described_alike_stays(lib, caplog):
    group = lib.ItemGroup()
    item = group.add_item(0x1000, "a", "", (2,), "<u2", value=[1, 2])
    group.add_item(0x1000, "a", "", [2], "<u2")
    assert group["a"] is item and (item.value, item.version) == ([1, 2], 1)
    group.add_item(0x1000, "a", "", (2,), np.dtype("<u2"), value=[3, 4])
    assert group["a"] is item and (item.value, item.version) == ([3, 4], 2)
    assert records(caplog) == []


@pytest.mark.parametrize(
    "other",
    [
        {"description": "x"},
        {"shape": (3,)},
        {"dtype": ">u2"},
        {"dtype": None, "format": [("u", 16)]},
        {"order": "F"},
    ],
)
def test_an_item_described_otherwise_replaces(lib, other):
    kind = {"description": "", "shape": (2,), "dtype": "<u2"}
    group = lib.ItemGroup()
    group.add_item(0x1000, "a", **kind)
    item = group.add_item(0x1000, "a", **{**kind, **other})
    assert group["a"] is item and item.version == 2 and len(group) == 1


def test_a_heap_describes_and_updates(lib, caplog):
    group = lib.ItemGroup()
    items = [RawItem(0x1001, b"ab"), RawItem(0x1000, b"a"), RawItem(6, b"\0", True)]
    described = [Raw(0x1000, b"one"), Raw(0x1001, b"two", shape=[None], format=[("c", 8)])]
    assert update(lib, group, items, described) == {"two": ("ab", 3), "one": (ord("a"), 3)}
    assert update(lib, group, [RawItem(0x1000, b"b")]) == {"one": (ord("b"), 5)}
    assert update(lib, group, [], described[:1]) == {}
    assert group["one"].value == ord("b")
    assert records(caplog) == []


def test_the_last_of_several_values_counts(lib):
    group = lib.ItemGroup()
    group.add_item(0x1000, "one", "", (), format=BYTE)
    items = [RawItem(0x1000, b"a"), RawItem(0x1000, b"b")]
    assert update(lib, group, items) == {"one": (ord("b"), 5)}


def test_a_received_descriptor_replaces(lib, caplog):
    group = lib.ItemGroup()
    group.add_item(0x1000, "one", "", (), format=BYTE, value=7)
    assert update(lib, group, [], [Raw(0x1000, b"two", b"other")]) == {}
    assert names(group) == ["two"]
    assert (group["two"].value, group["two"].version) == (None, 2)
    assert records(caplog) == [("INFO", "Descriptor replacement for ID 0x1000, name two")]


def test_unknown_items_are_warned_of(lib, caplog):
    items = [RawItem(id, b"z") for id in (*range(8), 0x10, 0x1000)]
    assert update(lib, lib.ItemGroup(), items) == {}
    assert records(caplog) == [
        ("WARNING", f"Item with ID {id} received but there is no descriptor")
        for id in ("0x7", "0x10", "0x1000")
    ]


def test_ids_of_the_protocol_are_no_items(lib):
    group = lib.ItemGroup()
    for id in range(8):
        group.add_item(id, str(id), "", (), format=BYTE)
    assert list(update(lib, group, [RawItem(id, b"z") for id in range(8)])) == ["7"]


def test_what_came_before_an_error_is_taken_over(lib):
    group = lib.ItemGroup()
    group.add_item(0x1000, "one", "", (), format=BYTE)
    with pytest.raises(ValueError, match="Item one has too few elements"):
        update(lib, group, [RawItem(0x1000, b"c"), RawItem(0x1000, b"")])
    assert (group["one"].value, group["one"].version) == (ord("c"), 3)
    with pytest.raises(ValueError):
        update(lib, group, [], [Raw(0x1001, b"two"), Raw(0x1002, b"bad", format=[("x", 8)])])
    assert names(group) == ["one", "two"]


def test_byte_order_is_as_asked_for(lib):
    group = lib.ItemGroup()
    item = group.add_item(0x1000, "one", "", (1,), ">u2")
    for order, dtype in (("=", "<u2"), ("|", ">u2"), ("<", "<u2")):
        update(lib, group, [RawItem(0x1000, b"\1\2")], new_order=order)
        assert item.value.tolist() == [0x0102] and item.value.dtype == dtype
    group.update(Heap([RawItem(0x1000, b"\1\2")]), ">")
    assert item.value.dtype == ">u2"
    with pytest.raises(ValueError):
        update(lib, group, [RawItem(0x1000, b"\1\2")], new_order="x")


def test_subclasses_of_items_are_asked(lib):
    class Special(lib.Item):
        def set_from_raw(self, raw_item, new_order="="):
            super().set_from_raw(raw_item, new_order)
            self.value = (int(self.value), new_order)

    group = lib.ItemGroup()
    group._add_item(Special(0x1000, "one", "", (), format=BYTE))
    assert update(lib, group, [RawItem(0x1000, b"\5")]) == {"one": ((5, "="), 4)}


def test_subclasses_of_items_may_have_another_value(lib):
    class Doubled(lib.Item):
        @property
        def value(self):
            return lib.Item.value.fget(self)

        @value.setter
        def value(self, value):
            lib.Item.value.fset(self, 2 * value)

    group = lib.ItemGroup()
    group._add_item(Doubled(0x1000, "one", "", (), format=BYTE))
    assert update(lib, group, [RawItem(0x1000, b"\5")]) == {"one": (10, 3)}


def test_subclasses_of_groups_are_told_of_new_items(lib):
    class Special(lib.ItemGroup):
        def __init__(self, *, log):
            super().__init__()
            self.log = log

        def _add_item(self, item):
            self.log.append(f"add {item.name}")
            super()._add_item(item)

    log = []
    group = Special(log=log)
    group.add_item(0x1000, "one", "", (), format=BYTE)
    group.update(Heap([RawItem(0x1000, b"\5")], [Raw(0x1001, b"two")], lib.Flavour()))
    assert log == ["add one", "add two"]


def test_groups_can_be_copied_and_pickled(lib):
    group = lib.ItemGroup()
    group.add_item(0x1000, "one", "", (), format=BYTE, value=3)
    for other in (copy.deepcopy(group), pickle.loads(pickle.dumps(group))):
        assert other["one"] is other[0x1000] and other["one"].value == 3
        assert other["one"] is not group["one"]
