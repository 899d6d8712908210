"""Runs a drill: feeds its step machine with results and time, and has its steps performed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import structlog

from coordinator.drills.machine import Alive, Failed, Happening, Interrupt, Performed, Tick, begin, step
from coordinator.drills.model import Deadlines, Drill, Failure, Moment, Request, Step, Subject
from coordinator.drills.report import record_of
from coordinator.drills.throwaway import Cluster
from coordinator.snapshots import Snapshots
from quiesce.errors import QuiesceError
from quiesce.failpoints import reach

log = structlog.get_logger("drill")
# Results wait here for less than a millisecond each.
_QUEUE = 256
_GRACE_S = 0.1


class DrillRunner:
    """One drill, from its begin to its end.

    Args:
        request: what was asked for.
        deadlines: of its steps.
        snapshots: the repositories.
        cluster: the throw-away one.
        clock: the time.
        changed: is told each change of the drill.
        advanced: is told how far a step is, done and in all.
    """

    def __init__(
        self,
        request: Request,
        deadlines: Deadlines,
        *,
        snapshots: Snapshots,
        cluster: Cluster,
        clock: Callable[[], Moment],
        changed: Callable[[Drill], None],
        advanced: Callable[[int, int], None],
    ) -> None:
        self._snapshots = snapshots
        self._cluster = cluster
        self._clock = clock
        self._changed = changed
        self._advanced = advanced
        self._happenings: asyncio.Queue[Happening] = asyncio.Queue(_QUEUE)
        self._performing: asyncio.Task[None] | None = None
        self._given_up: set[asyncio.Task[None]] = set()
        self.drill, self._first = begin(request, deadlines, clock())

    def interrupt(self, error: QuiesceError) -> None:
        """Have the drill end soon, without a word about the snapshot."""
        with contextlib.suppress(asyncio.QueueFull):
            self._happenings.put_nowait(Interrupt(Failure.of(error)))

    async def run(self) -> Drill:
        """Run the drill to its end, and return it; nothing is left of its cluster, also when this is cancelled."""
        try:
            wanted = self._first
            while not self.drill.ended:
                if wanted is not None:
                    self._start(wanted)
                    log.info("drill", id=self.drill.request.drill_id, step=wanted, snapshot=self.drill.snapshot_id)
                    self._changed(self.drill)
                self.drill, wanted = step(self.drill, await self._next(), self._clock())
        finally:
            for task in [self._performing, *self._given_up]:
                if task is not None:
                    task.cancel()
            if not self.drill.ended:
                await self._cluster.clean()
        error = self.drill.error()
        log.info("drill ended", id=self.drill.request.drill_id, outcome=self.drill.outcome, error=error and str(error))
        self._changed(self.drill)
        return self.drill

    async def _next(self) -> Happening:
        wait_s = (self.drill.deadline - self._clock().mono_ms) / 1000
        try:
            async with asyncio.timeout(max(wait_s, 0.0)):
                return await self._happenings.get()
        except TimeoutError:
            # After this process was stopped for a while, results and deadlines are there at once: results count.
            await asyncio.sleep(_GRACE_S)
            return Tick() if self._happenings.empty() else self._happenings.get_nowait()

    def _start(self, wanted: Step) -> None:
        if self._performing is not None:
            # It has ended, or was given up.
            self._performing.cancel()
            self._given_up.add(self._performing)
            self._performing.add_done_callback(self._given_up.discard)
        self._performing = asyncio.create_task(self._perform(wanted))

    async def _perform(self, wanted: Step) -> None:
        happening: Happening
        try:
            reach(f"drill.{wanted.value}.before")
            happening = Performed(wanted, await self._result(wanted))
            reach(f"drill.{wanted.value}.after")
        except QuiesceError as error:
            happening = Failed(wanted, Failure.of(error))
        except Exception as error:
            log.exception("a step failed", step=wanted)
            happening = Failed(wanted, Failure.of(QuiesceError(detail=f"{type(error).__name__}: {error}")))
        await self._happenings.put(happening)

    async def _result(self, wanted: Step) -> Any:
        drill, cluster = self.drill, self._cluster

        def advance(done: int, total: int) -> None:
            # Told more often than it matters: one that is lost is followed by another.
            with contextlib.suppress(asyncio.QueueFull):
                self._happenings.put_nowait(Alive(wanted))
            self._advanced(done, total)

        match wanted:
            case Step.CHOOSE:
                return await self._choose()
            case Step.START if drill.subject is not None:
                return await cluster.start(drill.subject)
            case Step.RESTORE if drill.subject is not None:
                return await cluster.restore(drill.subject, advance)
            case Step.COUNT:
                return await cluster.count()
            case Step.STOP:
                return await cluster.stop()
            case Step.CHECK:
                return await cluster.check(advance)
            case Step.RECORD:
                record = record_of(drill, self._clock().unix_ms)
                return await self._snapshots.put_drill(drill.request.repository, record)
            case Step.CLEAN:
                return await cluster.clean()

    async def _choose(self) -> Subject:
        manifest = await self._snapshots.manifest(self.drill.request.repository, self.drill.request.snapshot_id)
        return Subject(
            snapshot_id=manifest.snapshot_id,
            content_id=manifest.content_id,
            records={database.name: database.records for database in manifest.databases},
            bytes_raw=manifest.totals.bytes_raw,
        )
