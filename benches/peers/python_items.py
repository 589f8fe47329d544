#!/usr/bin/env python3
"""Heaps/s that a Python program can take the values of, with speadway and with spead2.

  make python && .venv/bin/python benches/peers/python_items.py [--peer PYTHON ...] [--rounds 5]

The program is the same for both: it iterates a `recv.Stream` that reads packets from memory, gives each
heap to `ItemGroup.update` and looks at the values. The sides take turns in each round, each time in a
process of its own; printed are the medians. Each --peer is an interpreter with a spead2 (this one by
default): the fastest of them counts.
"""

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import time

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


def run(python, name, load):
    command = [python, __file__, "--side", name, load]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def main():
    if sys.argv[1:2] == ["--side"]:
        return run_side(*sys.argv[2:4])
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peer", action="append", help="an interpreter that has spead2")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    sides = [(sys.executable, "speadway")]
    sides += [(peer, "spead2") for peer in options.peer or [sys.executable]]
    results = {(load, side): [] for load in LOADS for side in sides}
    for _ in range(options.rounds):
        for load, side in results:
            results[load, side].append(run(*side, load))
    print(f"{'heaps of 4 KiB':24} {'speadway/s':>11} {'spead2/s':>9} {'ratio':>6}")
    for load in LOADS:
        ours, *theirs = (statistics.median(results[load, side]) for side in sides)
        print(f"{load:24} {ours:11.0f} {max(theirs):9.0f} {ours / max(theirs):6.2f}")


if __name__ == "__main__":
    main()
