"""The examples, as processes."""

import pathlib
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples/python"

# What each prints, among other things.
SHOWN = {
    "asyncio_consumer": ["heap 5: 1024 channels, the strongest is 400", "5 heaps in 5 packets"],
    "placement_layout": [
        f"chunk {at}, 256 of 256 heaps, power of each antenna: [0. 1. 4. 9.]" for at in range(3)
    ],
    "placement_numba": [f"chunk {at}, 64 heaps, means: [1. 2.]" for at in range(3)],
    "ring_group": [
        "chunk 0: mean 31.68, heaps of each stream: {0: 32, 1: 30}",
        "250 heaps, 6 missing",
    ],
}


@pytest.mark.parametrize("name", SHOWN)
def test_an_example(name):
    result = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"], capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert set(SHOWN[name]) <= set(result.stdout.splitlines())


def test_there_are_no_others():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(SHOWN)
