#!/usr/bin/env python3
"""Heaps/s that a Python program can take the values of, with speadway and with spead2.

  make python && .venv/bin/python benches/peers/python_items.py [--peer PYTHON ...] [--rounds 5]

The program is the same for both: it iterates a `recv.Stream` that reads packets from memory, gives each
heap to `ItemGroup.update` and looks at the values. The sides take turns in each round, each time in a
process of its own; printed are the medians. Each --peer is an interpreter with a spead2 (this one by
default): the fastest of them counts.
"""

import importlib
import json
import statistics
import sys
import time

import sides

HEAP_SIZE = 4096
PACKET_SIZE = 9000
# A second of the slower side, and not too much memory for its packets.
HEAPS = 40_000
RING_HEAPS = 64
ID = 0x1600

# What each heap carries: pairs of type and number of items, of HEAP_SIZE bytes together.
LOADS = {
    "one array": [({"dtype": "<u4"}, 1)],
    "one array, big-endian": [({"dtype": ">u4"}, 1)],
    "an array and 4 numbers": [({"dtype": "<i2"}, 1), ({"format": [("u", 48)]}, 4)],
    "16 arrays": [({"dtype": "<c8"}, 16)],
}


def make_packets(lib, load):
    """The packets of all heaps; the first describes the items."""
    np = importlib.import_module("numpy")
    group = lib.send.ItemGroup(flavour=lib.Flavour(4, 64, 48))
    for kind, count in LOADS[load]:
        for at in range(count):
            shape, value = (), 5
            if "dtype" in kind:
                dtype = np.dtype(kind["dtype"])
                shape = (HEAP_SIZE // count // dtype.itemsize,)
                value = np.ones(shape, dtype)
            group.add_item(ID + len(group), f"{kind} {at}", "", shape, value=value, **kind)
    config = lib.send.StreamConfig(max_packet_size=PACKET_SIZE)

    def sent(heaps):
        stream = lib.send.BytesStream(lib.ThreadPool(), config)
        for heap in heaps:
            stream.send_heap(heap)
        return stream.getvalue()

    described = sent([group.get_heap()])
    return described + sent([group.get_heap(data="all")]) * HEAPS


def receive(lib, packets):
    """Heaps/s."""
    ring = lib.recv.RingStreamConfig(heaps=RING_HEAPS)
    stream = lib.recv.Stream(lib.ThreadPool(), lib.recv.StreamConfig(), ring)
    group = lib.ItemGroup()
    start = time.perf_counter()
    stream.add_buffer_reader(packets)
    heaps = 0
    for heap in stream:
        for item in group.update(heap).values():
            item.value
        heaps += 1
    took = time.perf_counter() - start
    assert heaps == HEAPS + 1, heaps
    return heaps / took


def run_side(name, load):
    lib = importlib.import_module(name)
    for submodule in ("recv", "send"):
        importlib.import_module(f"{name}.{submodule}")
    print(json.dumps(receive(lib, make_packets(lib, load))))


def main():
    if sys.argv[1:2] == ["--side"]:
        return run_side(*sys.argv[2:4])
    results = sides.compare(__file__, __doc__, LOADS)
    print(f"{'heaps of 4 KiB':24} {'speadway/s':>11} {'spead2/s':>9} {'ratio':>6}")
    for load in LOADS:
        ours, *theirs = map(statistics.median, results[load])
        print(f"{load:24} {ours:11.0f} {max(theirs):9.0f} {ours / max(theirs):6.2f}")


if __name__ == "__main__":
    main()
