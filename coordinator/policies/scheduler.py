"""Starts the runs of policies when they are due, and sees what becomes of them.

A decision is in the cluster before it is acted upon, and the job of a run is named by it. So whoever comes after a
crash, or beside this coordinator, finds the job, or starts it because it is not there; the cluster lets no second one
of that name begin.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

import structlog

from coordinator.documents import Entry
from coordinator.jobs import Jobs
from coordinator.looking import keep_looking
from coordinator.policies.model import BackupPolicy
from coordinator.policies.store import PolicyStore
from coordinator.record import JobRecord
from coordinator.schedule import Alarm, CancelRunning, Decision, Timetable
from quiesce.errors import DuplicateKey, QuiesceError, RotationHeld, StaleVersion, UnknownJob, UnknownRecord
from quiesce.v1.backup_pb2 import CreateBackupRequest

log = structlog.get_logger("scheduler")
# Somebody else may have changed a policy; and a clock may have been set.
LOOK_AT_LEAST_S = 30.0
# A run that cannot begin yet, or a cluster that does not answer.
AGAIN_S = 5.0


class Scheduler:
    """See the module. `clock` gives Unix milliseconds, `locate` the repository's place for the name in a request."""

    def __init__(
        self, *, jobs: Jobs, policies: PolicyStore, clock: Callable[[], int], locate: Callable[[str], str]
    ) -> None:
        self._jobs = jobs
        self._policies = policies
        self._clock = clock
        self._locate = locate
        self._awake = asyncio.Event()
        self._cancelling: set[asyncio.Task[None]] = set()
        jobs.on_ended = self.wake
        # Called when a run has succeeded, and its policy says so.
        self.on_success: Callable[[], None] = lambda: None

    def wake(self) -> None:
        """Look again at once: a job has ended, or a policy was changed."""
        self._awake.set()

    async def run(self) -> None:
        """Run as long as the coordinator leads."""
        await self._jobs.ready.wait()
        await keep_looking(self.look, self._awake, again_s=AGAIN_S, failed=_not_looked_at)

    async def look(self) -> float:
        """See to every policy once; return after how many seconds to look again.

        Raises:
            QuiesceError: the cluster cannot be asked.
        """
        wait_s = LOOK_AT_LEAST_S
        for entry in await self._policies.by_name():
            with contextlib.suppress(StaleVersion, UnknownRecord):
                # Otherwise another coordinator was faster, or it is deleted.
                wait_s = min(wait_s, await self._see_to(entry))
        return max(0.0, wait_s)

    async def run_now(self, name: str) -> BackupPolicy:
        """Start a run that somebody asked for, or have it wait for the one under way.

        Raises:
            UnknownPolicy: there is none of that name.
            NotLeading: another coordinator runs the jobs.
        """
        self._jobs.check_leads()
        now_ms = self._clock()

        def change(policy: BackupPolicy) -> BackupPolicy:
            return policy.decided(*policy.table.run_now(now_ms), now_ms)

        entry = await self._policies.change(name, change)
        self.wake()
        return entry.value

    async def _see_to(self, entry: Entry[BackupPolicy]) -> float:
        wait_s = LOOK_AT_LEAST_S
        if entry.value.table.running:
            wait_s = await self._follow(entry)
        now_ms = self._clock()
        plan = entry.value.spec.plan()
        table, decisions = entry.value.table.tick(plan, now_ms)
        if table != entry.value.table:
            wait_s = min(wait_s, await self._decide(entry, table, decisions))
        wake_ms = entry.value.table.wake_at(plan)
        return wait_s if wake_ms is None else min(wait_s, (wake_ms - self._clock()) / 1000)

    async def _decide(
        self, entry: Entry[BackupPolicy], table: Timetable, decisions: list[Decision], error: str = ""
    ) -> float:
        now_ms, before = self._clock(), entry.value.job_id
        policy = entry.value
        if error:
            policy = replace(policy, last_error=error).noted(now_ms, f"the run failed: {error}")
        await self._policies.advance(entry, policy.decided(table, decisions, now_ms))
        wait_s = LOOK_AT_LEAST_S
        for decision in decisions:
            log.info("decided", policy=policy.spec.name, what=str(decision))
            if isinstance(decision, CancelRunning):
                self._cancel(before, decision.why)
            elif isinstance(decision, Alarm):
                log.error("a policy's runs fail", policy=policy.spec.name, failures=decision.failures, error=error)
        # A run that waits, and one that was just begun, belong to the same state.
        if entry.value.table.running and entry.value.job_id != before:
            wait_s = await self._start(entry)
        return wait_s

    async def _follow(self, entry: Entry[BackupPolicy]) -> float:
        """See how the run under way is getting on; start it where it is not there."""
        try:
            job = await self._jobs.find(entry.value.job_id)
        except UnknownJob:
            return await self._start(entry)
        return LOOK_AT_LEAST_S if job.running else await self._ended(entry, job)

    async def _ended(self, entry: Entry[BackupPolicy], job: JobRecord) -> float:
        error = job.error()
        succeeded, failed = job.state == "succeeded", job.state == "failed"
        if succeeded:
            if entry.value.at == 0:
                entry.value = replace(entry.value, last_snapshot_id=job.snapshot_id)
            entry.value = entry.value.noted(self._clock(), f"snapshot {job.snapshot_id} is there")
            if (further := entry.value.goes_on()) is not None:
                await self._policies.advance(entry, further)
                return await self._start(entry)
        table, decisions = entry.value.table.ended(
            entry.value.spec.plan(), self._clock(), succeeded=succeeded, failed=failed
        )
        if succeeded:
            entry.value = replace(entry.value, last_success_ms=job.ended_ms, last_error="")
        elif not failed:
            entry.value = entry.value.noted(self._clock(), f"the run was {job.state}")
        wait_s = await self._decide(entry, table, decisions, error=error.message() if failed and error else "")
        if succeeded:
            self.on_success()
        return wait_s

    async def _start(self, entry: Entry[BackupPolicy]) -> float:
        spec = entry.value.spec
        request = CreateBackupRequest(
            repository=entry.value.place,
            databases=spec.databases,
            rate_limit=spec.rate_limit,
            lease_ms=spec.lease_ms,
            latency_budget_ms=spec.latency_budget_ms,
        )
        try:
            await self._jobs.start(
                request, self._locate(request.repository), job_id=entry.value.job_id, policy=spec.name
            )
        except DuplicateKey:
            # Another coordinator has begun it.
            return AGAIN_S
        except QuiesceError as error:
            if isinstance(error, RotationHeld) or error.retryable:
                # Who holds it, and not at which step: the same is said once.
                why = (
                    f"for {error.fields['owner']}"
                    if isinstance(error, RotationHeld)
                    else f"to begin: {error.message()}"
                )
                await self._note(entry, f"the run waits {why}")
                return AGAIN_S
            table, decisions = entry.value.table.ended(spec.plan(), self._clock(), failed=True)
            return await self._decide(entry, table, decisions, error=error.message())
        return LOOK_AT_LEAST_S

    async def _note(self, entry: Entry[BackupPolicy], text: str) -> None:
        policy = entry.value.noted(self._clock(), text)
        if policy is not entry.value:
            await self._policies.advance(entry, policy)

    def _cancel(self, job_id: str, why: str) -> None:
        # A cancelled job ends when its lease is given back: other policies do not wait for that.
        async def cancel() -> None:
            with contextlib.suppress(QuiesceError):
                await self._jobs.cancel(job_id, why)

        task = asyncio.create_task(cancel())
        self._cancelling.add(task)
        task.add_done_callback(self._cancelling.discard)


def _not_looked_at(error: QuiesceError) -> None:
    log.warning("policies cannot be looked at", error=error.message())
