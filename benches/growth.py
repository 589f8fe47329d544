#!/usr/bin/env python3
"""How the cost of receiving grows with heap size, window and the number of streams.

  cargo build --release --example bench_receive
  python3 benches/growth.py
  python3 benches/growth.py --rounds 9 streams udp

Prints medians of rounds in which all cases take turns. `heaps`, `windows` and `streams` are packets in
memory to chunks: CPU ns a packet, beside those of the minimal loop of `bench_receive least` over the same
packets, as larger chunks leave the cache. `udp` is over loopback at one rate for all streams together:
the receiver's CPU s/GB. Streams share one worker, or two; the members of a group take turns heap by
heap, and it loses nothing. Whatever their number, they get the same packets together, and have the same
chunks.
"""

import argparse
import json
import pathlib
import statistics
import subprocess

PROGRAM = pathlib.Path(__file__).resolve().parents[1] / "target/release/examples/bench_receive"
KIB, MIB = 1 << 10, 1 << 20
GBIT = 1e9 / 8  # bytes a second
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


# The same chunks for all; the windows of 16 streams take no more than there are.
STREAMS = [
    {"heap": 16 * KIB, "chunk": 256 * KIB, "window": 4, "chunks": 64 + SPARE, "streams": streams}
    for streams in [1, 2, 4, 8, 16]
]
UDP_PAYLOADS = [1416, 8912]


def words(case):
    return [f"{name}={value}" for name, value in case.items()]


class Growth:
    def __init__(self, options):
        self.options = options
        self.here = {"core": options.core}
        self.both = {"core": f"{options.core},{options.sender_core}"}

    def heaps(self):
        self.table(f"heap size in bytes, packets of {PAYLOAD}: CPU ns a packet", "heap", HEAPS)

    def windows(self):
        self.table("window in chunks of 256 KiB: CPU ns a packet", "window", WINDOWS)

    def table(self, title, name, cases):
        ways = {"ours": ("memory", {}), "minimal loop": ("least", {})}
        self.compare(title, name, cases, ways, self.memory)

    def streams(self):
        ways = {
            "ours": ("memory", {}), "on 2 cores": ("memory", self.both),
            "as a group": ("memory", {"group": 1}),
            "as a group on 2 cores": ("memory", {"group": 1, **self.both}),
            "minimal loop": ("least", {}),
        }
        self.compare("streams, from memory: CPU ns a packet", "streams", STREAMS, ways, self.memory)

    def udp(self):
        ways = {"ours": ("udp", {}), "as a group": ("udp", {"group": 1})}
        for payload in UDP_PAYLOADS:
            cases = [{**case, "payload": payload} for case in STREAMS]
            title = f"streams, UDP at {self.options.rate:g} Gb/s, payloads of {payload}: CPU s/GB"
            self.compare(title, "streams", cases, ways, self.over_udp)

    def memory(self, way, case):
        command = [self.options.program, way, *words({"payload": PAYLOAD, **self.here, **case})]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(answer.stdout)["cpu_ns"]

    def over_udp(self, way, case):
        """None if anything was lost."""
        command = [self.options.program, way, *words({**self.here, **case})]
        receiver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        rate = self.options.rate * GBIT
        heaps = int(rate * self.options.seconds / case["heap"])
        sending = {
            "port": receiver.stdout.readline().strip(), "heaps": heaps, "rate": rate,
            "core": self.options.sender_core, "group": case.get("group", 0),
            **{name: case[name] for name in ["heap", "chunk", "payload"]},
        }
        command = [self.options.program, "send", *words(sending)]
        subprocess.run(command, check=True, stdout=subprocess.PIPE)
        answer = json.loads(receiver.communicate(timeout=60)[0].splitlines()[-1])
        return answer["cpu"] / answer["bytes"] * 1e9 if answer["heaps"] == heaps else None

    def compare(self, title, name, cases, ways, run):
        runs = {}
        for _ in range(self.options.rounds):
            for case in cases:
                for column, (way, more) in ways.items():
                    took = run(way, {**case, **more})
                    runs.setdefault((case[name], column), []).append(took)
        print(f"\n### {title}\n\n| {name} | " + " | ".join(ways) + " |\n|" + "---|" * (len(ways) + 1))
        for case in cases:
            cells = [show(runs[case[name], column]) for column in ways]
            print(f"| {case[name]} | " + " | ".join(cells) + " |", flush=True)


def show(runs):
    held = [run for run in runs if run is not None]
    if 2 * len(held) <= len(runs):
        return f"lost ({len(held)} of {len(runs)} runs)"
    return f"{statistics.median(held):.3g} ({min(held):.3g} to {max(held):.3g})"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--core", type=int, default=1, help="to receive on")
    parser.add_argument("--program", default=PROGRAM, help="the benchmark that was built")
    parser.add_argument("--sender-core", type=int, default=0, help="to send on, and the second of two")
    parser.add_argument("--rate", type=float, default=6, help="of payload over UDP, in Gb/s")
    parser.add_argument("--seconds", type=float, default=1.0, help="of sending, a run")
    every = ["heaps", "windows", "streams", "udp"]
    parser.add_argument("what", nargs="*", default=every, metavar="|".join(every))
    options = parser.parse_args()
    if unknown := set(options.what) - set(every):
        parser.error(f"nothing is called {', '.join(unknown)}")
    growth = Growth(options)
    for what in options.what:
        getattr(growth, what)()


if __name__ == "__main__":
    main()
