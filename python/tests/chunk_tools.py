"""What the tests of chunks share: heaps to receive, places for them, and rings of chunks."""

import ctypes
import functools
import threading

import numba
import numpy as np
import scipy
import spead2
import spead2.numba
import spead2.recv.numba
import spead2.send
from numba import types

#: Payload of a heap in bytes; it carries its number in item `NUMBER`.
HEAP = 64
#: Heaps in a chunk.
HEAPS = 4
NUMBER = 0x1600
DATA = 0x3300
HEAP_LENGTH = 2

FLAVOUR = spead2.Flavour(4, 64, 48)


def heap(number, size=HEAP, *, extra_items=()):
    """Heap `number`, with payload of a recognisable value."""
    made = spead2.send.Heap(FLAVOUR)
    made.add_item(spead2.Item(NUMBER, "", "", (), format=[("u", 48)], value=number))
    for item, value in extra_items:
        made.add_item(spead2.Item(item, "", "", (), format=[("u", 48)], value=value))
    payload = np.full(size, number % 251, np.uint8)
    made.add_item(spead2.Item(DATA, "", "", (size,), np.uint8, value=payload))
    made.repeat_pointers = True
    return made


def stop_heap():
    made = spead2.send.Heap(FLAVOUR)
    made.add_end()
    return made


def encode(heaps, packet_size=1472):
    """The packets of heaps, one after the other."""
    config = spead2.send.StreamConfig(max_packet_size=packet_size)
    stream = spead2.send.BytesStream(spead2.ThreadPool(), config)
    for made in heaps:
        stream.send_heap(made)
    return stream.getvalue()


def packets(numbers, size=HEAP, *, packet_size=1472, stop=False):
    """The packets of heaps with these numbers."""
    return encode([heap(n, size) for n in numbers] + [stop_heap()] * stop, packet_size)


class PlaceData(ctypes.Structure):
    """`chunk_place_data` as C has it."""

    _fields_ = [
        ("packet", ctypes.POINTER(ctypes.c_uint8)),
        ("packet_size", ctypes.c_size_t),
        ("items", ctypes.POINTER(ctypes.c_int64)),
        ("chunk_id", ctypes.c_int64),
        ("heap_index", ctypes.c_size_t),
        ("heap_offset", ctypes.c_size_t),
        ("batch_stats", ctypes.POINTER(ctypes.c_uint64)),
        ("extra", ctypes.POINTER(ctypes.c_uint8)),
        ("extra_offset", ctypes.c_size_t),
        ("extra_size", ctypes.c_size_t),
    ]


PLAIN = b"void (void *, size_t)"
WITH_CONTEXT = b"void (void *, size_t, void *)"

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_set_context = ctypes.pythonapi.PyCapsule_SetContext
_set_context.argtypes = [ctypes.py_object, ctypes.c_void_p]
_names = {}


def capsule(pointer, name=PLAIN, context=None):
    """A capsule of a C function."""
    # A capsule does not copy its name.
    kept = name if name is None else _names.setdefault(name, ctypes.create_string_buffer(name))
    made = _new_capsule(pointer, kept, None)
    if context is not None:
        _set_context(made, context)
    return made


def placement(function, *, context=None):
    """A `place` tuple for a Python function of the data, the size (and the context)."""
    arguments = [ctypes.POINTER(PlaceData), ctypes.c_size_t]
    if context is not None:
        arguments.append(ctypes.c_void_p)
    native = ctypes.CFUNCTYPE(None, *arguments)(lambda data, *rest: function(data[0], *rest))
    name = PLAIN if context is None else WITH_CONTEXT
    return (capsule(ctypes.cast(native, ctypes.c_void_p).value, name, context), native)


def by_number(data, _size):
    """Places heaps by their number, if they are what `heap` makes."""
    number, length = data.items[0], data.items[1]
    if number >= 0 and length == HEAP:
        data.chunk_id, data.heap_index = divmod(number, HEAPS)
        data.heap_offset = data.heap_index * HEAP


@functools.cache
def compiled_by_number():
    """As `by_number`, compiled: it needs no GIL, which the reference's `stop` holds on to."""
    record = spead2.recv.numba.chunk_place_data

    @numba.cfunc(types.void(types.CPointer(record), types.uintp), nopython=True)
    def place(pointer, _size):
        data = numba.carray(pointer, 1)
        items = numba.carray(spead2.numba.intp_to_voidptr(data[0].items), 2, dtype=np.int64)
        if items[0] >= 0 and items[1] == HEAP:
            data[0].chunk_id = items[0] // HEAPS
            data[0].heap_index = items[0] % HEAPS
            data[0].heap_offset = items[0] % HEAPS * HEAP

    return scipy.LowLevelCallable(place.ctypes, signature=PLAIN.decode())


def config(lib, place=None, **options):
    """Places heaps by their number, or with a function of Python's."""
    options.setdefault("items", [NUMBER, HEAP_LENGTH])
    made = compiled_by_number() if place is None else placement(place)
    return lib.recv.ChunkStreamConfig(place=made, **options)


def chunk(lib, *, heaps=HEAPS, size=HEAP, extra=0, kind=None):
    extra = {"extra": np.zeros(extra, np.uint8)} if extra else {}
    memory = {"data": np.zeros(heaps * size, np.uint8), "present": np.zeros(heaps, np.uint8)}
    return (kind or lib.recv.Chunk)(**memory, **extra)


def rings(lib, chunks=32, *, data=None, kind=None, **options):
    """A data ring, and a free ring with chunks."""
    data_ring = lib.recv.ChunkRingbuffer(data or chunks)
    free_ring = lib.recv.ChunkRingbuffer(chunks)
    for _ in range(chunks):
        free_ring.put(chunk(lib, kind=kind, **options))
    return data_ring, free_ring


def stream(lib, chunk_config=None, *, chunks=32, data=None, stream_config=None, kind=None, **options):
    """A chunk stream with rings of its own."""
    make = kind or lib.recv.ChunkRingStream
    return make(
        lib.ThreadPool(),
        stream_config or lib.recv.StreamConfig(),
        chunk_config or config(lib),
        *rings(lib, chunks, data=data, **options),
    )


def shown(chunks):
    """Ids and flags of chunks."""
    return [(one.chunk_id, bytes(one.present)) for one in chunks]


def in_thread(function, *arguments):
    """Runs a function in a thread; call the result for what it returned or raised."""
    outcome = []

    def run():
        try:
            outcome.append((function(*arguments), None))
        except BaseException as error:  # noqa: BLE001 - raised again in the test
            outcome.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result(timeout=20):
        thread.join(timeout)
        assert outcome, "the thread still waits"
        value, error = outcome[0]
        if error is not None:
            raise error
        return value

    return result
