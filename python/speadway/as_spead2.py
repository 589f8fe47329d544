"""Runs a program that was written for spead2, unchanged: `python -m speadway.as_spead2 program.py`.

What follows the program's name are its arguments. Instead of its name there may be `-m module`.
"""

import os
import runpy
import sys

from . import install_as_spead2

_USAGE = "usage: python -m speadway.as_spead2 (program.py | -m module) [arguments]"


def main() -> None:
    """Runs the program that the command line names, in place of this one."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE)
        raise SystemExit(0 if arguments else 2)
    install_as_spead2()
    if arguments[0] == "-m":
        if len(arguments) == 1:
            raise SystemExit(_USAGE)
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return
    program = arguments[0]
    sys.argv = arguments
    # Where Python would look first for what the program imports.
    sys.path[0] = os.path.dirname(os.path.abspath(program))
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
