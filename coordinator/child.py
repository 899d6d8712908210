"""A `quiesce` command as a child process that does not outlive this one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from quiesce.daemon import bound

# The findings of an examination come in one line.
_LINE_BYTES = 16 << 20
_KILL_S = 5.0
_TAIL_BYTES = 4096
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Child:
    """`log` takes what it says on standard error, and what is not read of standard output."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @classmethod
    async def start(cls, arguments: Sequence[str], *, directory: Path, log: Path, read: bool = False) -> Child:
        """Start `quiesce ARGUMENTS`, whose temporary files go to `directory`; `read`: `lines` gives its output.

        Raises:
            OSError: it cannot be started.
        """
        # What configures this process must not configure that one.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("QUIESCE_")}
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", bound.__file__, str(os.getpid())),
                *(sys.executable, "-m", "quiesce", *arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if read else output,
                stderr=output,
                env={**environment, "TMPDIR": str(directory)},
                limit=_LINE_BYTES,
                # Ctrl-C on the terminal is for the coordinator alone.
                start_new_session=True,
            )
        return cls(process, log)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the lines of its output, to the end."""
        assert self._process.stdout is not None, "it was started to be read"  # noqa: S101
        while line := await self._process.stdout.readline():
            yield line

    async def wait(self) -> int:
        """Wait for its end, and return its exit code."""
        return await self._process.wait()

    def terminate(self) -> None:
        """Ask it to end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    async def kill(self) -> None:
        """End it, and wait until it is gone; TimeoutError where the system cannot."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        async with asyncio.timeout(_KILL_S):
            await self._process.wait()

    def last_words(self) -> str:
        """Return the last line of its log."""
        try:
            with self._log.open("rb") as stream:
                stream.seek(max(self._log.stat().st_size - _TAIL_BYTES, 0))
                lines = stream.read().decode(errors="replace").splitlines()
        except OSError:
            lines = []
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on; not one that the system gives to outgoing connections.

    Else it could be taken by somebody's connection before it is used.
    """
    try:
        lowest = int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        lowest = 32_768
    # Others may look at the same time.
    for port in random.sample(range(10_000, max(lowest, 10_100)), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
