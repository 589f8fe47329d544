"""Comparing what Python programs do with speadway and with spead2: each run in a process of its own."""

import argparse
import json
import subprocess
import sys


def run(python, script, name, load):
    command = [python, script, "--side", name, load]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def compare(script, about, loads):
    """What `script --side NAME LOAD` printed, in turns: for each load the results of speadway, and then
    of each build of spead2 that the command line names."""
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    parser.add_argument("--peer", action="append", help="an interpreter that has spead2")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    sides = [(sys.executable, "speadway")]
    sides += [(peer, "spead2") for peer in options.peer or [sys.executable]]
    results = {load: [[] for _ in sides] for load in loads}
    for _ in range(options.rounds):
        for load in loads:
            for (python, name), of_side in zip(sides, results[load]):
                of_side.append(run(python, script, name, load))
    return results
