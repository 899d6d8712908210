"""The worker's life: it gives way to the daemon, and does not outlive it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import stat
import sys
import threading
from collections.abc import Callable
from types import FrameType

from nodes.worker.orders import Orders

_PR_SET_PDEATHSIG = 1
# ioprio_set(2) has no wrapper in libc, and a number of its own on each architecture.
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
_IOPRIO_WHO_PROCESS = 1
# The best-effort class with the lowest of its priorities: the idle class would starve on a busy disk.
_IOPRIO_LOWEST_BEST_EFFORT = (2 << 13) | 7


class Stopped(BaseException):
    """The worker was told to stop: by SIGTERM or SIGINT, or because its daemon is gone."""


def lower_priority(nice: int) -> None:
    """Let the daemon have the processor and the disk first, as far as the system lets us."""
    with contextlib.suppress(OSError):
        os.nice(nice)
    number = _IOPRIO_SET.get(platform.machine())
    if sys.platform == "linux" and number is not None:
        ctypes.CDLL(None).syscall(number, _IOPRIO_WHO_PROCESS, 0, _IOPRIO_LOWEST_BEST_EFFORT)


def stop_with_parent(parent: int | None, change_rate: Callable[[int], None]) -> None:
    """Raise Stopped in the main thread on SIGTERM or SIGINT, and see that SIGTERM comes when the parent ends.

    Args:
        parent: its process id, if it is known.
        change_rate: called on another thread with what the parent writes on the way.

    Raises:
        Stopped: the parent has ended already.
    """
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # Whoever died before the line above sends nothing any more.
    if parent is not None and os.getppid() != parent:
        raise Stopped
    if _is_pipe(sys.stdin.fileno()):
        threading.Thread(target=_watch_stdin, args=(Orders(change_rate),), name="stdin", daemon=True).start()


def _stop(_number: int, _frame: FrameType | None) -> None:
    # A second signal must not interrupt what the first one started to clean up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Stopped


def _is_pipe(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _watch_stdin(orders: Orders) -> None:
    while True:
        try:
            if read := os.read(sys.stdin.fileno(), 4096):
                orders.feed(read)
                continue
        except OSError:
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        return
