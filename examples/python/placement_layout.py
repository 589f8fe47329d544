#!/usr/bin/env python3
"""Chunks of a stream whose layout is described: no placement function, no compiler.

Heaps of 1024 samples carry a timestamp (item 0x1600, in samples) and the antenna (item 0x1601) that they
are from. 64 heaps of each of 4 antennas make a chunk, an array of [time, antenna, sample].
"""

import numpy as np
import speadway
from speadway import recv, send

SAMPLES, ANTENNAS, HEAPS_PER_CHUNK, CHUNKS = 1024, 4, 64, 3
TIMESTAMP, ANTENNA, DATA = 0x1600, 0x1601, 0x3300


def receive(queue: speadway.InprocQueue) -> None:
    """Print the power that each antenna receives."""
    layout = recv.Layout(
        sequence=TIMESTAMP,
        step=SAMPLES,
        heap_size=SAMPLES * 2,
        axes=[recv.Axis(ANTENNA, ANTENNAS)],
        heaps_per_chunk=HEAPS_PER_CHUNK,
    )
    data, free = recv.ChunkRingbuffer(8), recv.ChunkRingbuffer(8)
    stream = recv.ChunkRingStream(
        speadway.ThreadPool(),
        recv.StreamConfig(max_heaps=8),
        recv.ChunkStreamConfig(place=layout, max_chunks=2),
        data,
        free,
    )
    for _ in range(8):
        memory, present = np.zeros(layout.chunk_size, np.uint8), np.zeros(layout.flags, np.uint8)
        stream.add_free_chunk(recv.Chunk(data=memory, present=present))
    stream.add_inproc_reader(queue)

    for chunk in data:
        with chunk:  # which is used again afterwards
            samples = chunk.view(">i2", (HEAPS_PER_CHUNK, ANTENNAS, SAMPLES))
            power = np.square(samples, dtype=np.float32).mean(axis=(0, 2))
            heaps = f"{chunk.n_present} of {layout.heaps} heaps"
            print(f"chunk {chunk.chunk_id}, {heaps}, power of each antenna: {power}")


def send_chunks(queue: speadway.InprocQueue) -> None:
    """Send what an instrument would: here to a queue, usually to a `send.UdpStream`."""
    stream = send.InprocStream(speadway.ThreadPool(), [queue])
    items = send.ItemGroup()
    items.add_item(TIMESTAMP, "timestamp", "in samples", (), format=[("u", 40)])
    items.add_item(ANTENNA, "antenna", "", (), format=[("u", 40)])
    items.add_item(DATA, "samples", "", (SAMPLES,), ">i2")
    for number in range(CHUNKS * HEAPS_PER_CHUNK):
        for antenna in range(ANTENNAS):
            items["timestamp"].value = number * SAMPLES
            items["antenna"].value = antenna
            items["samples"].value = np.full(SAMPLES, antenna, ">i2")
            # Descriptors would be payload, too: receivers of chunks get them in other heaps.
            stream.send_heap(items.get_heap(descriptors="none", data="all"))
    stream.send_heap(items.get_end())


if __name__ == "__main__":
    queue = speadway.InprocQueue()
    send_chunks(queue)
    receive(queue)
