#!/usr/bin/env python3
"""Heaps/s that a Python program can send, with speadway and with spead2.

  make python && .venv/bin/python benches/peers/python_send.py [--peer PYTHON ...] [--rounds 5]

The program is the same for both: it sends heaps of 8 KiB over UDP to a socket that nobody reads, in one of
the ways that there are. The sides take turns in each round, each time in a process of its own; printed are
the medians, and what CPU time a heap takes. Each --peer is an interpreter with a spead2 (this one by
default): the fastest of them counts.
"""

import asyncio
import collections
import importlib
import json
import resource
import socket
import statistics
import sys
import time

import sides

HEAP_SIZE = 8192
# Jumbo frames, one a heap: what is measured is what a heap costs.
PACKET_SIZE = 9000
LIST = 64
SECONDS = 1.0
IN_FLIGHT = 32


class Program:
    """What a program has that sends: a stream, and items."""

    def __init__(self, lib):
        np = importlib.import_module("numpy")
        self.lib, self.send = lib, lib.send
        self.group = lib.send.ItemGroup(flavour=lib.Flavour(4, 64, 48))
        self.group.add_item(0x1600, "number", "", (), format=[("u", 48)], value=1)
        data = np.ones(HEAP_SIZE, np.uint8)
        self.group.add_item(0x3300, "data", "", data.shape, data.dtype, value=data)
        self.config = lib.send.StreamConfig(max_packet_size=PACKET_SIZE, max_heaps=LIST)
        self.sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sink.bind(("127.0.0.1", 0))

    def heap(self):
        return self.group.get_heap(descriptors="none", data="all")

    def reference(self):
        return self.send.HeapReference(self.heap())

    def stream(self, module=None):
        module = module or self.send
        return module.UdpStream(self.lib.ThreadPool(), [self.sink.getsockname()], self.config)


def one_by_one(program, is_over):
    """A new heap each time."""
    stream = program.stream()
    while not is_over(1):
        stream.send_heap(program.heap())


def one_again(program, is_over):
    """The same heap again and again."""
    stream, heap = program.stream(), program.heap()
    while not is_over(1):
        stream.send_heap(heap)


def lists(program, is_over):
    """A list of new heaps each time."""
    stream = program.stream()
    while not is_over(LIST):
        references = [program.reference() for _ in range(LIST)]
        stream.send_heaps(references, program.send.GroupMode.SERIAL)


def lists_again(program, is_over):
    """A list of new references to the same heaps each time."""
    stream = program.stream()
    heaps = [program.heap() for _ in range(LIST)]
    while not is_over(LIST):
        references = [program.send.HeapReference(heap) for heap in heaps]
        stream.send_heaps(references, program.send.GroupMode.SERIAL)


def prebuilt(program, is_over):
    """The same HeapReferenceList again and again."""
    stream = program.stream()
    references = program.send.HeapReferenceList([program.reference() for _ in range(LIST)])
    while not is_over(LIST):
        stream.send_heaps(references, program.send.GroupMode.SERIAL)


def futures(program, is_over):
    """asyncio, with a new heap each time and many in flight."""

    async def run():
        stream = program.stream(importlib.import_module(program.send.__name__ + ".asyncio"))
        flying = collections.deque()
        while not is_over(1):
            if len(flying) >= IN_FLIGHT:
                await flying.popleft()
            flying.append(stream.async_send_heap(program.heap()))
        await asyncio.gather(*flying)

    asyncio.run(run())


WAYS = {
    "send_heap, new heaps": one_by_one,
    "send_heap, one heap": one_again,
    "send_heaps, new heaps": lists,
    "send_heaps, same heaps": lists_again,
    "send_heaps, prebuilt list": prebuilt,
    "async_send_heap": futures,
}


def run_side(name, way):
    lib = importlib.import_module(name)
    importlib.import_module(f"{name}.send")
    program = Program(lib)
    sent, end = 0, time.perf_counter() + SECONDS

    def is_over(heaps):
        nonlocal sent
        if time.perf_counter() >= end:
            return True
        sent += heaps
        return False

    def cpu():
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    start, used = time.perf_counter(), cpu()
    WAYS[way](program, is_over)
    took, used = time.perf_counter() - start, cpu() - used
    print(json.dumps({"heaps/s": sent / took, "us/heap": used / sent * 1e6}))


def main():
    if sys.argv[1:2] == ["--side"]:
        return run_side(*sys.argv[2:4])
    results = sides.compare(__file__, __doc__, WAYS)

    def medians(way, what):
        ours, *theirs = (
            statistics.median(result[what] for result in of_side) for of_side in results[way]
        )
        return ours, theirs

    print(f"{'heaps of 8 KiB':26} {'speadway/s':>11} {'spead2/s':>9} {'ratio':>6}", end="")
    print(f"   {'CPU us':>7} {'spead2':>7} {'ratio':>6}")
    for way in WAYS:
        pace, their_pace = medians(way, "heaps/s")
        cost, their_cost = medians(way, "us/heap")
        print(f"{way:26} {pace:11.0f} {max(their_pace):9.0f} {pace / max(their_pace):6.2f}", end="")
        print(f"   {cost:7.2f} {min(their_cost):7.2f} {cost / min(their_cost):6.2f}")


if __name__ == "__main__":
    main()
