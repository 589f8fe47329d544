"""Descriptors: what may be described, and what is sent and received of it."""

import numpy as np
import pytest
from differential import BOTH, outcome

SWAP_ENDIAN = 4


def make(lib, *arguments, **keywords):
    return lib.Descriptor(0x1000, "name", "description", *arguments, **keywords)


def test_attributes(lib):
    descriptor = make(lib, [2, 3], ">u4", "F")
    assert (descriptor.id, descriptor.name) == (0x1000, "name")
    assert descriptor.description == "description"
    assert (descriptor.shape, descriptor.order) == ((2, 3), "F")
    assert (descriptor.dtype, descriptor.format) == (np.dtype(">u4"), None)
    assert descriptor.itemsize_bits == 32


def test_formats(lib):
    descriptor = make(lib, (None, 3), format=[("u", 12), ("b", 1)])
    assert (descriptor.dtype, descriptor.format) == (None, [("u", 12), ("b", 1)])
    assert descriptor.itemsize_bits == 13
    assert descriptor.is_variable_size() is True
    assert descriptor.allow_immediate() is False


def test_immediates_need_whole_bytes_and_a_fixed_size(lib):
    assert make(lib, (), format=[("u", 48)]).allow_immediate() is True
    assert make(lib, (3,), format=[("u", 4), ("i", 4)]).allow_immediate() is True
    assert make(lib, (2,), format=[("u", 4)]).allow_immediate() is False
    assert make(lib, (None,), format=[("u", 8)]).allow_immediate() is False


@pytest.mark.parametrize(
    "keywords",
    [
        {"shape": (None, None), "format": [("u", 8)]},
        {"shape": (None,), "dtype": "u1"},
        {"shape": ()},
        {"shape": (), "dtype": "u1", "format": [("u", 8)]},
        {"shape": (), "dtype": "O"},
        {"shape": (), "dtype": [("a", "O")]},
        {"shape": (), "dtype": "S0"},
        {"shape": (), "dtype": "U"},
        {"shape": (), "dtype": "u1", "order": "A"},
        {"shape": (), "format": [("u", 8)], "order": "F"},
        {"shape": (), "format": [("u", 8)], "order": "X"},
        {"shape": (), "format": []},
        {"shape": (), "format": [("u", 0)]},
        {"shape": (), "format": [("u", -1)]},
        {"shape": (), "format": [("x", 8)]},
        {"shape": (), "format": [("O", 8)]},
        {"shape": (), "format": [("f", 16)]},
        {"shape": (), "format": [("c", 16)]},
        {"shape": (), "format": [(b"u", 8)]},
        {"shape": (), "format": [("u", 8, 1)]},
        {"shape": (), "format": "u8"},
    ],
)
def test_what_makes_no_sense_is_a_value_error(lib, keywords):
    with pytest.raises(ValueError):
        make(lib, **keywords)


@pytest.mark.parametrize("keywords", [{"shape": 3, "dtype": "u1"}, {"shape": (), "dtype": "foo"}, {}])
def test_wrong_types_are_type_errors(lib, keywords):
    with pytest.raises(TypeError):
        make(lib, **keywords)


def test_dynamic_shapes(lib):
    assert tuple(make(lib, (2, 3), "u1").dynamic_shape(100)) == (2, 3)
    descriptor = make(lib, (2, None), format=[("u", 8)])
    assert tuple(descriptor.dynamic_shape(5)) == (2, 2)
    assert tuple(make(lib, (0, None), format=[("u", 8)]).dynamic_shape(5)) == (0, 0)


def test_compatible_shapes(lib):
    descriptor = make(lib, (2, None), format=[("u", 8)])
    assert descriptor.compatible_shape((2, 7)) and descriptor.compatible_shape([2, 0])
    assert descriptor.compatible_shape((2, None))
    for shape in [(3, 7), (2,), (2, 7, 1), ()]:
        assert not descriptor.compatible_shape(shape)


