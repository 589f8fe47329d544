"""The types that the package declares are those that it has."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
ALLOWLIST = ROOT / "python/tests/stubtest-allowlist.txt"


def check(*arguments):
    result = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_sources_are_typed_strictly():
    check("mypy", "--strict", "python/speadway")


def test_examples_are_too():
    check("mypy", "--strict", "examples/python")


def test_the_stubs_describe_what_is_there():
    # Which native classes cannot be bases together is a matter of their layout in memory.
    check(
        *("mypy.stubtest", "speadway", "--ignore-disjoint-bases"),
        *("--allowlist", ALLOWLIST, "--ignore-unused-allowlist"),
    )
