"""The drills of this coordinator: one at a time, whoever watches it or not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import structlog

from coordinator.documents import Documents, Entry
from coordinator.drills.journal import KEPT, DrillJournal
from coordinator.drills.model import Deadlines, Drill, Failure, Moment, Outcome, Request
from coordinator.drills.report import Report, drill_message, report_of
from coordinator.drills.runner import DrillRunner
from coordinator.drills.scratch import Scratch
from coordinator.drills.throwaway import Cluster
from coordinator.feed import Feed
from coordinator.recorder import Recorder
from coordinator.snapshots import Snapshots
from quiesce.errors import (
    DirectoryInUse,
    DrillFailed,
    DrillRunning,
    QuiesceError,
    StaleVersion,
    Unavailable,
    UnknownRecord,
)
from quiesce.v1.drill_pb2 import DrillProgress

log = structlog.get_logger("drill")

AGAIN_S = 1.0
READY_S = 5.0
# A drill says so often that it goes on; who is not heard of for so long is gone.
SEEN_EVERY_S = 20.0
GONE_AFTER_MS = 120_000
# Who sees the end of a drill should also find it in the list; but not at any price.
FLUSH_S = 5.0
_LEFT = "the coordinator that made it went away; it says nothing about the snapshot"


@dataclass(slots=True)
class RunningDrill:
    """A drill that was started here, until its end is recorded."""

    runner: DrillRunner
    recorder: Recorder[Report]
    feed: Feed[DrillProgress]
    owner: str
    clock: Callable[[], Moment]
    done: int = 0
    total: int = 0
    task: asyncio.Task[None] | None = None
    # How it ended, where its machine did not come to an end.
    broken: Report | None = None

    @property
    def report(self) -> Report:
        """The drill as it is now."""
        return self.broken or report_of(self.runner.drill, self.owner, self.clock().unix_ms)

    def publish(self) -> None:
        """Tell those who watch."""
        self.feed.publish(DrillProgress(drill=drill_message(self.report), done=self.done, total=self.total))


class Drills:
    """Starts and lists drills, and ends those that were left.

    Args:
        documents: the cluster's databases.
        snapshots: the repositories.
        scratch: where throw-away nodes live.
        make_cluster: makes a throw-away cluster.
        deadlines: of the steps.
        clock: the time.
        new_id: makes an id.
        owner: who this coordinator is; the one that is started after it in its place has the same name.
        check_leads: raises NotLeading where another coordinator runs jobs and drills.
    """

    def __init__(
        self,
        *,
        documents: Documents,
        snapshots: Snapshots,
        scratch: Scratch,
        make_cluster: Callable[[Request], Cluster],
        deadlines: Deadlines,
        clock: Callable[[], Moment],
        new_id: Callable[[], str],
        owner: str,
        check_leads: Callable[[], None],
    ) -> None:
        self._check_leads = check_leads
        self._journal = DrillJournal(documents)
        self._snapshots = snapshots
        self._scratch = scratch
        self._make_cluster = make_cluster
        self._deadlines = deadlines
        self._clock = clock
        self._new_id = new_id
        self._owner = owner
        # Named before it is there: two that ask at the same moment must not both get in.
        self._starting = ""
        self._running: RunningDrill | None = None
        # Ended, and the cluster does not know yet.
        self._unrecorded: dict[str, RunningDrill] = {}
        self._stopping = False
        self.ready = asyncio.Event()
        # Called when a drill has ended.
        self.on_ended: Callable[[], None] = lambda: None

    async def make_ready(self) -> None:
        """Remove what an earlier coordinator left on the disk, and end what it left in the cluster."""
        alone = True
        try:
            for name in await asyncio.to_thread(self._scratch.clean):
                log.warning("what a drill has left was removed", directory=str(self._scratch.path / name))
        except QuiesceError as error:
            # The next drill says it to whoever wants one.
            alone = not isinstance(error, DirectoryInUse)
            log.warning("the directory of drills cannot be used", error=error.message())
        while True:
            try:
                await self._journal.ensure()
                entries = await self._journal.latest()
                await self._end_left(entries, own=alone)
                await self._journal.prune(entries)
                break
            except QuiesceError:
                await asyncio.sleep(AGAIN_S)
        self.ready.set()

    async def start(self, repository: str, snapshot_id: str, *, drill_id: str = "", policy: str = "") -> RunningDrill:
        """Start a drill; as that of a policy it comes with its id.

        Raises:
            DuplicateKey: there is a drill of that id.
            DrillRunning: another one runs, here or elsewhere.
            Unavailable: the cluster has not been reached yet, or cannot be now.
            NotLeading: another coordinator runs drills.
        """
        self._check_leads()
        with contextlib.suppress(TimeoutError):
            # Both may have been started together.
            async with asyncio.timeout(0 if self._stopping else READY_S):
                await self.ready.wait()
        if self._stopping or not self.ready.is_set():
            detail = "the coordinator is being stopped" if self._stopping else "the coordinator is not ready yet"
            raise Unavailable(addresses="the cluster", seconds=f"{READY_S:g}", detail=detail)
        self._check_free()
        drill_id = drill_id or self._new_id()
        self._starting = drill_id
        try:
            running = await self._prepare(Request(drill_id, repository, snapshot_id, policy))
            self._running = running
        finally:
            self._starting = ""
        running.task = asyncio.create_task(self._run(running))
        return running

    def _check_free(self) -> None:
        if self._running is not None:
            report = self._running.report
            raise DrillRunning(drill_id=report.id, snapshot_id=report.snapshot_id)
        if self._starting:
            raise DrillRunning(drill_id=self._starting, snapshot_id="(not chosen yet)")

    async def _prepare(self, request: Request) -> RunningDrill:
        entries = await self._journal.latest()
        await self._end_left(entries, own=False)
        for entry in entries:
            if entry.value.running and entry.value.id not in self._unrecorded:
                raise DrillRunning(drill_id=entry.value.id, snapshot_id=entry.value.snapshot_id)
        await self._journal.prune(entries)
        feed: Feed[DrillProgress] = Feed()

        # `running` is there before the runner runs.
        def changed(drill: Drill) -> None:
            running.done = running.total = 0
            # Its end is told after it is recorded.
            if not drill.ended:
                running.recorder.put(running.report)
                running.publish()

        def advanced(done: int, total: int) -> None:
            running.done, running.total = done, total
            running.publish()

        runner = DrillRunner(
            request,
            self._deadlines,
            snapshots=self._snapshots,
            cluster=self._make_cluster(request),
            clock=self._clock,
            changed=changed,
            advanced=advanced,
        )
        entry = await self._journal.create(report_of(runner.drill, self._owner, self._clock().unix_ms))
        # Its owner had not been heard of for long, if somebody else has ended it.
        recorder = Recorder(self._journal, entry, overtaken=lambda _, error: error)
        running = RunningDrill(runner, recorder, feed, self._owner, self._clock)
        return running

    async def _run(self, running: RunningDrill) -> None:
        drill_id = running.report.id
        self._unrecorded[drill_id] = running
        running.recorder.start()
        running.recorder.lost.add_done_callback(
            lambda lost: None if lost.cancelled() else running.runner.interrupt(lost.result())
        )
        beating = asyncio.create_task(_beat(running))
        try:
            try:
                await running.runner.run()
            except Exception as error:  # a drill must not run for ever because of a mistake in here
                log.exception("the drill broke", id=drill_id)
                failure = Failure.of(QuiesceError(detail=f"{type(error).__name__}: {error}"))
                running.broken = _ended(running.report, Outcome.FAILED, failure, self._clock().unix_ms)
            running.recorder.put(running.report)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await running.recorder.flushed()
        finally:
            beating.cancel()
            self._running = None
            running.publish()
            running.feed.close()
            self.on_ended()
        # The cluster may be away for long; the end of the drill is written as soon as it is back.
        await running.recorder.flushed()
        self._unrecorded.pop(drill_id, None)

    def running(self, drill_id: str) -> RunningDrill | None:
        """Return a drill that was started here and is not yet recorded as ended."""
        return self._unrecorded.get(drill_id)

    def interrupt(self, drill_id: str, why: str) -> None:
        """Have a drill end soon, if it was started here and runs."""
        running = self.running(drill_id)
        if running is not None:
            running.runner.interrupt(_interruption(running.report, why))

    async def find(self, drill_id: str) -> Report | None:
        """Return a drill as it is now; None where there is none of that id."""
        running = self.running(drill_id)
        return running.report if running is not None else await self._journal.one(drill_id)

    async def list(self, limit: int) -> list[Report]:
        """Return the latest drills, the latest first; those that were left are ended before."""
        entries = await self._journal.latest()
        await self._end_left(entries, own=False)
        here = {drill_id: running.report for drill_id, running in self._unrecorded.items()}
        recorded = [here.pop(entry.value.id, entry.value) for entry in entries]
        return [*here.values(), *recorded][: min(limit or KEPT, KEPT)]

    async def _end_left(self, entries: Sequence[Entry[Report]], *, own: bool) -> None:
        """End the drills whose coordinator is gone; with `own` also those of this one before its start."""
        now_ms = self._clock().unix_ms
        for entry in entries:
            report = entry.value
            mine = report.owner == self._owner
            gone = own if mine else report.seen_ms < now_ms - GONE_AFTER_MS
            if not report.running or not gone or report.id in self._unrecorded:
                continue
            error = _interruption(report, _LEFT)
            log.warning("a drill was left by a coordinator that is gone", id=report.id, step=report.step)
            with contextlib.suppress(StaleVersion, UnknownRecord):
                ended = _ended(report, Outcome.INTERRUPTED, Failure.of(error), now_ms)
                await self._journal.advance(entry, ended)

    async def stop(self, timeout_s: float) -> None:
        """Interrupt what runs, within `timeout_s` seconds; nothing is left of it."""
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for running in list(self._unrecorded.values()):
                    running.runner.interrupt(_interruption(running.report, "the coordinator was stopped"))
                    if running.task is not None:
                        await asyncio.wait([running.task])
        for running in list(self._unrecorded.values()):
            running.recorder.stop()
            if running.task is not None:
                running.task.cancel()
                await asyncio.wait([running.task], timeout=timeout_s)


async def _beat(running: RunningDrill) -> None:
    while True:
        await asyncio.sleep(SEEN_EVERY_S)
        if running.report.running:
            running.recorder.put(running.report)


def _interruption(report: Report, why: str) -> DrillFailed:
    return DrillFailed(
        drill_id=report.id, snapshot_id=report.snapshot_id, repository=report.repository, step=report.step, detail=why
    )


def _ended(report: Report, outcome: Outcome, failure: Failure, now_ms: int) -> Report:
    ended_ms = max(now_ms, report.started_ms)
    return msgspec.structs.replace(report, outcome=outcome, step="done", failure=failure, ended_ms=ended_ms)
