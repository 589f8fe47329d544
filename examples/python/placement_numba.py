#!/usr/bin/env python3
"""Chunks of a stream whose heaps are placed by a function that numba compiles.

For when a `recv.Layout` cannot say it: here the heaps of two polarisations are told apart by the lowest
bit of their timestamp (item 0x1600). Programs written for spead2 do it in this way.
"""

import ctypes

import numba
import numpy as np
import scipy
import speadway
from numba import types
from speadway import recv, send
from speadway.numba import intp_to_voidptr
from speadway.recv.numba import chunk_place_data

HEAP_SIZE, HEAPS_PER_CHUNK, CHUNKS = 4096, 32, 3
TIMESTAMP, DATA = 0x1600, 0x3300


# The receiver calls it for each heap, without Python being involved.
@numba.cfunc(types.void(types.CPointer(chunk_place_data), types.uintp))
def place(pointer, _size):  # type: ignore[no-untyped-def]
    data = numba.carray(pointer, 1)
    items = numba.carray(intp_to_voidptr(data[0].items), 2, dtype=np.int64)
    timestamp, payload = items[0], items[1]
    if timestamp >= 0 and payload == HEAP_SIZE:
        heap, polarisation = timestamp >> 1, timestamp & 1
        data[0].chunk_id = heap // HEAPS_PER_CHUNK
        data[0].heap_index = polarisation * HEAPS_PER_CHUNK + heap % HEAPS_PER_CHUNK
        data[0].heap_offset = data[0].heap_index * HEAP_SIZE


def receive(queue: speadway.InprocQueue) -> None:
    """Print the mean of each polarisation."""
    data, free = recv.ChunkRingbuffer(8), recv.ChunkRingbuffer(8)
    signature = "void (void *, size_t)"
    stream = recv.ChunkRingStream(
        speadway.ThreadPool(),
        recv.StreamConfig(max_heaps=8),
        recv.ChunkStreamConfig(
            items=[TIMESTAMP, speadway.HEAP_LENGTH_ID],
            max_chunks=2,
            place=scipy.LowLevelCallable(place.ctypes, signature=signature),
        ),
        data,
        free,
    )
    for _ in range(8):
        memory = np.zeros((2, HEAPS_PER_CHUNK * HEAP_SIZE), np.uint8)
        stream.add_free_chunk(
            recv.Chunk(data=memory, present=np.zeros(2 * HEAPS_PER_CHUNK, np.uint8))
        )
    stream.add_inproc_reader(queue)

    for chunk in data:
        means = chunk.data.mean(axis=1)
        print(f"chunk {chunk.chunk_id}, {chunk.present.sum()} heaps, means: {means}")
        stream.add_free_chunk(chunk)


def send_chunks(queue: speadway.InprocQueue) -> None:
    """Send what an instrument would: here to a queue, usually to a `send.UdpStream`."""
    stream = send.InprocStream(speadway.ThreadPool(), [queue])
    items = send.ItemGroup()
    items.add_item(TIMESTAMP, "timestamp", "", (), format=[("u", 40)])
    items.add_item(DATA, "samples", "", (HEAP_SIZE,), "u1")
    for timestamp in range(2 * CHUNKS * HEAPS_PER_CHUNK):
        items["timestamp"].value = timestamp
        items["samples"].value = np.full(HEAP_SIZE, 1 + timestamp % 2, "u1")
        stream.send_heap(items.get_heap(descriptors="none", data="all"))
    stream.send_heap(items.get_end())


if __name__ == "__main__":
    assert ctypes.sizeof(ctypes.c_size_t) == 8, "the record is that of a 64-bit machine"
    queue = speadway.InprocQueue()
    send_chunks(queue)
    receive(queue)
