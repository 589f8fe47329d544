#!/usr/bin/env python3
"""What sending costs, beside spead2: CPU seconds per GB and heaps/s into a socket nobody reads.

  cargo build --release --example bench_send --example send_floor
  benches/peers/send.py [--rounds 5] [--peer wheel=PYTHON --peer sdist=PYTHON]

A peer is a name and an interpreter that has spead2; without any it is this interpreter (`make venv`
makes one). All senders take turns in each round, so that whatever else the machine does meets all
of them alike. Printed are medians, and the smallest and largest value in brackets; `floor` is the
kernel alone, given prepared messages (examples/send_floor.rs). With --caller there is ours once more,
sending from the thread that queues heaps, and with --blocking both wait for each heap or list. With
--rates it says how exactly they keep rates instead.
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
EXAMPLES = ROOT / "target/release/examples"

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
    # Many heaps in each call, as Python is not what is measured: 16 even where ours sends one by one.
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


def compare(options, cases, senders):
    """Runs each case with each sender in turn; yields it with the results of each."""
    results = {(case, name): [] for case in cases for name in senders}
    for number in range(options.rounds):
        # Nobody always comes first.
        order = list(senders.items())
        order = order[number % len(order):] + order[:number % len(order)]
        for case in cases:
            for name, command in order:
                heap, packet, in_list, rate = case
                answer = run(command, heap, packet, in_list, options.seconds, rate)
                results[case, name].append(answer)
    for case in cases:
        yield case, {name: results[case, name] for name in senders}


def summary(results, value):
    values = [value(result) for result in results]
    return statistics.median(values), min(values), max(values)


def show(results, value, places):
    """One row: ours, and each other's with the ratio of ours to it."""
    ours, *_ = summary(results["ours"], value)
    for name, runs in results.items():
        middle, least, most = summary(runs, value)
        ratio = "" if name == "ours" else f" -> {ours / middle:.2f}"
        yield f"{middle:.{places}f} [{least:.{places}f} {most:.{places}f}]{ratio}"


def show_costs(options, senders):
    senders = {**senders, "floor": [EXAMPLES / "send_floor"]}
    tables = (
        ("CPU s/GB", lambda r: r["cpu"] / r["bytes"] * 1e9, 3),
        ("heaps/ms", lambda r: r["heaps"] / r["seconds"] * 1e-3, 1),
    )
    loads = [LOADS[number] for number in options.load or range(len(LOADS))]
    measured = list(compare(options, [(*load, 0) for load in loads], senders))
    for what, value, places in tables:
        print(f"\n{what} (-> ours divided by it)\n")
        print("| heap B | packet B | list |", " | ".join(senders), "|")
        print("|---|---|---|" + "---|" * len(senders))
        for (heap, packet, in_list, _), results in measured:
            cells = " | ".join(show(results, value, places))
            print(f"| {heap} | {packet} | {in_list} | {cells} |")


def show_rates(options, senders):
    print("| asked Gb/s |", " | ".join(f"{name} achieves, CPU" for name in senders), "|")
    print("|---|" + "---|" * len(senders))
    # Lists, so that the queue outlasts the times when the thread that fills it does not run.
    cases = [(65536, 1472, 8, rate / 8) for rate in RATES]
    for case, results in compare(options, cases, senders):
        cells = []
        for runs in results.values():
            achieved, least, most = summary(runs, lambda r: r["rate"] / case[3])
            cpu, *_ = summary(runs, lambda r: r["cpu"] / r["seconds"])
            cells.append(f"{achieved:.2%} [{least:.2%} {most:.2%}], {cpu:.0%}")
        print(f"| {case[3] * 8e-9:.1f} |", " | ".join(cells), "|")


def named_peer(text):
    name, separator, python = text.partition("=")
    if not (name and separator and python) or name in ("ours", "ours, caller", "floor"):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PYTHON")
    return name, python


def main():
    if sys.argv[1:2] == ["--as-peer"]:
        heap, packet, in_list = map(int, sys.argv[2:5])
        return peer(heap, packet, in_list, *map(float, sys.argv[5:7]))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--load", type=int, action="append", help="only the load of this number")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rates", action="store_true", help="how exactly rates are kept")
    parser.add_argument(
        "--peer", action="append", type=named_peer, metavar="NAME=PYTHON",
        help="compare with the spead2 of this interpreter; may be given again",
    )
    parser.add_argument("--caller", action="store_true", help="also send from the calling thread")
    parser.add_argument("--blocking", action="store_true", help="wait for each heap or list")
    options = parser.parse_args()
    ours = [EXAMPLES / "bench_send", *(["--blocking"] if options.blocking else [])]
    senders = {"ours": ours}
    if options.caller:
        senders = {"ours": [*ours, "--worker"], "ours, caller": [*ours, "--caller"]}
    for name, python in options.peer or [("spead2", sys.executable)]:
        senders[name] = [python, __file__, "--as-peer"]
    (show_rates if options.rates else show_costs)(options, senders)


if __name__ == "__main__":
    main()