RAW = [
    {"shape": (), "dtype": "u1"},
    {"shape": (1, 2), "dtype": "<u4", "order": "F"},
    {"shape": (3,), "dtype": ">M8[ns]"},
    {"shape": (), "dtype": [("x", "<f4"), ("y", ">i2", (2,))]},
    {"shape": (2,), "dtype": "<U3"},
    {"shape": (1, None), "format": [("u", 4), ("f", 32)]},
    {"shape": (), "format": [("u", 48)]},
]


def flavour_of(lib, compat):
    return lib.Flavour(4, 64, 48, compat)


@pytest.mark.parametrize("keywords", RAW)
@pytest.mark.parametrize("compat", [0, SWAP_ENDIAN, 7])
def test_both_send_the_same(keywords, compat):
    def sent(lib):
        raw = make(lib, **keywords).to_raw(flavour_of(lib, compat))
        return (raw.id, raw.name, raw.description, raw.shape, raw.format, raw.numpy_header)

    theirs, ours = (sent(lib) for lib in BOTH)
    assert ours == theirs


@pytest.mark.parametrize("keywords", RAW)
@pytest.mark.parametrize("compat", [0, SWAP_ENDIAN])
def test_what_is_sent_can_be_received(lib, keywords, compat):
    flavour = flavour_of(lib, compat)
    descriptor = make(lib, **keywords)
    received = lib.Descriptor.from_raw(descriptor.to_raw(flavour), flavour)
    assert received.name == "name" and received.description == "description"
    for attribute in ("id", "shape", "order", "format"):
        assert getattr(received, attribute) == getattr(descriptor, attribute)
    if descriptor.dtype is not None:
        assert received.dtype.itemsize == descriptor.dtype.itemsize
        assert received.dtype.kind == descriptor.dtype.kind


def test_padding_is_received_as_it_was_sent(ours):
    # The reference makes a field of it, and fails if its name is taken.
    descriptor = make(ours, (), np.dtype("u1,u4", align=True))
    received = ours.Descriptor.from_raw(descriptor.to_raw(ours.Flavour()), ours.Flavour())
    assert received.dtype == descriptor.dtype


def test_sizes_of_numpy_are_sent_as_numbers(ours):
    # The reference writes "np.int64(3)", which no receiver understands.
    raw = make(ours, (np.int64(3),), "u1").to_raw(ours.Flavour())
    assert raw.numpy_header == b"{'descr': '|u1', 'fortran_order': False, 'shape': (3,)}"


@pytest.mark.parametrize("texts", [("é", "d"), ("n", "é")])
def test_only_ascii_is_sent(lib, texts):
    with pytest.raises(UnicodeEncodeError):
        lib.Descriptor(1, *texts, (), "u1").to_raw(lib.Flavour())


class Raw:
    """What was received of a descriptor."""

    def __init__(self, **fields):
        self.id, self.name, self.description = 0x1000, b"name", b"description"
        self.shape, self.format, self.numpy_header = [], [], b""
        self.__dict__.update(fields)


HEADERS = [
    "{'descr': '<u4', 'fortran_order': False, 'shape': (3,)}",
    "{'descr': '>u4', 'fortran_order': True, 'shape': (3, 4)}",
    "   {'descr': '=u4', 'fortran_order': False, 'shape': ()}",
    "{'descr': [('a','<u4'),('b','>f4',(2,))], 'fortran_order': True, 'shape': (3,)}",
    "{'descr': '<u4', 'fortran_order': False, 'shape': (None,)}",
    "{'descr': '<u4', 'fortran_order': False, 'shape': [3]}",
    "{'descr': '<u4', 'fortran_order': False, 'shape': 3}",
    "{'descr': '<u4', 'fortran_order': False, 'shape': (-3,)}",
    "{'descr': '<u4', 'fortran_order': False, 'shape': (3.5,)}",
    "{'descr': '<u4', 'fortran_order': 0, 'shape': (3,)}",
    "{'descr': '<u4', 'fortran_order': False}",
    "{'descr': '<u4', 'fortran_order': False, 'shape': (3,), 'x': 1}",
    "{'descr': 'foo', 'fortran_order': False, 'shape': (3,)}",
    "{'descr': 'O', 'fortran_order': False, 'shape': (3,)}",
    "{'descr': 5, 'fortran_order': False, 'shape': (3,)}",
    "{'descr': [('a',)], 'fortran_order': False, 'shape': (3,)}",
    "{'descr': '<u4'",
    "{'descr': '<u4', 'fortran_order': False, 'shape': (3,)}\n   ",
    "{'descr': '<u4', 'fortran_order': False, 'shape': ()}\0",
    "__import__('os').abort()",
    "[1, 2]",
    "5",
    "(" * 5000,
    "-" * 5000 + "1",
    "\xff",
]


