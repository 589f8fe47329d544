#!/usr/bin/env python3
"""Receive packets with spead2, and say what came of them.

Reads cases from standard input, one JSON object a line, and answers each with one line:

  {"kind": "heaps", "config": {...}, "ring": {...}, "packets": ["53040206...", ...]}
  -> {"heaps": [{"cnt", "complete", "items": [[id, immediate or null, hex], ...], "ranges"}], "stats"}

  {"kind": "chunks", "config": {...}, "window": 4, "heap_size": 64, "per_chunk": 8,
   "presence": 0, "pool": 16, "packets": [...]}
  -> {"chunks": [{"id", "present", "data"}], "stats"}

Each packet is a datagram of its own. In chunk mode item 0x1600 numbers the heaps; heap n has place
n % per_chunk of chunk n // per_chunk, and heaps of other sizes or without a number are refused.
"""

import ctypes
import json
import sys

import spead2
import spead2.recv


class PlaceData(ctypes.Structure):
    """The documented arguments of a placement callback."""

    _fields_ = [
        ("packet", ctypes.c_void_p),
        ("packet_size", ctypes.c_size_t),
        ("items", ctypes.POINTER(ctypes.c_int64)),
        ("chunk_id", ctypes.c_int64),
        ("heap_index", ctypes.c_size_t),
        ("heap_offset", ctypes.c_size_t),
        ("batch_stats", ctypes.c_void_p),
        ("extra", ctypes.c_void_p),
        ("extra_offset", ctypes.c_size_t),
        ("extra_size", ctypes.c_size_t),
    ]


SIGNATURE = b"void (void *, size_t)"
CALLBACK = ctypes.CFUNCTYPE(None, ctypes.POINTER(PlaceData), ctypes.c_size_t)
new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype = ctypes.py_object
new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


def make_place(heap_size, per_chunk, units):
    """A placement, and what has to stay alive with it."""

    @CALLBACK
    def place(data, _size):
        number, length = data[0].items[0], data[0].items[1]
        if number < 0 or length != heap_size:
            return
        data[0].chunk_id = number // per_chunk
        data[0].heap_index = number % per_chunk * units
        data[0].heap_offset = number % per_chunk * heap_size

    pointer = ctypes.cast(place, ctypes.c_void_p)
    return (new_capsule(pointer, SIGNATURE, None),), place


def feed(stream, packets):
    queue = spead2.InprocQueue()
    for packet in packets:
        queue.add_packet(bytes.fromhex(packet))
    queue.stop()
    stream.add_inproc_reader(queue)


def show_item(item):
    immediate = item.immediate_value if item.is_immediate else None
    return [item.id, immediate, bytes(item).hex()]


def show_stats(stats):
    return {name: value for name, value in stats.items() if name not in ("batches", "max_batch")}


def show_heap(heap):
    complete = isinstance(heap, spead2.recv.Heap)
    return {
        "cnt": heap.cnt,
        "complete": complete,
        "items": [show_item(item) for item in heap.get_items()],
        "ranges": [] if complete else [list(r) for r in heap.payload_ranges],
    }


def heaps(case):
    config = spead2.recv.StreamConfig(**case["config"])
    ring = spead2.recv.RingStreamConfig(heaps=1024, **case["ring"])
    stream = spead2.recv.Stream(spead2.ThreadPool(), config, ring)
    feed(stream, case["packets"])
    return {"heaps": [show_heap(heap) for heap in stream], "stats": show_stats(stream.stats)}


def chunks(case):
    units = -(-case["heap_size"] // case["presence"]) if case["presence"] else 1
    place, alive = make_place(case["heap_size"], case["per_chunk"], units)
    config = spead2.recv.ChunkStreamConfig(
        items=[0x1600, spead2.HEAP_LENGTH_ID], max_chunks=case["window"], place=place
    )
    flags = case["per_chunk"] * units
    if case["presence"]:
        config.enable_packet_presence(case["presence"])
    data, free = spead2.recv.ChunkRingbuffer(4096), spead2.recv.ChunkRingbuffer(4096)
    stream = spead2.recv.ChunkRingStream(
        spead2.ThreadPool(), spead2.recv.StreamConfig(**case["config"]), config, data, free
    )
    for _ in range(case["pool"]):
        chunk = spead2.recv.Chunk(
            data=bytearray(case["heap_size"] * case["per_chunk"]), present=bytearray(flags)
        )
        stream.add_free_chunk(chunk)
    feed(stream, case["packets"])
    result = []
    for chunk in data:
        result.append({
            "id": chunk.chunk_id, "present": bytes(chunk.present).hex(), "data": bytes(chunk.data).hex(),
        })
        stream.add_free_chunk(chunk)
    del alive
    return {"chunks": result, "stats": show_stats(stream.stats)}


def main():
    kinds = {"heaps": heaps, "chunks": chunks}
    for line in sys.stdin:
        case = json.loads(line)
        print(json.dumps(kinds[case["kind"]](case)), flush=True)


if __name__ == "__main__":
    main()
