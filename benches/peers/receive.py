#!/usr/bin/env python3
"""What receiving costs, beside spead2 and beside the least that it can take.

  cargo build --release --example bench_receive
  python3 benches/peers/receive.py --peer wheel=PYTHON --peer built=PYTHON memory udp

Each PYTHON is an interpreter with a build of spead2, numba and scipy; the better build counts, row
by row. All receivers take turns in each round. A row says the medians of our way, of the peers and
of the floors (a minimal loop that receives, copies and counts, or decodes, copies and counts; a plain
copy), then our ratio to the better peer and to each floor, with the least and the largest of the
rounds' own ratios.

  memory   packets in memory to chunks: ns a packet, of the processor unless --clock wall
  udp      UDP over loopback at the highest rate that all hold: receiver CPU s/GB
  single   the same from a sender that sends packets one by one
  pool     udp with 256 chunks, a gigabyte
  scatter  payloads received straight into their places, and copies past the caches
  top      the highest rate without loss, by the search of `speadway bench`, from a sender whose packets
           the kernel does not copy: twice as fast, but dearer to receive from, so not for the others
"""

import argparse
import json
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile
import typing

from highest import Search

HERE = pathlib.Path(__file__).resolve().parent
OURS = HERE.parents[1] / "target/release/examples/bench_receive"
PEER = HERE / "receive_spead2.py"

GB = 1e9
GBIT = 1e9 / 8  # bytes a second

# Payloads of packets of 1472, 4096 and 8972 bytes (with 56 bytes of headers), in whole words.
PAYLOADS = [1416, 4040, 8912]
MEMORY = [
    {"payload": 64}, {"payload": 136}, {"payload": 256}, {"payload": 1416}, {"payload": 8912},
    {"payload": 1024, "heap": 1024},
]
RATES = [8, 12, 16, 24]
# Searches for the highest rate start here.
LOWEST = 1
SHORT_SECONDS = 0.3
HEAP = 65536
# Without trains a packet costs a system call to send, which bounds what a sender can do.
SINGLE = [(1416, 1), (1416, 2), (8912, 4), (8912, 6)]
COALESCE_MICROSECONDS = 100
# Other ways of ours and of the minimal loop, for `scatter`.
WAYS = {
    "ours, past caches": ("udp", {"nontemporal": 1}),
    "minimal, past caches": ("minimal", {"nontemporal": 1}),
    "scatter, 2 a call": ("scatter", {"batch": 2}),
}
# Heaps of a burst fit into the receive buffer.
BURST, BURST_HEAPS = 32, 8192


def words(options):
    return [f"{name}={value}" for name, value in options.items()]


class Trial(typing.NamedTuple):
    """What came of one run over UDP."""

    cpu: float  # the receiver's, s/GB
    lost: float  # part of the heaps
    kept: float  # Gb/s of the sender


