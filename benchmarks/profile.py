"""A sampling profile of another process while something is measured."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class ProfilerMissing(Exception):
    """py-spy is not installed."""


def require_profiler() -> str:
    """Return the path of py-spy.

    Raises:
        ProfilerMissing: with the command that installs it.
    """
    found = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if found is None:
        raise ProfilerMissing(f"py-spy is not installed; install it with: {sys.executable} -m pip install py-spy")
    return found


@contextmanager
def profiled(pid: int | None, target: Path | None) -> Iterator[None]:
    """Sample process `pid` into `target` in the collapsed-stack format; do nothing where either is None.

    Only threads that hold the interpreter's lock count, so it is a profile of processor time and not of waiting; the
    process is not stopped for a sample, which would cost it more than its work.
    """
    if pid is None or target is None:
        yield
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [require_profiler(), "record", "--pid", str(pid), "--format", "raw", "--output", str(target)]
    process = subprocess.Popen(
        [*command, "--rate", "200", "--gil", "--nonblocking"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
