"""What the process has: memory, descriptors, threads."""

import contextlib
import gc
import os

from waiting import eventually


def resident():
    """Bytes of memory that the process has."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_files():
    return len(os.listdir("/proc/self/fd"))


def threads():
    """Threads, without the one that logs: it starts with the first message, and stays."""
    names = []
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/comm") as name:
            names.append(name.read().strip())
    return len(names) - names.count("speadway-log")


def footprint():
    """All three, once what was given up is gone."""
    gc.collect()
    return resident(), open_files(), threads()


def check_growth(cycle, *, bytes, warm_up=60, cycles=300, rounds=4):
    """Fails if `cycle(number)`, done again and again, takes `bytes` more memory, or leaves a
    descriptor or a thread.

    What an allocator takes once, because threads happened to overlap, is no leak: a leak shows in
    every round.
    """
    for number in range(warm_up):
        cycle(number)
    growth = []
    for _ in range(rounds):
        before = footprint()
        for number in range(cycles):
            cycle(number)
        growth.append(footprint()[0] - before[0])
        # A thread that was waited for is listed for a moment still.
        eventually(lambda: open_files() <= before[1] and threads() <= before[2])  # noqa: B023
        if growth[-1] < bytes:
            return
    raise AssertionError(f"memory grew by {growth} bytes")