class Bench:
    def __init__(self, options):
        self.options = options
        self.prefix = shlex.split(options.prefix)
        self.peers = dict(peer.split("=", 1) for peer in options.peer)
        self.log = []

    def command(self, receiver, way, options):
        """The command that runs a receiver, with the core for it."""
        options = {**options, "core": self.options.receiver_core}
        if receiver in self.peers:
            program = [self.peers[receiver], PEER, way]
            options = {**options, "port": self.options.port}
        else:
            way, more = WAYS.get(receiver, (receiver, {}))
            program, options = [OURS, way], {**options, **more}
        return [*self.prefix, *program, *words(options)]

    def start(self, command):
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def finish(self, process):
        """The answer of a process: its last line. Ends it if it hangs."""
        try:
            output, _ = process.communicate(timeout=self.options.timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return None
        return json.loads(output.splitlines()[-1]) if process.returncode == 0 else None

    def rounds(self, cases, run):
        """Runs each case with each receiver, in turns."""
        results = {}
        for number in range(self.options.rounds):
            for case, receivers in cases:
                for receiver in receivers:
                    answer = run(receiver, case)
                    self.log.append({"case": case, "receiver": receiver, "answer": answer})
                    results.setdefault((str(case), receiver), []).append(answer)
            print(f"round {number + 1} of {self.options.rounds}", file=sys.stderr)
        return results

    # Memory

    def memory(self):
        receivers = ["memory", "least", "copy", *self.peers]
        clock = {"cpu": "cpu_ns", "wall": "packet_ns"}[self.options.clock]
        with tempfile.TemporaryDirectory() as directory:
            files = {}
            for case in MEMORY:
                files[str(case)] = f"{directory}/{len(files)}"
                with open(files[str(case)], "wb") as file:
                    subprocess.run([OURS, "packets", *words(case)], check=True, stdout=file)

            def run(receiver, case):
                packets = {"packets": files[str(case)]} if receiver in self.peers else {}
                case = {**case, **packets, "passes": self.options.passes}
                answer = self.finish(self.start(self.command(receiver, "memory", case)))
                return answer and answer[clock]

            results = self.rounds([(case, receivers) for case in MEMORY], run)
        title = f"memory to chunk, {self.options.clock} ns a packet"
        self.table(title, ["least", "copy"], "memory", MEMORY, results)

    # UDP

    def trial(self, receiver, load, seconds, splice=False, hurry=False):
        """One run, with a sender that may do without the kernel's copy, and as fast as it can. None if the
        receiver failed."""
        load = dict(load)
        rate, extra, single = load.pop("rate"), load.pop("ours", {}), load.pop("single", False)
        extra = extra if receiver == "udp" else {}
        process = self.start(self.command(receiver, "udp", {**load, **extra}))
        line = process.stdout.readline()
        if not line:
            self.finish(process)
            return None
        heaps = int(rate * GBIT * seconds / HEAP)
        sending = {
            "payload": load["payload"], "port": int(line), "heaps": heaps,
            "rate": 0 if hurry else rate * GBIT, "core": self.options.sender_core, "merge": int(not single),
            "splice": int(splice),
        }
        sent = self.finish(self.start([*self.prefix, OURS, "send", *words(sending)]))
        answer = self.finish(process)
        if not sent or not answer:
            return None
        kept = heaps * HEAP / sent["seconds"] / GBIT
        self.log.append({"load": load, "receiver": receiver, "rate": rate, "kept": kept, "answer": answer})
        return Trial(answer["cpu"] / max(answer["bytes"], 1) * GB, 1 - answer["heaps"] / heaps, kept)

    def send(self, receiver, load):
        """CPU s/GB of one run; None if anything was lost or the sender was too slow."""
        trial = self.trial(receiver, load, self.options.seconds)
        if trial is None or trial.lost > 0 or trial.kept < 0.95 * load["rate"]:
            return None
        return trial.cpu

    def udp(self, title="UDP, trains, CPU s/GB", **more):
        loads = [{"payload": p, "rate": r, **more} for p in PAYLOADS for r in RATES]
        self.compare(title, loads)

    def pool(self):
        self.udp("UDP, trains, 256 chunks of 4 MiB, CPU s/GB", chunks=256, window=8)

    def single(self):
        loads = [{"payload": p, "rate": r, "single": True} for p, r in SINGLE]
        self.compare("UDP, one by one, CPU s/GB", loads)
        coalescing = {"ours": {"coalesce": COALESCE_MICROSECONDS}}
        title = f"the same, ours gathering for {COALESCE_MICROSECONDS} µs"
        self.compare(title, [{**load, **coalescing} for load in loads])

    def compare(self, title, loads, floors=("minimal",)):
        receivers = ["udp", *floors, *self.peers]
        results = self.rounds([(load, receivers) for load in loads], self.send)
        self.table(title, floors, "udp", loads, results)

    def scatter(self):
        """Payloads received straight into their places, beside the ways that copy them."""
        chunks = [{"chunks": 8, "window": 4}, {"chunks": 256, "window": 8}]
        payloads = [{"payload": payload, **chunk} for payload in PAYLOADS[1:] for chunk in chunks]
        floors = ["scatter", "scatter, 2 a call", "minimal, past caches", "ours, past caches", "minimal"]
        loads = [{**payload, "rate": rate} for payload in payloads for rate in RATES[:2]]
        self.compare("UDP, trains, payloads received into their places, CPU s/GB", loads, floors)
        floors = [name for name in floors if name != "ours, past caches"]
        cases = [{**payload, "burst": BURST, "heaps": BURST_HEAPS} for payload in payloads]
        results = self.rounds([(case, floors) for case in cases], self.burst)
        self.table("the same from bursts of their own", floors[:-1], "minimal", cases, results, [])

    def burst(self, receiver, case):
        answer = self.finish(self.start(self.command(receiver, "udp", case)))
        return answer and answer["cpu"] / answer["bytes"] * GB

    def top(self):
        """The highest rate that loses nothing: a search for each receiver, in turns."""
        receivers = ["udp", "minimal", *self.peers]
        rows = []
        for payload in PAYLOADS:
            searches = {name: Search(LOWEST, self.sender_limit(name, payload)) for name in receivers}
            for number in range(self.options.trials):
                for name, search in searches.items():
                    load = {"payload": payload, "rate": search.median()}
                    trial = self.trial(name, load, self.options.seconds, splice=True)
                    if trial:
                        search.observe(trial.kept, trial.lost <= 0)
                print(f"trial {number + 1} of {self.options.trials}", file=sys.stderr)
            rows.append((payload, searches))
        print("\n### UDP, trains, highest rate without loss, Gb/s\n")
        print("| load | " + " | ".join(["ours", *receivers[1:]]) + " | ours / best peer |")
        print("|" + "---|" * (len(receivers) + 2))
        for payload, searches in rows:
            cells = [str(searches[name]) for name in receivers]
            best = max((searches[name] for name in self.peers), key=Search.median, default=None)
            ratio = f"**{searches['udp'].median() / best.median():.2f}**" if best else "-"
            print(f"| payload={payload} | " + " | ".join([*cells, ratio]) + " |", flush=True)

    def sender_limit(self, receiver, payload):
        """What the sender can do while this one receives."""
        load = {"payload": payload, "rate": RATES[-1]}
        trials = [self.trial(receiver, load, SHORT_SECONDS, splice=True, hurry=True) for _ in range(3)]
        return statistics.median(trial.kept for trial in trials if trial)

    def table(self, title, floors, ours, cases, results, peers=None):
        peers = list(self.peers) if peers is None else peers
        names = [ours, *peers, *floors]
        others = [*(["best peer"] if peers else []), *floors]
        print(f"\n### {title}\n")
        first = "ours" if ours in ("memory", "udp") else ours
        columns = [first, *names[1:], *(f"{first} / {other}" for other in others)]
        print("| load | " + " | ".join(columns) + " |")
        print("|" + "---|" * (1 + len(names) + len(others)))
        for case in cases:
            runs = {name: results[str(case), name] for name in names}
            medians = {name: median(values) for name, values in runs.items()}
            cells = [show(medians[name], runs[name]) for name in names]
            held = [name for name in peers if medians[name] is not None]
            best = [min(held, key=lambda name: medians[name], default=None)] if peers else []
            cells += [ratio(runs, medians, ours, other) for other in [*best, *floors]]
            print(f"| {' '.join(words(case))} | " + " | ".join(cells) + " |", flush=True)


def median(values):
    """The median, if most runs had a value: the others lost something."""
    held = [value for value in values if value is not None]
    return statistics.median(held) if 2 * len(held) > len(values) else None


def show(value, values):
    held = sum(value is not None for value in values)
    note = "" if held == len(values) else f" ({held} of {len(values)} runs)"
    return "lost" + note if value is None else f"{value:.3g}{note}"


def ratio(runs, medians, ours, other):
    if other is None or medians[ours] is None or medians[other] is None:
        return "-"
    each = [a / b for a, b in zip(runs[ours], runs[other]) if a is not None and b is not None]
    span = f" ({min(each):.2f} to {max(each):.2f})" if each else ""
    return f"**{medians[ours] / medians[other]:.2f}**{span}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of sending, a run")
    parser.add_argument("--trials", type=int, default=25, help="in a search for the highest rate")
    parser.add_argument("--passes", type=int, default=3, help="over packets in memory, a run")
    parser.add_argument(
        "--clock", choices=["cpu", "wall"], default="cpu",
        help="for packets in memory: CPU time, which others on the machine disturb less, or the clock's",
    )
    parser.add_argument("--sender-core", type=int, default=0)
    parser.add_argument("--receiver-core", type=int, default=1)
    parser.add_argument("--port", type=int, default=17148, help="for the peer to receive at")
    parser.add_argument("--timeout", type=float, default=60)
    parser.add_argument("--prefix", default="", help="such as 'chrt -f 5', on a busy machine")
    parser.add_argument("--log", help="a file for every single answer, as JSON")
    parser.add_argument("what", nargs="+", choices=["memory", "udp", "single", "pool", "top", "scatter"])
    options = parser.parse_args()
    bench = Bench(options)
    for what in options.what:
        getattr(bench, what)()
    if options.log:
        pathlib.Path(options.log).write_text(json.dumps(bench.log, indent=1))


if __name__ == "__main__":
    main()
