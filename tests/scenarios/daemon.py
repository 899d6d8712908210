"""One daemon process that a test may kill, stop and start again; none outlives the test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Run by the child itself, not as preexec_fn: gRPC's threads in this process do not go with code between fork and exec.
_QUIESCE = """
import ctypes, runpy, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
sys.argv[0] = "quiesce"
runpy.run_module("quiesce", run_name="__main__")
"""


class Daemon:
    """`quiesce ARGUMENTS` in the background, its output in a file.

    `through` is a command that becomes the one that follows it: `nsenter`, which puts it into a namespace.
    """

    def __init__(self, arguments: Sequence[str], log: Path, *, through: Sequence[str] = ()) -> None:
        self.arguments = list(arguments)
        self.log = log
        self._through = list(through)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start, or start again."""
        assert not self.running, "still running"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._through, sys.executable, "-c", _QUIESCE, *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
            )

    def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        if self.running:
            os.kill(self.pid, signal.SIGCONT)
            os.kill(self.pid, signal.SIGKILL)
            self.wait(10)

    def pause(self) -> None:
        """Stop it in its tracks: it keeps its sockets and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def stop(self, timeout_s: float = 20) -> int | None:
        """Ask it to end, and return its exit code; kill it if it does not. None where it was never started."""
        if self.running:
            os.kill(self.pid, signal.SIGCONT)
            os.kill(self.pid, signal.SIGTERM)
            try:
                self.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.exit_code

    def wait(self, timeout_s: float) -> int:
        assert self._process is not None, "not started"
        return self._process.wait(timeout_s)

    def tail(self, lines: int = 20) -> str:
        """Return the end of its output, for messages of tests."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def until(true: Callable[[], object], timeout_s: float, what: str, every_s: float = 0.05) -> None:
    """Wait until `true()` returns something true.

    Raises:
        TimeoutError: it did not within `timeout_s`; `what` is the message.
    """
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:g} s: {what}")
        time.sleep(every_s)
