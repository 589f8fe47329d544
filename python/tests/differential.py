"""The same thing done with both implementations, and what came of it, to be compared."""

import numpy as np
import spead2
import spead2.recv
import spead2.send
import speadway
import speadway.recv
import speadway.send

BOTH = (spead2, speadway)


class RawItem(bytearray):
    """What a heap says of an item, made by hand."""

    def __init__(self, id, value, immediate=False):
        super().__init__(value)
        self.id = id
        self.is_immediate = immediate
        self.immediate_value = int.from_bytes(value, "big") if immediate else None


class Heap:
    """What an item group asks a heap for, made by hand."""

    def __init__(self, items=(), descriptors=(), flavour=None):
        self.items = items
        self.descriptors = descriptors
        self.flavour = flavour

    def get_items(self):
        return self.items

    def get_descriptors(self):
        return self.descriptors


def describe(value):
    """All of a value that a program can depend on."""
    if isinstance(value, np.ndarray):
        flags = value.flags
        layout = (flags.c_contiguous, flags.f_contiguous, flags.writeable)
        return ("array", _dtype(value.dtype), value.shape, layout, repr(value.tolist()))
    if isinstance(value, np.generic):
        return ("scalar", _dtype(value.dtype), repr(value.tolist()))
    return (type(value).__name__, repr(value))


def outcome(call):
    """What a call returns, or the type of what it raises."""
    try:
        return describe(call())
    except Exception as error:
        return type(error).__name__


def bytes_of(buffer):
    """The bytes of an exported buffer, in the order of memory."""
    return np.asarray(buffer).tobytes(order="A")


def _dtype(dtype):
    # Where numpy spells one type in two ways.
    return str(dtype.descr if dtype.names else dtype.str)
