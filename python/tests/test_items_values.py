"""Items: their values, versions, and what is sent and received of them."""

import copy
import pickle

import numpy as np
import pytest
from differential import BOTH, RawItem, bytes_of, outcome


def make(lib, shape, dtype=None, order="C", format=None, value=None):
    return lib.Item(0x1000, "name", "description", shape, dtype, order, format, value=value)


def receive(lib, data, shape, dtype=None, order="C", format=None, immediate=False, new_order="="):
    item = make(lib, shape, dtype, order, format)
    item.set_from_raw(RawItem(0x1000, data, immediate), new_order)
    return item.value


def test_versions(lib):
    item = make(lib, (), "u1", value=5)
    assert (item.value, item.version) == (5, 1)
    item.value = 6
    assert (item.value, item.version) == (6, 2)
    item.version += 1
    item.set_from_raw(RawItem(0x1000, b"\7"))
    assert (item.value, item.version) == (7, 4)


def test_there_may_be_no_value_but_none_cannot_be_set(lib):
    item = make(lib, (), "u1")
    assert item.value is None
    with pytest.raises(ValueError):
        item.to_buffer()
    with pytest.raises(ValueError):
        item.value = None
    assert item.version == 1


def test_the_value_is_a_keyword(lib):
    with pytest.raises(TypeError):
        lib.Item(0x1000, "name", "description", (), "u1", "C", None, 5)
    with pytest.raises(TypeError):
        lib.Item(0x1000, "name", "description", (), "u1", other=5)


@pytest.mark.parametrize(
    ("array", "dtype", "order"),
    [
        (np.arange(6, dtype="<u4").reshape(2, 3), "<u4", "C"),
        (np.asfortranarray(np.arange(6, dtype="<u4").reshape(2, 3)), "<u4", "F"),
        (np.array(5, ">f8"), ">f8", "C"),
    ],
)
def test_a_fitting_array_is_not_copied(lib, array, dtype, order):
    buffer = make(lib, array.shape, dtype, order, value=array).to_buffer()
    assert np.shares_memory(buffer, array)
    assert np.asarray(buffer).flags.c_contiguous


def test_a_read_only_array_is_not_copied_either(lib):
    array = np.frombuffer(b"abcd", "<u2")
    assert make(lib, (2,), "<u2", value=array).to_buffer() is array


