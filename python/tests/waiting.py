"""Waiting for what other threads do."""

import itertools
import time


def eventually(condition, timeout=20):
    """Waits until something that other threads do has come true."""
    deadline = time.monotonic() + timeout
    for pause in itertools.chain([0.0, 0.001, 0.005], itertools.repeat(0.01)):
        if condition():
            return
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(pause)
