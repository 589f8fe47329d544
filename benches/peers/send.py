#!/usr/bin/env python3
"""What sending costs, beside spead2: CPU seconds per GB and heaps/s into a socket nobody reads.

  cargo build --release --example bench_send && python3 benches/peers/send.py [--rounds 5]

needs an interpreter that has spead2 (`make venv` makes one). Both senders take turns in each round;
printed are the medians. With --rates it says how exactly they keep rates instead.
"""

import argparse
import json
import pathlib
import resource
import socket
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
OURS = ROOT / "target/release/examples/bench_send"

# Heap size, packet size, heaps in a list.
LOADS = [
    (65536, 1472, 1), (65536, 4096, 1), (65536, 8972, 1),
    (65536, 1472, 16), (65536, 4096, 16), (65536, 8972, 16),
    (8192, 1472, 32), (8192, 8972, 32), (1024, 1472, 1), (1024, 1472, 32),
]
RATES = [0.1e9, 1e9, 4e9]
QUEUE = 16


def peer(heap_size, packet, in_list, seconds, rate):
    """The other sender, in a process of its own. It waits in its queue's order, as ours does."""
    import numpy as np
    import spead2
    import spead2.send

    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.bind(("127.0.0.1", 0))
    config = spead2.send.StreamConfig(max_packet_size=packet, max_heaps=QUEUE * in_list, rate=rate)
    stream = spead2.send.UdpStream(spead2.ThreadPool(), [sink.getsockname()], config)
    group = spead2.send.ItemGroup()
    group.add_item(0x1600, "number", "", (), format=[("u", 48)], value=1)
    group.add_item(0x3300, "data", "", (heap_size,), np.uint8, value=np.ones(heap_size, np.uint8))
    heap = group.get_heap(descriptors="none", data="all")
    # Many heaps in each call, as Python is not what is measured.
    count = QUEUE * in_list
    heaps = spead2.send.HeapReferenceList([spead2.send.HeapReference(heap)] * count)

    def cpu():
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    sent = number = 0
    start, used = time.monotonic(), cpu()
    while time.monotonic() < start + seconds:
        sent += stream.send_heaps(heaps, spead2.send.GroupMode.SERIAL)
        number += count
    took, used = time.monotonic() - start, cpu() - used
    print(json.dumps(
        {"bytes": sent, "heaps": number, "seconds": took, "cpu": used, "rate": sent / took}
    ))


def run(command, *arguments):
    result = subprocess.run(
        [*command, *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(result.stdout)


def compare(options, cases):
    """Runs each case with both in turn; yields it with the results of each."""
    senders = {"ours": [OURS], "spead2": [sys.executable, __file__, "--peer"]}
    results = {(case, name): [] for case in cases for name in senders}
    for _ in range(options.rounds):
        for case in cases:
            for name, command in senders.items():
                heap, packet, in_list, rate = case
                answer = run(command, heap, packet, in_list, options.seconds, rate)
                results[case, name].append(answer)
    for case in cases:
        yield case, results[case, "ours"], results[case, "spead2"]


def median(results, value):
    return statistics.median(value(result) for result in results)


def show_costs(options):
    print("heap B  packet B  list |  CPU s/GB ours  spead2  ratio |  heaps/s ours    spead2  ratio")
    for case, ours, theirs in compare(options, [(*load, 0) for load in LOADS]):
        cost = [median(side, lambda r: r["cpu"] / r["bytes"] * 1e9) for side in (ours, theirs)]
        pace = [median(side, lambda r: r["heaps"] / r["seconds"]) for side in (ours, theirs)]
        print(
            f"{case[0]:6}  {case[1]:8}  {case[2]:4} | {cost[0]:14.3f} {cost[1]:7.3f}"
            f" {cost[0] / cost[1]:6.2f} | {pace[0]:13.0f} {pace[1]:9.0f} {pace[0] / pace[1]:6.2f}"
        )


def show_rates(options):
    print("asked Gb/s |  ours achieve  CPU | spead2 achieves  CPU")
    # Lists, so that the queue outlasts the times when the thread that fills it does not run.
    cases = [(65536, 1472, 8, rate / 8) for rate in RATES]
    for case, ours, theirs in compare(options, cases):
        achieved = [median(side, lambda r: r["rate"] / case[3]) for side in (ours, theirs)]
        cpu = [median(side, lambda r: r["cpu"] / r["seconds"]) for side in (ours, theirs)]
        print(
            f"{case[3] * 8e-9:10.1f} | {achieved[0]:12.2%} {cpu[0]:4.0%}"
            f" | {achieved[1]:14.2%} {cpu[1]:4.0%}"
        )


def main():
    if sys.argv[1:2] == ["--peer"]:
        heap, packet, in_list = map(int, sys.argv[2:5])
        return peer(heap, packet, in_list, *map(float, sys.argv[5:7]))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rates", action="store_true", help="how exactly rates are kept")
    options = parser.parse_args()
    (show_rates if options.rates else show_costs)(options)


if __name__ == "__main__":
    main()