def test_a_big_endian_number_of_8_bytes_is_sent_in_place(lib):
    number = np.array(0x0102030405060708, ">u8")
    for bits in (24, 40, 48, 56, 64):
        buffer = make(lib, (), format=[("u", bits)], value=number).to_buffer()
        assert np.shares_memory(buffer, number)
        assert bytes_of(buffer) == bytes(range(9 - bits // 8, 9))


@pytest.mark.parametrize(
    ("value", "dtype", "sent"),
    [
        (np.arange(6, dtype="<u2")[::2], "<u2", "000002000400"),
        ([1, 2, 3], ">u2", "000100020003"),
        (np.array([1.9, 2, 300]), "u1", "01022c"),
        ("abc", "S1", "616263"),
        ("abc", "S2", "610062006300"),
        (b"abc", "U1", "610000006200000063000000"),
    ],
)
def test_other_values_are_converted(lib, value, dtype, sent):
    assert bytes_of(make(lib, (3,), dtype, value=value).to_buffer()).hex() == sent


@pytest.mark.parametrize(
    ("shape", "format", "value", "sent"),
    [
        ((), [("u", 48)], 5, "000000000005"),
        ((), [("u", 48)], 5.5, "000000000005"),
        ((), [("u", 48)], 2**48 + 7, "000000000007"),
        ((), [("i", 48)], 2**47, "800000000000"),
        ((), [("u", 200)], 1 << 150, "00" * 6 + "40" + "00" * 18),
        ((1,), [("i", 24)], [-5], "fffffb"),
        ((3,), [("u", 12)], [1, 2, 3], "0010020030"),
        ((None,), [("u", 12)], [], ""),
        ((1,), [("i", 12)], [-2048], "8000"),
        ((), [("u", 4), ("f", 32)], (1, 2.0), "1400000000"),
        ((2,), [("u", 4), ("f", 32)], [(1, 2.0), (3, 4)], "140000000340800000"),
        ((2,), [("u", 8), ("f", 32)], [(1, 2.0), (3, 4)], "01400000000340800000"),
        ((7,), [("b", 1)], [True, False, 1, 0, 5, "", None], "a8"),
        ((5,), [("b", 4)], [True, False, 1, 0, 5], "101010"),
        ((5,), [("b", 8)], [True, False, 1, 0, 5], "0100010001"),
        ((1,), [("c", 8), ("u", 4)], [("a", 2)], "6120"),
        ((1,), [("u", 12)], ["12"], "00c0"),
        ((1,), [("u", 12)], [3.9], "0030"),
        ((None,), [("c", 8)], "hello", "68656c6c6f"),
        ((5,), [("c", 8)], b"he\0lo", "6865006c6f"),
        ((2,), [("u", 300), ("u", 4)], [(2**299 + 5, 1), (0, 2)], "8" + "0" * 73 + "51" + "0" * 75 + "2"),
        ((1,), [("i", 300)], [-5], "f" * 74 + "b0"),
    ],
)  # fmt: skip
def test_formats_are_packed(lib, shape, format, value, sent):
    assert bytes_of(make(lib, shape, format=format, value=value).to_buffer()).hex() == sent


@pytest.mark.parametrize(
    ("shape", "format", "value"),
    [
        ((), [("u", 8)], 256),
        ((), [("u", 48)], -1),
        ((), [("u", 48)], "a"),
        ((), [("u", 48)], [1]),
        ((2,), [("u", 12)], [1]),
        ((1,), [("u", 12)], [4096]),
        ((1,), [("u", 12)], [-1]),
        ((1,), [("i", 12)], [2048]),
        ((1,), [("i", 12)], [-2049]),
        ((1,), [("u", 300)], [2**300]),
        ((1,), [("i", 300)], [-(2**299) - 1]),
        ((1,), [("u", 12)], [None]),
        ((1,), [("u", 12)], [object()]),
        ((1,), [("u", 12)], [1j]),
        ((1,), [("u", 12)], [float("nan")]),
        ((1,), [("u", 12)], [float("inf")]),
        ((), [("u", 4), ("f", 32)], [1, 2.0]),
        ((), [("u", 4), ("f", 32)], (1,)),
        ((), [("u", 4), ("f", 32)], (1, 2, 3)),
        ((1,), [("f", 64), ("u", 4)], [("x", 1)]),
        ((2, 2), [("u", 4)], [[1, 2], [3]]),
        ((None,), [("c", 8)], "h\xe9llo"),
        ((5,), [("u", 8)], "hello"),
        ((), "u1", 256),
        ((2,), "u1", [1]),
        ((1,), "u1", 1),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_refused_alike(shape, format, value):
    dtype, format = (format, None) if isinstance(format, str) else (None, format)

    def sent(lib):
        return bytes_of(make(lib, shape, dtype, format=format, value=value).to_buffer())

    theirs, ours = (outcome(lambda: sent(lib)) for lib in BOTH)
    assert ours == theirs and isinstance(ours, str)


def test_negative_scalars_of_odd_sizes(ours):
    # The reference refuses them, though it takes those in arrays.
    assert bytes_of(make(ours, (), format=[("i", 24)], value=-5).to_buffer()).hex() == "fffffb"


def test_the_zero_character_among_fields(ours):
    # The reference fails on it.
    item = make(ours, (1,), format=[("c", 8), ("u", 4)], value=[(b"\0", 1)])
    assert bytes_of(item.to_buffer()).hex() == "0010"


def test_received_arrays_share_the_memory_of_the_heap(lib):
    raw = RawItem(0x1000, bytes(range(16)))
    for order in "CF":
        item = make(lib, (2, 2), "<u4", order)
        item.set_from_raw(raw)
        assert np.shares_memory(item.value, np.frombuffer(raw, np.uint8))
        assert item.value.flags.writeable


@pytest.mark.parametrize(("new_order", "kept"), [("=", False), ("|", True), (">", True), ("<", False)])
def test_byte_orders(lib, new_order, kept):
    raw = RawItem(0x1000, bytes(range(8)))
    item = make(lib, (2,), ">u4")
    item.set_from_raw(raw, new_order)
    assert item.value.tolist() == [0x00010203, 0x04050607]
    assert item.value.dtype == np.dtype(">u4" if kept else "<u4")
    assert np.shares_memory(item.value, np.frombuffer(raw, np.uint8)) == kept


@pytest.mark.parametrize("new_order", ["x", None])
def test_wrong_byte_orders(lib, new_order):
    item = make(lib, (2,), ">u4")
    with pytest.raises((ValueError, TypeError)):
        item.set_from_raw(RawItem(0x1000, bytes(8)), new_order)
    assert (item.value, item.version) == (None, 1)


def test_scalars(lib):
    value = receive(lib, b"\1\2", (), ">u2")
    assert type(value) is np.uint16 and value == 0x0102
    value = receive(lib, b"\1\2\3\4\5\6", (), format=[("u", 48)])
    assert type(value) is int and value == 0x010203040506
    assert receive(lib, b"\xff" * 5, (), format=[("i", 40)]) == -1
    assert receive(lib, b"\x80", (), format=[("b", 1)]) is True


def test_immediates_are_at_the_end_of_their_pointer(lib):
    assert receive(lib, b"\0\0\0\0\1\2", (), ">u2", immediate=True) == 0x0102
    assert receive(lib, b"\1\2\3\4\5\6", (), format=[("u", 40)], immediate=True) == 0x0203040506
    assert receive(lib, b"\1\2\3\4\5\6", (3,), "u1", immediate=True).tolist() == [4, 5, 6]
    with pytest.raises(ValueError):
        receive(lib, bytes(6), (), format=[("u", 56)], immediate=True)


def test_text(lib):
    text = [("c", 8)]
    assert receive(lib, b"hello", (None,), format=text) == "hello"
    assert receive(lib, b"hello!", (5,), format=text) == "hello"
    assert receive(lib, b"he\0l\0", (None,), format=text) == "hel"
    assert receive(lib, b"\0\0\0abc", (None,), format=text, immediate=True) == "abc"
    assert receive(lib, b"abc", (), format=text) == b"a"
    assert receive(lib, b"abcd", (2, 2), format=text).tolist() == [[b"a", b"b"], [b"c", b"d"]]
    assert receive(lib, b"abc", (3,), "S1").tolist() == [b"a", b"b", b"c"]
    with pytest.raises(UnicodeDecodeError):
        receive(lib, b"\xe9", (None,), format=text)


def test_too_few_bytes(lib):
    for shape, keywords in [((2,), {"dtype": "<u4"}), ((2,), {"format": [("u", 30)]})]:
        with pytest.raises(ValueError, match="Item name has too few elements"):
            receive(lib, bytes(7), shape, **keywords)


def test_values_without_elements(ours):
    # The reference drops the dimensions behind the empty one, and fails on immediates.
    assert receive(ours, b"a", (None, 3), format=[("u", 12)]).shape == (0, 3)
    assert receive(ours, b"abc", (0,), "u1", immediate=True).shape == (0,)


def test_shape_and_order_may_change(lib):
    item = make(lib, (2,), "u1")
    raw = RawItem(0x1000, b"\1\2\3\4")
    item.set_from_raw(raw)
    item.shape = (2, 2)
    item.set_from_raw(raw)
    assert item.value.tolist() == [[1, 2], [3, 4]]
    item.order = "F"
    item.set_from_raw(raw)
    assert item.value.tolist() == [[1, 3], [2, 4]]


def test_items_can_be_copied_and_pickled(lib):
    item = make(lib, (2,), "u1", value=[1, 2])
    item.note = "mine"
    for other in (copy.copy(item), copy.deepcopy(item), pickle.loads(pickle.dumps(item))):
        assert (other.value, other.version, other.note) == ([1, 2], 1, "mine")
        assert bytes_of(other.to_buffer()) == b"\1\2"


def test_items_are_equal_only_to_themselves(lib):
    item = make(lib, (), "u1")
    assert item == item and item != copy.copy(item)
    assert len({item, copy.copy(item)}) == 2
