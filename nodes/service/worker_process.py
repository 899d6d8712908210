"""One run of the snapshot worker, as a child process of the daemon."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from nodes.worker.orders import order
from nodes.worker.progress import parse_attest_line, parse_line
from quiesce.errors import QuiesceError, SnapshotWorkerFailed
from quiesce.rpc.limits import MESSAGE_BYTES
from quiesce.v1 import attest_pb2, node_pb2

_STDERR_LINES = 5
_STOP_S = 2.0
_log = structlog.get_logger("worker")
Report = TypeVar("Report")


@dataclass(frozen=True, slots=True)
class Work(Generic[Report]):
    """What a worker does: how a line of it is read (ValueError: it is not one), and which report is the last."""

    parse: Callable[[bytes], Report | QuiesceError | str]
    is_last: Callable[[Report], bool]


SNAPSHOT: Work[node_pb2.SnapshotProgress] = Work(
    parse_line, lambda report: report.phase == node_pb2.SnapshotProgress.PHASE_DONE
)
ATTESTATION: Work[attest_pb2.AttestProgress] = Work(parse_attest_line, lambda report: bool(report.content_id))


class WorkerProcess(Generic[Report]):
    """Starts the worker, and sees to it that it does not outlive what it is for."""

    def __init__(self, node_id: int, process: asyncio.subprocess.Process, work: Work[Report]) -> None:
        self._node_id = node_id
        self._process = process
        self._work = work
        self._killed_for: QuiesceError | None = None
        self._ending: asyncio.Task[None] | None = None
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._reading = asyncio.create_task(self._read_stderr())

    @classmethod
    async def start(cls, node_id: int, arguments: Sequence[str], work: Work[Report]) -> WorkerProcess[Report]:
        """Start `python -m nodes.worker` with the arguments.

        Raises:
            SnapshotWorkerFailed: it cannot be started.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "nodes.worker",
                *arguments,
                # Its end tells the worker that the daemon is gone.
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                # The last line carries the draft of the manifest.
                limit=2 * MESSAGE_BYTES,
            )
        except OSError as error:
            raise SnapshotWorkerFailed(node_id=node_id, code=-1, detail=str(error)) from error
        _log.info("snapshot worker started", pid=process.pid)
        return cls(node_id, process, work)

    async def progress(self) -> AsyncGenerator[Report]:
        """Yield what it reports, to the end.

        Raises:
            SnapshotWorkerFailed: it died, or spoke in tongues.
            QuiesceError: what it ended with, or what it was killed for.
        """
        done = False
        failure: QuiesceError | None = None
        assert self._process.stdout is not None  # noqa: S101
        try:
            while line := await self._process.stdout.readline():
                match self._work.parse(line):
                    case QuiesceError() as failure:
                        pass
                    case str() as warning:
                        _log.warning("snapshot worker", text=warning)
                    case report:
                        done = self._work.is_last(report)
                        yield report
        except ValueError as error:  # also a line over the limit
            failure = SnapshotWorkerFailed(node_id=self._node_id, code=-1, detail=str(error))
            self.kill(failure)
        code = await self._process.wait()
        _log.info("snapshot worker ended", pid=self._process.pid, code=code)
        if self._killed_for is not None:
            raise self._killed_for
        if failure is not None:
            raise failure
        if code != 0 or not done:
            await asyncio.wait([self._reading], timeout=1.0)
            detail = " / ".join(self._stderr) or "it said nothing"
            raise SnapshotWorkerFailed(node_id=self._node_id, code=code, detail=detail)

    def change_rate(self, rate_limit: int) -> bool:
        """Tell it how many bytes it may read a second, 0: any; return False where it cannot be told now."""
        pipe = self._process.stdin
        if pipe is None or pipe.is_closing() or self._process.returncode is not None:
            return False
        # One that stands still reads nothing: what it has not read yet must not pile up.
        if pipe.transport.get_write_buffer_size():
            return False
        pipe.write(order(rate_limit))
        return True

    def kill(self, reason: QuiesceError) -> None:
        """Tell it to stop; `progress` then raises the reason. What it has uploaded may be used by the next run."""
        if self._process.returncode is None and self._killed_for is None:
            self._killed_for = reason
            self._process.terminate()
            self._ending = asyncio.create_task(self._make_sure())

    async def ended(self) -> None:
        """Wait until the process that was told to stop is gone."""
        if self._ending is not None:
            await self._ending

    async def _make_sure(self) -> None:
        # First in good order: it removes what it has half-written.
        for end in (self._process.kill, lambda: _log.warning("snapshot worker does not die", pid=self._process.pid)):
            try:
                await asyncio.wait_for(self._process.wait(), _STOP_S)
            except TimeoutError:
                end()

    async def _read_stderr(self) -> None:
        assert self._process.stderr is not None  # noqa: S101
        while chunk := await self._process.stderr.read(4096):
            for line in chunk.decode(errors="replace").splitlines():
                self._stderr.append(line[:500])
                _log.warning("snapshot worker says", text=line[:500])


def checkpoint_arguments(path: Path, mark: node_pb2.Mark, *, node_id: int, cluster_id: str) -> list[str]:
    """Return what a worker has to know of its checkpoint."""
    return [
        f"--checkpoint={path}",
        f"--cluster-id={cluster_id}",
        f"--node-id={node_id}",
        f"--mark-term={mark.term}",
        f"--mark-index={mark.index}",
        f"--mark-time-ms={mark.time_ms}",
        f"--epoch={mark.epoch}",
        f"--parent={os.getpid()}",
    ]


def repository_arguments(repository: str, databases: Sequence[str], rate_limit: int) -> list[str]:
    """Return what a worker has to know of its repository."""
    return [f"--repository={repository}", f"--rate-limit={rate_limit}", *(f"--database={name}" for name in databases)]
