"""Becomes another program whose life is bound to its parent's: `python -I -S bound.py PARENT-PID PROGRAM ARGUMENT…`.

A program of its own, because code between fork and exec can hang in a process that has threads, as gRPC's are.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Bind, then become the program; ends at once where the parent is gone already."""
    parent, *program = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before the line above.
    if os.getppid() == int(parent):
        os.execv(program[0], program)  # noqa: S606


if __name__ == "__main__":
    main()