@pytest.mark.parametrize("header", HEADERS)
def test_both_make_the_same_of_a_numpy_header(header):
    def received(lib):
        raw = Raw(numpy_header=header.encode("latin-1"))
        descriptor = lib.Descriptor.from_raw(raw, lib.Flavour())
        return (descriptor.dtype, descriptor.shape, descriptor.order, descriptor.format)

    theirs, ours = (outcome(lambda: received(lib)) for lib in BOTH)
    # What the reference's parser gives up on in its own way is no descriptor either.
    assert ours == {"MemoryError": "ValueError", "RecursionError": "ValueError"}.get(theirs, theirs)


def test_a_numpy_header_of_odd_keys(ours):
    raw = Raw(numpy_header=b"{1: 'u1', 'fortran_order': False, 'shape': ()}")
    with pytest.raises(ValueError, match="correct keys"):
        ours.Descriptor.from_raw(raw, ours.Flavour())


@pytest.mark.parametrize(
    "fields",
    [
        {"shape": [3, None], "format": [("u", 8)]},
        {"shape": [None, None], "format": [("u", 8)]},
        {"shape": [3], "format": []},
        {"shape": [3], "format": [("x", 8)]},
        {"shape": [3], "format": [("u", 0)]},
        {"name": b"\xff", "format": [("u", 8)]},
        {"description": b"\xff", "format": [("u", 8)]},
    ],
)
def test_both_make_the_same_of_a_format(fields):
    def received(lib):
        descriptor = lib.Descriptor.from_raw(Raw(**fields), lib.Flavour())
        return (descriptor.shape, descriptor.order, descriptor.format)

    theirs, ours = (outcome(lambda: received(lib)) for lib in BOTH)
    assert ours == theirs


def test_byte_order_is_swapped_for_senders_that_do_so(lib):
    raw = Raw(numpy_header=b"{'descr': '<u4', 'fortran_order': False, 'shape': ()}")
    descriptor = lib.Descriptor.from_raw(raw, flavour_of(lib, SWAP_ENDIAN))
    assert descriptor.dtype == np.dtype(">u4")


def test_from_raw_makes_the_class_it_is_called_on(lib):
    class Special(lib.Item):
        pass

    raw = Raw(shape=[None], format=[("u", 8)])
    assert type(Special.from_raw(raw, lib.Flavour())) is Special
    assert Special.from_raw(raw, lib.Flavour()).version == 1


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("2,4-6", [2, 4, 5, 6]), ("", []), (None, []), ("5", [5]), (" 1, 2 ", [1, 2]),
     ("1 - 3", [1, 2, 3]), ("5-2", []), ("1-1", [1]), ("1-3,2", [1, 2, 3, 2])],
)  # fmt: skip
def test_range_lists(lib, text, numbers):
    assert lib.parse_range_list(text) == numbers


@pytest.mark.parametrize("text", ["a", "1-", "-1", "1-2-3", ",", "1,,2", "0x10"])
def test_what_is_no_range_list(lib, text):
    with pytest.raises(ValueError):
        lib.parse_range_list(text)


def test_constants_are_the_same():
    theirs, ours = BOTH
    names = {name for name in dir(theirs) if name.isupper() and not name.startswith("_")}
    assert names == {name for name in dir(ours) if name.isupper() and not name.startswith("_")}
    for name in names:
        assert getattr(ours, name) == getattr(theirs, name)
