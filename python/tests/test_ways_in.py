"""Programs written for spead2 that run on speadway. Each is a process of its own."""

import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
import logging, sys
import spead2
import spead2.recv, spead2.send
import spead2.recv.stream_stat_indices as indices
import spead2.send.asyncio
from spead2.recv.stream_stat_indices import HEAPS
from spead2.send import asyncio as send_asyncio
from spead2.tools import cmdline
import speadway, speadway.recv, speadway.send.asyncio, speadway.recv.stream_stat_indices

assert spead2 is speadway and spead2.recv is speadway.recv and spead2.send is speadway.send
assert send_asyncio is spead2.send.asyncio is speadway.send.asyncio
assert indices is speadway.recv.stream_stat_indices and HEAPS == 0
assert sys.modules["spead2.recv"] is speadway.recv
assert speadway.recv.__spec__.name == "speadway.recv"
item = spead2.ItemGroup().add_item(None, "a", "", (), "u1", value=3)
assert isinstance(item, speadway.Item)
try:
    import spead2.nothing
except ModuleNotFoundError as error:
    assert error.name == "spead2.nothing"
else:
    raise AssertionError("there is no such module")
print("ran", __name__, sys.argv[1:])
"""


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60
    )


def ran(result, output):
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == output


@pytest.fixture
def program(tmp_path):
    """A program, in a directory with a module that it may import."""
    directory = tmp_path / "somewhere"
    directory.mkdir()
    (directory / "beside.py").write_text("")
    path = directory / "program.py"
    path.write_text("import beside\n" + PROGRAM)
    return path


def test_programs_are_run(program, tmp_path):
    result = run("-m", "speadway.as_spead2", str(program), "--some", "x", cwd=tmp_path)
    ran(result, "ran __main__ ['--some', 'x']\n")


def test_modules_are_run(program):
    result = run("-m", "speadway.as_spead2", "-m", "program", "--some", cwd=program.parent)
    ran(result, "ran __main__ ['--some']\n")


def test_errors_and_exit_codes_are_the_programs(tmp_path):
    (tmp_path / "exits.py").write_text("import spead2\nraise SystemExit(7)\n")
    assert run("-m", "speadway.as_spead2", "exits.py", cwd=tmp_path).returncode == 7
    (tmp_path / "fails.py").write_text("import spead2\nspead2.nothing\n")
    result = run("-m", "speadway.as_spead2", "fails.py", cwd=tmp_path)
    assert result.returncode == 1 and "AttributeError" in result.stderr


@pytest.mark.parametrize("arguments", [[], ["-m"]])
def test_something_has_to_be_run(arguments, tmp_path):
    result = run("-m", "speadway.as_spead2", *arguments, cwd=tmp_path)
    assert result.returncode != 0 and "usage" in result.stdout + result.stderr


def script(text, cwd):
    return run("-c", textwrap.dedent(text), cwd=cwd)


def test_a_program_may_install_it_itself(tmp_path):
    install = "import speadway\nspeadway.install_as_spead2()\nspeadway.install_as_spead2()\n"
    ran(script(install + PROGRAM, tmp_path), "ran __main__ []\n")


def test_spead2_must_not_be_there_already(tmp_path):
    text = """
        import spead2, speadway
        try:
            speadway.install_as_spead2()
        except RuntimeError as error:
            assert "already imported" in str(error)
            assert sys.modules["spead2"] is spead2 is not speadway
        else:
            raise AssertionError("was installed")
        import spead2.recv
        assert spead2.recv is not speadway.recv
    """
    ran(script("import sys\n" + textwrap.dedent(text), tmp_path), "")


def test_nothing_is_aliased_unless_asked_for(tmp_path):
    ran(script("import speadway, sys\nassert 'spead2' not in sys.modules", tmp_path), "")


def test_one_import_is_enough(tmp_path):
    text = """
        import speadway as spead2
        group = spead2.send.ItemGroup()
        group.add_item(0x1000, "data", "", (3,), "u1", value=[1, 2, 3])
        stream = spead2.send.BytesStream(spead2.ThreadPool())
        stream.send_heap(group.get_heap())
        config = spead2.recv.StreamConfig()
        assert len(stream.getvalue()) > 0 and not hasattr(spead2, "IbvContext")
    """
    ran(script(text, tmp_path), "")


def test_messages_reach_the_logger_of_spead2(tmp_path):
    text = """
        import logging, sys
        import speadway
        speadway.install_as_spead2()
        import spead2

        class Collect(logging.Handler):
            def __init__(self):
                super().__init__()
                self.messages = []
            def emit(self, record):
                self.messages.append(record.getMessage())

        theirs, root = Collect(), Collect()
        logging.getLogger("spead2").addHandler(theirs)
        logging.getLogger("spead2").setLevel(logging.WARNING)
        logging.getLogger().addHandler(root)
        logging.getLogger("speadway").warning("one")
        logging.getLogger("speadway").info("two")
        assert theirs.messages == root.messages == ["one"], (theirs.messages, root.messages)
    """
    ran(script(text, tmp_path), "")


def test_messages_reach_only_our_logger_otherwise(tmp_path):
    text = """
        import logging
        import speadway
        logging.getLogger("spead2").addHandler(handler := logging.Handler())
        handler.emit = lambda record: print("spead2 heard it")
        logging.getLogger("speadway").addHandler(logging.NullHandler())
        logging.getLogger("speadway").warning("one")
    """
    ran(script(text, tmp_path), "")
