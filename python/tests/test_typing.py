"""The types that the package declares are those that it has."""

import pathlib
import re
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


# What a block of code in the documentation takes from the text around it.
AROUND = {
    "speadway": "import speadway",
    "recv": "from speadway import recv",
    "np": "import numpy as np",
    "stream": "stream: Any",
    "measurements": "measurements: Any",
}


def test_the_documented_code_is_right(tmp_path):
    blocks = []
    for page in ("README.md", "docs/python.md"):
        blocks += re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert len(blocks) >= 5
    for number, block in enumerate(blocks):
        around = [line for name, line in AROUND.items() if not has(block, name)]
        text = "\n".join(["from typing import Any", *around, block])
        (tmp_path / f"block_{number}.py").write_text(text)
    check("mypy", "--strict", tmp_path)


def has(block, name):
    """Whether a block itself says what a name is."""
    return re.search(rf"^(import|from) .*\b{name}\b|^{name} = ", block, re.MULTILINE)


def test_the_stubs_describe_what_is_there():
    # Which native classes cannot be bases together is a matter of their layout in memory.
    check(
        *("mypy.stubtest", "speadway", "--ignore-disjoint-bases"),
        *("--allowlist", ALLOWLIST, "--ignore-unused-allowlist"),
    )
