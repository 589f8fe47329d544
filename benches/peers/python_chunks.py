#!/usr/bin/env python3
"""Chunks per second through a Python consumer that recycles each, beside spead2.

  make python && .venv/bin/python benches/peers/python_chunks.py [--rounds 5] [--peer PYTHON]...

Both take the same packets from memory, in a process of their own for each run and in turns; printed
are medians, and ratios to the strongest of the peers. Times are only worth something on a machine that
does nothing else: the consumer and each stream want a core. `--peer` names interpreters that have other
builds of spead2. spead2 places heaps by a function of numba's; speadway by a layout and by the same
function. For groups of two streams each has its own thread, and the group is lossless. `copy` is what
nobody can beat with one stream: one thread that only copies as many bytes, a chunk at a time, between
the same kinds of memory.
"""

import argparse
import json
import statistics
import struct
import subprocess
import sys
import threading
import time

CHUNK = 65536
SEQUENCE, MEMBER = 0x1600, 0x1601
PAYLOAD, LENGTH = 0x3300, 2

# Heaps in a chunk, payload of a packet, streams.
LOADS = [
    (1, 1408, 1), (1, 8192, 1), (1, CHUNK, 1), (8, 1408, 1), (8, 8192, 1),
    (2, 1408, 2), (2, 8192, 2), (2, CHUNK // 2, 2),
]
WINDOW = 4
POOL = 16


def packets(chunks, heaps, payload, members):
    """The packets of each stream, as SPEAD-64-48; heaps go to the streams in turn."""
    size = CHUNK // heaps
    body = bytes(range(256)) * (size // 256)
    streams = [bytearray() for _ in range(members)]
    pointer = lambda item, value: (1 << 63 | item << 48 | value).to_bytes(8, "big")
    for number in range(chunks * heaps):
        stream = streams[number % members]
        for offset in range(0, size, payload):
            part = body[offset : offset + payload]
            stream += struct.pack(">BBBBHH", 0x53, 4, 2, 6, 0, 7)
            stream += pointer(1, number + 1) + pointer(LENGTH, size)
            stream += pointer(3, offset) + pointer(4, len(part))
            stream += pointer(SEQUENCE, number // members) + pointer(MEMBER, number % members)
            stream += (PAYLOAD << 48).to_bytes(8, "big") + part
    return streams


def placement(module, heaps, members):
    """A function of numba's: (sequence, member) to a place."""
    import importlib

    import numba
    import numpy as np
    import scipy
    from numba import types

    record = importlib.import_module(f"{module}.recv.numba").chunk_place_data
    to_pointer = importlib.import_module(f"{module}.numba").intp_to_voidptr
    size, turns = CHUNK // heaps, heaps // members

    @numba.cfunc(types.void(types.CPointer(record), types.uintp), nopython=True)
    def place(pointer, _size):
        data = numba.carray(pointer, 1)
        items = numba.carray(to_pointer(data[0].items), 3, dtype=np.int64)
        if items[0] >= 0 and items[2] == size:
            index = items[0] % turns * members + items[1]
            data[0].chunk_id = items[0] // turns
            data[0].heap_index = index
            data[0].heap_offset = index * size

    return scipy.LowLevelCallable(place.ctypes, signature="void (void *, size_t)")


def receive(module, how, chunks, heaps, payload, members):
    """Chunks per second of one run."""
    import importlib

    import numpy as np

    root = importlib.import_module(module)
    recv = importlib.import_module(f"{module}.recv")
    buffers = packets(chunks, heaps, payload, members)
    if how == "layout":
        axes = [recv.Axis(None, members)] if members > 1 else []
        layout = recv.Layout(
            SEQUENCE, CHUNK // heaps, heaps_per_chunk=heaps // members, axes=axes
        )
        placing = {"place": layout}
    else:
        place = placement(module, heaps, members)
        placing = {"place": place, "items": [SEQUENCE, MEMBER, LENGTH]}
    data, free = recv.ChunkRingbuffer(POOL), recv.ChunkRingbuffer(POOL)
    for _ in range(POOL):
        memory = np.zeros(CHUNK, np.uint8)
        free.put(recv.Chunk(data=memory, present=np.zeros(heaps, np.uint8)))
    chunk_config = recv.ChunkStreamConfig(max_chunks=WINDOW, **placing)
    if members == 1:
        pair = recv.ChunkRingStream(
            root.ThreadPool(), recv.StreamConfig(), chunk_config, data, free
        )
        streams = [pair]
    else:
        lossless = recv.ChunkStreamGroupConfig.EvictionMode.LOSSLESS
        config = recv.ChunkStreamGroupConfig(max_chunks=WINDOW, eviction_mode=lossless)
        pair = recv.ChunkStreamRingGroup(config, data, free)
        streams = [
            pair.emplace_back(root.ThreadPool(), recv.StreamConfig(), chunk_config)
            for _ in range(members)
        ]
    # In threads, because a peer's call may last as long as the buffer.
    adding = [
        threading.Thread(target=stream.add_buffer_reader, args=(buffer,))
        for stream, buffer in zip(streams, buffers)
    ]
    start = time.perf_counter()
    for thread in adding:
        thread.start()
    count = 0
    while True:
        try:
            chunk = data.get()
        except root.Stopped:
            break
        count += 1
        pair.add_free_chunk(chunk)
    took = time.perf_counter() - start
    for thread in adding:
        thread.join()
    pair.stop()  # statistics are complete after that
    lost = sum(stream.stats["too_old_heaps"] + stream.stats["rejected_heaps"] for stream in streams)
    placed = sum(stream.stats.heaps for stream in streams) - lost
    if (count, placed) != (chunks, chunks * heaps):
        raise SystemExit(f"{module} gave {count} chunks with {placed} heaps, not {chunks}")
    return chunks / took


def copy(chunks):
    """Chunks per second of one thread that does nothing but copy them."""
    import numpy as np

    source = np.frombuffer(bytearray(b"x") * (chunks * CHUNK), np.uint8)
    pool = [np.ones(CHUNK, np.uint8) for _ in range(POOL)]
    start = time.perf_counter()
    for number in range(chunks):
        np.copyto(pool[number % POOL], source[number * CHUNK : (number + 1) * CHUNK])
    return chunks / (time.perf_counter() - start)


def run(python, *arguments):
    command = [python, __file__, "--run", *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def main():
    if sys.argv[1:2] == ["--run"]:
        module, how, *numbers = sys.argv[2:]
        numbers = [int(number) for number in numbers]
        rate = copy(numbers[0]) if how == "copy" else receive(module, how, *numbers)
        return print(json.dumps(rate))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chunks", type=int, default=4096)
    parser.add_argument("--peer", action="append", help="an interpreter that has spead2")
    options = parser.parse_args()
    sides = {
        "layout": (sys.executable, "speadway", "layout"),
        "numba": (sys.executable, "speadway", "numba"),
    }
    for number, python in enumerate(options.peer or [sys.executable]):
        sides[f"spead2.{number}"] = (python, "spead2", "numba")
    sides["copy"] = (sys.executable, "-", "copy")
    names = " ".join(f"{name:>9}" for name in sides)
    print(f"heaps payload streams | {names} | ratio layout numba")
    for load in LOADS:
        rates = {name: [] for name in sides}
        for _ in range(options.rounds):
            for name, side in sides.items():
                rates[name].append(run(*side, options.chunks, *load))
        medians = {name: statistics.median(values) for name, values in rates.items()}
        strongest = max(rate for name, rate in medians.items() if name.startswith("spead2"))
        print(
            f"{load[0]:5} {load[1]:7} {load[2]:7} | "
            + " ".join(f"{rate:9.0f}" for rate in medians.values())
            + f" | {medians['layout'] / strongest:12.2f} {medians['numba'] / strongest:5.2f}"
        )


if __name__ == "__main__":
    main()
