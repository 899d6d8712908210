"""Runs a backup job: feeds its step machine with answers and time, and has its effects carried out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from coordinator.cluster import Nodes
from coordinator.job import Backup, Failure, Moment, Step, step, wake_at
from coordinator.job import effects as job_effects
from coordinator.job.effects import Effect
from coordinator.job.happenings import Answer, Cancel, Failed, Happening, JournalLost, Tick
from coordinator.performer import Performer
from coordinator.snapshots import Snapshots
from quiesce.errors import DeadlineExceeded, QuiesceError
from quiesce.failpoints import reach
from quiesce.v1.node_pb2 import SnapshotProgress

log = structlog.get_logger()

# Answers wait here for less than a millisecond each; a full queue holds back whoever answers.
QUEUE = 256


class Runner:
    """One job, from its begin to its end.

    Args:
        job: as it begins, or as another coordinator left it.
        first: what is to be done first.
        nodes: the cluster.
        snapshots: the repositories.
        clock: the time.
        new_snapshot_id: makes a fresh snapshot id.
        changed: is told each change of the job.
        progressed: is told the worker's progress.
        recorded: see `Performer`.
    """

    def __init__(
        self,
        job: Backup,
        first: list[Effect],
        *,
        nodes: Nodes,
        snapshots: Snapshots,
        clock: Callable[[], Moment],
        new_snapshot_id: Callable[[], str],
        changed: Callable[[Backup], None],
        progressed: Callable[[SnapshotProgress], None],
        recorded: Callable[[], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._changed = changed
        self._happenings: asyncio.Queue[Happening] = asyncio.Queue(QUEUE)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._log = log.bind(job=job.request.job_id)
        self.job, self._first = job, first
        self._performer = Performer(
            nodes=nodes,
            snapshots=snapshots,
            policy=job.policy,
            new_snapshot_id=new_snapshot_id,
            job=lambda: self.job,
            tell=self._tell,
            show=progressed,
            recorded=recorded,
        )

    def cancel(self, why: str) -> None:
        """Have the job end soon."""
        self._tell(Cancel(why))

    def journal_lost(self, error: QuiesceError) -> None:
        """Tell the job that its state cannot be recorded."""
        self._tell(JournalLost(Failure.of(error)))

    def _tell(self, happening: Happening) -> None:
        # Signs of life may be lost when the queue is full; anything else is put by `_perform`, which waits.
        try:
            self._happenings.put_nowait(happening)
        except asyncio.QueueFull:
            if not isinstance(happening, Answer):
                raise

    async def run(self) -> Backup:
        """Run the job to its end, and return it."""
        try:
            self._changed(self.job)
            self._start(self._first)
            while not self.job.ended:
                self._take(await self._next())
            await self._finish()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        return self.job

    async def _next(self) -> Happening:
        wait_s = (wake_at(self.job) - self._clock().mono_ms) / 1000
        if wait_s <= 0:
            return Tick() if self._happenings.empty() else self._happenings.get_nowait()
        try:
            async with asyncio.timeout(wait_s):
                return await self._happenings.get()
        except TimeoutError:
            return Tick()

    def _take(self, happening: Happening) -> None:
        before = self.job
        self.job, wanted = step(before, happening, self._clock())
        for event in self.job.events[len(before.events) :]:
            self._log.info("backup", step=event.step, what=event.text, node=self.job.node_id, epoch=self.job.epoch)
        if (before.step, before.events) != (self.job.step, self.job.events):
            self._changed(self.job)
        self._start(wanted)

    def _start(self, wanted: list[Effect]) -> None:
        for effect in wanted:
            if isinstance(effect, job_effects.Abort):
                if effect.ticket in self._tasks:
                    self._tasks[effect.ticket].cancel()
                continue
            task = asyncio.create_task(self._perform(effect))
            self._tasks[effect.ticket] = task
            task.add_done_callback(lambda _, ticket=effect.ticket: self._tasks.pop(ticket, None))  # type: ignore[misc]

    async def _perform(self, effect: Effect) -> None:
        point = f"coordinator.{type(effect).__name__}"
        try:
            reach(f"{point}.before")
            answer = await self._performer.perform(effect)
            reach(f"{point}.after")
        except QuiesceError as error:
            answer = Failed(effect.ticket, Failure.of(error))
        except TimeoutError:
            late = DeadlineExceeded(operation=type(effect).__name__, seconds=self.job.policy.renew_every_ms() / 1000)
            answer = Failed(effect.ticket, Failure.of(late))
        except Exception as error:  # noqa: BLE001 — whatever it is, the job must come to its end and give the lease back
            self._log.exception("effect failed", effect=type(effect).__name__)
            answer = Failed(effect.ticket, Failure.of(QuiesceError(detail=f"{type(error).__name__}: {error}")))
        await self._happenings.put(answer)

    async def _finish(self) -> None:
        """Wait for leases that are still being given back, and give back those that were granted too late."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.job.policy.release_ms / 1000
        while self._tasks or not self._happenings.empty():
            while not self._happenings.empty():
                self._take(self._happenings.get_nowait())
            if self._tasks:
                done, _ = await asyncio.wait(
                    self._tasks.values(), timeout=deadline - loop.time(), return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    return


def is_over(job: Backup) -> bool:
    """Return whether a job has given its lease back, or never had one."""
    return job.step in (Step.RETURN, Step.DONE)
