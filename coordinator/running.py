"""A job that runs here: its machine, its place in the journal, and who watches it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from coordinator.cluster import Nodes
from coordinator.documents import Entry
from coordinator.feed import Feed
from coordinator.job import Backup, Failure, Moment, Verdict
from coordinator.job.effects import Effect
from coordinator.journal import Journal
from coordinator.record import JobRecord, record_of, to_message
from coordinator.recorder import Recorder
from coordinator.runner import Runner
from coordinator.snapshots import Snapshots
from quiesce.errors import JobTakenOver, QuiesceError
from quiesce.v1.backup_pb2 import JobProgress
from quiesce.v1.node_pb2 import SnapshotProgress

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every job works with."""

    nodes: Nodes
    snapshots: Snapshots
    journal: Journal
    clock: Callable[[], Moment]
    new_snapshot_id: Callable[[], str]


class Running:
    """A job, until its end is recorded or another coordinator goes on with it.

    Args:
        job: as it begins, or as it was left; `first` is to be done first.
        entry: its document.
        around: what it works with.
    """

    def __init__(self, job: Backup, first: list[Effect], entry: Entry[JobRecord], around: Surroundings) -> None:
        self.feed: Feed[JobProgress] = Feed()
        self.recorder = Recorder(
            around.journal,
            entry,
            overtaken=lambda record, _: JobTakenOver(job_id=record.id),
            give_up_s=job.policy.lease_ms / 1000,
        )
        self.runner = Runner(
            job,
            first,
            nodes=around.nodes,
            snapshots=around.snapshots,
            clock=around.clock,
            new_snapshot_id=around.new_snapshot_id,
            changed=self._changed,
            progressed=self._progressed,
            recorded=self.recorder.written,
        )
        self.task: asyncio.Task[None] | None = None
        # Why those who watch hear no more of it here, although it has not ended.
        self.gone: QuiesceError | None = None
        self._clock = around.clock
        self._snapshot: SnapshotProgress | None = None
        # How the job ended, where its machine did not come to an end.
        self._broken: JobRecord | None = None

    @property
    def record(self) -> JobRecord:
        """The job as it is now."""
        return self._broken or record_of(self.runner.job)

    def progress(self) -> JobProgress:
        """Return the job as those who watch get it."""
        return JobProgress(job=to_message(self.record), snapshot=self._snapshot)

    async def run(self) -> None:
        """Run the job to its end, unless another coordinator has taken it over; its end is then `gone`."""
        self.recorder.start()
        work = asyncio.create_task(self.runner.run())
        awaited: list[asyncio.Future[Any]] = [work, self.recorder.lost]
        try:
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                error = self.recorder.lost.result()
                if isinstance(error, JobTakenOver):
                    self.gone = error
                    return
                self.runner.journal_lost(error)
                await asyncio.wait({work})
            self._see_how_it_ended(work)
            self.recorder.put(self.record)
        finally:
            # Who takes over is shut out of nothing by what still runs here: its fence is older.
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    def close(self) -> None:
        """Tell those who watch how it stands, for the last time."""
        self.feed.publish(self.progress())
        self.feed.close()

    def _see_how_it_ended(self, work: asyncio.Task[Backup]) -> None:
        error = work.exception()
        if error is None:
            return
        # A job must not run for ever because of a mistake in here.
        log.error("the job broke", job=self.record.id, exc_info=error)
        text = f"{type(error).__name__}: {error}; the replica returns when its lease ends"
        failure = Failure.of(QuiesceError(detail=text))
        self._broken = self.record.ended(Verdict.FAILED, failure, self._clock().unix_ms, text)

    # The runner is there before it calls these.

    def _changed(self, job: Backup) -> None:
        if job.step.value != "snapshot":
            self._snapshot = None
        if not job.ended:
            self.recorder.put(record_of(job))
            self.feed.publish(self.progress())

    def _progressed(self, progress: SnapshotProgress) -> None:
        self._snapshot = progress
        self.feed.publish(self.progress())
