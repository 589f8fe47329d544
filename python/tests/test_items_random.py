"""Random descriptors and values: both implementations do the same with them."""

import random

import numpy as np
import pytest
import speadway

from differential import BOTH, RawItem, describe, outcome

SEEDS = range(8)
CASES = 250
DTYPES = ["u1", "<u2", ">u2", "<i4", ">i4", "<f4", ">f8", "<c8", ">c16", "?", "S1", "S5", "<U2",
          ">U2", "V3", "<M8[s]", "<f2", [("a", "<u4"), ("b", ">f8")], [("a", "u1", (2,))]]
CODES = "uib"


def random_shape(rng, variable):
    shape = [rng.choice([0, 1, 2, 3, 5]) for _ in range(rng.choice([0, 0, 1, 1, 1, 2, 3]))]
    if variable and shape and rng.random() < 0.4:
        shape[rng.randrange(len(shape))] = None
    return tuple(shape)


def random_format(rng):
    def field():
        kind = rng.random()
        if kind < 0.1:
            return ("c", 8)
        if kind < 0.25:
            return ("f", rng.choice([32, 64]))
        bits = rng.choice([1, 3, 4, 7, 8, 12, 16, 24, 32, 40, 48, 63, 64, 65, 127, 128, 129, 200, 300])
        return (rng.choice(CODES), bits)

    return [field() for _ in range(rng.choice([1, 1, 1, 2, 3]))]


def random_type(rng):
    """Keyword arguments of a descriptor: shape and type."""
    if rng.random() < 0.4:
        shape = random_shape(rng, variable=False)
        return {"shape": shape, "dtype": rng.choice(DTYPES), "order": rng.choice("CF")}
    return {"shape": random_shape(rng, variable=True), "format": random_format(rng)}


def make(lib, kind, value=None):
    return lib.Item(0x1000, "name", "description", value=value, **kind)


def is_empty(kind, raw):
    item = make(speadway, kind)
    return 0 in item.dynamic_shape(len(raw) * 8 // item.itemsize_bits)


def decode(lib, kind, raw, new_order):
    """The value that was received, and whether it shares the heap's memory."""
    item = make(lib, kind)
    item.set_from_raw(raw, new_order)
    assert item.version == 2
    value = item.value
    shares = isinstance(value, np.ndarray) and np.shares_memory(value, np.frombuffer(raw, np.uint8))
    return (describe(value), shares)


@pytest.mark.parametrize("seed", SEEDS)
def test_received_values(seed):
    rng = random.Random(f"decode {seed}")
    done = 0
    for _ in range(CASES):
        kind = random_type(rng)
        immediate = rng.random() < 0.3
        size = rng.choice([5, 6, 7]) if immediate else rng.choice([1, 3, 8, 16, 40, 100, 400])
        raw = RawItem(0x1000, rng.randbytes(size), immediate)
        new_order = rng.choice(["=", "=", "|", ">", "<"])
        if is_empty(kind, raw):
            continue  # see test_values_without_elements
        theirs, ours = (outcome(lambda: decode(lib, kind, raw, new_order)) for lib in BOTH)
        assert ours == theirs, (kind, bytes(raw), immediate, new_order)
        done += ours != "ValueError"
    assert done > CASES // 8


def random_value(rng, kind):
    """A value that may fit, now and then nearly."""
    shape = tuple(rng.choice([0, 1, 4]) if n is None else n for n in kind["shape"])
    if rng.random() < 0.05:
        shape += (1,)
    if "dtype" in kind:
        dtype = np.dtype(kind["dtype"])
        elements = int(np.prod(shape))
        value = np.frombuffer(rng.randbytes(dtype.itemsize * elements), np.uint8)
        if dtype.kind == "U":
            return np.full(shape, "ab", dtype)
        value = value.copy().view(dtype if dtype.subdtype is None else dtype.base)
        return value.reshape(shape, order=rng.choice("CF"))
    scalar = lambda: random_element(rng, kind["format"])  # noqa: E731
    return nested(shape, scalar)


def nested(shape, scalar):
    if not shape:
        return scalar()
    return [nested(shape[1:], scalar) for _ in range(shape[0])]


def random_element(rng, format):
    numbers = tuple(random_number(rng, code, bits) for code, bits in format)
    return numbers if len(format) > 1 else numbers[0]


def random_number(rng, code, bits):
    if code == "c":
        return bytes([rng.randrange(1, 256)])
    if code == "f":
        return rng.choice([0.0, 1.5, -2.25, float("inf")])
    if code == "b":
        return rng.choice([True, False, 0, 5])
    low, high = (0, 2**bits - 1) if code == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if bits not in (8, 16, 24, 32, 40, 48, 56, 64) and rng.random() < 0.02:
        return rng.choice([low - 1, high + 1])
    return rng.choice([low, high, rng.randint(low, high), 0, 1])


def encode(lib, kind, value):
    item = make(lib, kind, value)
    buffer = item.to_buffer()
    shares = (
        isinstance(buffer, np.ndarray)
        and isinstance(value, np.ndarray)
        and np.shares_memory(buffer, value)
    )
    return (np.asarray(buffer).tobytes(), shares, item.allow_immediate(), item.itemsize_bits)


def negative_packed_scalar(kind, value):
    """See test_negative_scalars_of_odd_sizes."""
    return kind["shape"] == () and isinstance(value, int) and value < 0


@pytest.mark.parametrize("seed", SEEDS)
def test_values_to_send(seed):
    rng = random.Random(f"encode {seed}")
    done = 0
    for _ in range(CASES):
        kind = random_type(rng)
        value = random_value(rng, kind)
        if negative_packed_scalar(kind, value):
            continue
        theirs, ours = (outcome(lambda: encode(lib, kind, value)) for lib in BOTH)
        assert ours == theirs, (kind, value)
        done += isinstance(ours, tuple)
    assert done > CASES // 2


@pytest.mark.parametrize("seed", SEEDS)
def test_values_sent_by_one_are_received_by_the_other(seed):
    rng = random.Random(f"both ways {seed}")
    for _ in range(CASES):
        kind = random_type(rng)
        value = random_value(rng, kind)
        if negative_packed_scalar(kind, value):
            continue
        for sender, receiver in (BOTH, BOTH[::-1]):
            sent = outcome(lambda: encode(sender, kind, value))
            if isinstance(sent, str):
                continue
            raw = RawItem(0x1000, np.asarray(make(sender, kind, value).to_buffer()).tobytes())
            if is_empty(kind, raw):
                continue
            got = outcome(lambda: decode(receiver, kind, raw, "="))
            assert got == outcome(lambda: decode(sender, kind, raw, "=")), (kind, value)
