#!/usr/bin/env python3
"""How large the wheel is, and how long its import takes, beside spead2's.

  make python && .venv/bin/python benches/peers/python_import.py [--rounds 15]

spead2's wheel is downloaded by pip. Imports take turns, each in a process of its own; printed are the
medians of CPU time beyond what importing numpy takes, which both do.
"""

import argparse
import importlib.metadata
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
OURS = ROOT / "target/wheels"

PROGRAM = """
import time, numpy, asyncio
start = time.process_time()
import {name}, {name}.recv, {name}.send{more}
print(time.process_time() - start)
"""
IMPORTS = {
    "receiving and sending": "",
    "and asyncio": ", {name}.recv.asyncio, {name}.send.asyncio",
}
NAMES = ("speadway", "spead2")


def import_time(name, more):
    program = PROGRAM.format(name=name, more=more.format(name=name))
    command = [sys.executable, "-c", program]
    # The first import compiles, and keeps it.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    return float(done.stdout)


def show_times(rounds):
    print(f"{'import of':24} {'speadway ms':>12} {'spead2 ms':>10}")
    for what, more in IMPORTS.items():
        times = {name: [] for name in NAMES}
        for _ in range(rounds + 1):
            for name in NAMES:
                times[name].append(1e3 * import_time(name, more))
        ours, theirs = (statistics.median(times[name][1:]) for name in NAMES)
        print(f"{what:24} {ours:12.1f} {theirs:10.1f}")


def show_sizes():
    version = importlib.metadata.version("spead2")
    with tempfile.TemporaryDirectory() as directory:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*pip, "--dest", directory, f"spead2=={version}"], check=True)
        theirs = list(pathlib.Path(directory).glob("*.whl"))
        for wheel in [*OURS.glob("*.whl"), *theirs]:
            print(f"{wheel.stat().st_size / 1000:8.0f} kB  {wheel.name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    show_times(options.rounds)
    show_sizes()


if __name__ == "__main__":
    main()
