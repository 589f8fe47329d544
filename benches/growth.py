#!/usr/bin/env python3
"""How the cost of receiving grows with heap size and window: packets in memory to chunks.

  cargo build --release --example bench_receive
  python3 benches/growth.py

Prints CPU ns a packet, medians of rounds in which all cases take turns, and beside them those of the
minimal loop of `bench_receive least` over the same packets, as larger chunks leave the cache.
"""

import argparse
import json
import pathlib
import statistics
import subprocess

PROGRAM = pathlib.Path(__file__).resolve().parents[1] / "target/release/examples/bench_receive"
KIB, MIB = 1 << 10, 1 << 20
PAYLOAD = 1024
CHUNK = 4 * MIB
SPARE = 4

# A chunk has a heap at least.
HEAPS = [
    {"heap": heap, "chunk": max(CHUNK, heap), "window": 4, "chunks": 4 + SPARE}
    for heap in [KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB]
]
# As much memory for each, or the cache would tell the cases apart.
WINDOWS = [
    {"heap": 16 * KIB, "chunk": 256 * KIB, "window": window, "chunks": 64 + SPARE}
    for window in [2, 4, 8, 16, 32, 64]
]


def cpu(program, way, case, core):
    words = [f"{name}={value}" for name, value in {**case, "payload": PAYLOAD, "core": core}.items()]
    answer = subprocess.run([program, way, *words], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(answer.stdout)["cpu_ns"]


def table(title, name, cases, options):
    runs = {}
    for _ in range(options.rounds):
        for case in cases:
            for way in ["memory", "least"]:
                took = cpu(options.program, way, case, options.core)
                runs.setdefault((case[name], way), []).append(took)
    print(f"\n### {title}\n\n| {name} | ours | minimal loop |\n|---|---|---|")
    for case in cases:
        ours, least = (statistics.median(runs[case[name], way]) for way in ["memory", "least"])
        print(f"| {case[name]} | {ours:.3g} | {least:.3g} |", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--core", type=int, default=1, help="to receive on")
    parser.add_argument("--program", default=PROGRAM, help="the benchmark that was built")
    options = parser.parse_args()
    table(f"heap size in bytes, packets of {PAYLOAD}: CPU ns a packet", "heap", HEAPS, options)
    table("window in chunks of 256 KiB: CPU ns a packet", "window", WINDOWS, options)


if __name__ == "__main__":
    main()
