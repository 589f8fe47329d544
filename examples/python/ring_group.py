#!/usr/bin/env python3
"""Two streams, each on a thread of its own, fill the same chunks; numpy looks at them.

The even heaps come on one stream, the odd ones on another, as when an instrument spreads its output over
two multicast groups. One of them loses some. Memory circulates: 6 chunks are all there is.
"""

import threading

import numpy as np
import speadway
from speadway import recv, send

HEAP_SIZE, HEAPS_PER_CHUNK, CHUNKS = 8192, 64, 4
NUMBER, DATA = 0x1600, 0x3300


def make_group(
    queues: list[speadway.InprocQueue],
) -> tuple[recv.ChunkStreamRingGroup, recv.ChunkRingbuffer]:
    """A group with a member for each queue."""
    layout = recv.Layout(
        sequence=NUMBER, heap_size=HEAP_SIZE, heaps_per_chunk=HEAPS_PER_CHUNK
    )
    data, free = recv.ChunkRingbuffer(6), recv.ChunkRingbuffer(6)
    # Lossless, as the queues hold everything back. UDP does not: there it is better to be LOSSY.
    config = recv.ChunkStreamGroupConfig(
        max_chunks=3, eviction_mode=recv.ChunkStreamGroupConfig.EvictionMode.LOSSLESS
    )
    group = recv.ChunkStreamRingGroup(config, data, free)
    for _ in range(6):
        memory, present = np.zeros(layout.chunk_size, np.uint8), np.zeros(layout.flags, np.uint8)
        group.add_free_chunk(recv.Chunk(data=memory, present=present))
    for number, _ in enumerate(queues):
        group.emplace_back(
            speadway.ThreadPool(),  # or ThreadPool(1, [core])
            recv.StreamConfig(stream_id=number),
            recv.ChunkStreamConfig(place=layout, max_chunks=2),
        )
    # All members first, then what they receive from.
    for member, queue in zip(group, queues, strict=True):
        member.add_inproc_reader(queue)
    return group, data


def send_every_other(first: int, queue: speadway.InprocQueue) -> None:
    """Send half of the heaps."""
    stream = send.InprocStream(speadway.ThreadPool(), [queue])
    items = send.ItemGroup()
    items.add_item(NUMBER, "number", "", (), format=[("u", 40)])
    items.add_item(DATA, "data", "", (HEAP_SIZE // 4,), "<f4")
    for number in range(first, CHUNKS * HEAPS_PER_CHUNK, 2):
        if number % 50 == 1:
            continue  # lost on its way
        items["number"].value = number
        items["data"].value = np.full(HEAP_SIZE // 4, number, "<f4")
        stream.send_heap(items.get_heap(descriptors="none", data="all"))
    stream.send_heap(items.get_end())


def main() -> None:
    queues = [speadway.InprocQueue() for _ in range(2)]
    group, data = make_group(queues)
    senders = [
        threading.Thread(target=send_every_other, args=(first, queue))
        for first, queue in enumerate(queues)
    ]
    for sender in senders:
        sender.start()
    chunks = recv.Chunks(data)
    for chunk in chunks:
        with chunk:
            heaps = chunk.view("<f4", (HEAPS_PER_CHUNK, -1))
            mean = heaps[chunk.present.astype(bool)].mean()
            came = dict(sorted(chunk.contributions.items()))
            print(f"chunk {chunk.chunk_id}: mean {mean:.2f}, heaps of each stream: {came}")
    for sender in senders:
        sender.join()
    print(f"{chunks.tally.heaps_present} heaps, {chunks.tally.heaps_missing} missing")
    for number, member in enumerate(group):
        print(f"stream {number} received {member.stats.packets} packets")


if __name__ == "__main__":
    main()
