"""Starts the drills of policies when they are due, and sees what becomes of them.

As with their backups: a decision is in the cluster before it is acted upon, and names the drill. So whoever comes after
a crash finds the drill, or starts it because it is not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog

from coordinator.documents import Entry
from coordinator.drills.drills import Drills
from coordinator.drills.model import Outcome
from coordinator.drills.report import Report
from coordinator.looking import keep_looking
from coordinator.policies.drilling import PolicyDrills
from coordinator.policies.model import BackupPolicy
from coordinator.policies.store import PolicyStore
from coordinator.schedule import CancelRunning, Decision, Timetable
from quiesce.errors import DrillRunning, DuplicateKey, QuiesceError, StaleVersion, UnknownRecord, UnknownSnapshot

log = structlog.get_logger("drills")
# Somebody else may have changed a policy; and a clock may have been set.
LOOK_AT_LEAST_S = 30.0
# A drill that cannot begin yet, or a cluster that does not answer.
AGAIN_S = 5.0


class DrillScheduler:
    """See the module. `clock` gives Unix milliseconds, `locate` the repository's place for the name in a request."""

    def __init__(
        self, *, drills: Drills, policies: PolicyStore, clock: Callable[[], int], locate: Callable[[str], str]
    ) -> None:
        self._drills = drills
        self._policies = policies
        self._clock = clock
        self._locate = locate
        self._awake = asyncio.Event()
        drills.on_ended = self.wake

    def wake(self) -> None:
        """Look again at once: a drill has ended, or a policy was changed."""
        self._awake.set()

    async def run(self) -> None:
        """Run as long as the coordinator does."""
        await self._drills.ready.wait()
        await keep_looking(self.look, self._awake, again_s=AGAIN_S, failed=_not_looked_at)

    async def look(self) -> float:
        """See to the drills of every policy once; return after how many seconds to look again.

        Raises:
            QuiesceError: the cluster cannot be asked.
        """
        wait_s = LOOK_AT_LEAST_S
        for entry in await self._policies.by_name():
            try:
                wait_s = min(wait_s, await self._see_to(entry))
            except (StaleVersion, UnknownRecord):
                # Its backups have moved on, another coordinator was faster, or it is deleted.
                wait_s = AGAIN_S
        return max(0.0, wait_s)

    async def run_now(self, name: str) -> str:
        """Start a drill of a policy that somebody asked for, and return its id.

        Raises:
            UnknownPolicy: there is none of that name.
            UnknownSnapshot: it has none yet.
            DrillRunning: one is under way.
        """
        now_ms = self._clock()

        def change(policy: BackupPolicy) -> BackupPolicy:
            drills = policy.drills or PolicyDrills(Timetable(decided_ms=now_ms))
            if drills.table.running:
                raise DrillRunning(drill_id=drills.drill_id, snapshot_id=policy.last_snapshot_id)
            if not policy.last_snapshot_id:
                raise UnknownSnapshot(snapshot_id=f"of policy {name}", repository=self._locate(policy.spec.places[0]))
            return policy.drilled(*drills.table.run_now(now_ms), now_ms)

        entry = await self._policies.change(name, change)
        self.wake()
        return entry.value.drills.drill_id if entry.value.drills else ""

    async def _see_to(self, entry: Entry[BackupPolicy]) -> float:
        policy = entry.value
        if policy.drills is None:
            return LOOK_AT_LEAST_S
        wait_s = LOOK_AT_LEAST_S
        if policy.drills.table.running:
            wait_s = await self._follow(entry, policy.drills)
        spec, now_ms = entry.value.spec.drill, self._clock()
        if spec is None or entry.value.table.paused or entry.value.drills is None:
            return wait_s
        plan = entry.value.drill_plan()
        before = entry.value.drills.table
        table, decisions = before.tick(plan, now_ms)
        if table != before:
            wait_s = min(wait_s, await self._decide(entry, table, decisions))
        wake_ms = entry.value.drills.table.wake_at(plan)
        return wait_s if wake_ms is None else min(wait_s, (wake_ms - self._clock()) / 1000)

    async def _decide(self, entry: Entry[BackupPolicy], table: Timetable, decisions: list[Decision]) -> float:
        before = entry.value.drills
        await self._policies.advance(entry, entry.value.drilled(table, decisions, self._clock()))
        for decision in decisions:
            log.info("decided", policy=entry.value.spec.name, what=str(decision))
            if isinstance(decision, CancelRunning) and before is not None:
                self._drills.interrupt(before.drill_id, decision.why)
        after = entry.value.drills
        if after is not None and after.table.running and (before is None or after.drill_id != before.drill_id):
            return await self._start(entry, after)
        return LOOK_AT_LEAST_S

    async def _follow(self, entry: Entry[BackupPolicy], drills: PolicyDrills) -> float:
        """See how the drill under way is getting on; start it where it is not there."""
        report = await self._drills.find(drills.drill_id)
        if report is None:
            return await self._start(entry, drills)
        return LOOK_AT_LEAST_S if report.running else await self._ended(entry, drills, report)

    async def _ended(self, entry: Entry[BackupPolicy], drills: PolicyDrills, report: Report) -> float:
        error = report.error()
        now_ms = self._clock()
        if report.outcome is Outcome.VERIFIED:
            text = f"snapshot {report.snapshot_id} is verified"
            policy = replace(entry.value, drills=drills.verified(report.ended_ms)).noted(now_ms, text)
        else:
            why = error.message() if error else "it is not known why"
            policy = replace(entry.value, drills=replace(drills, last_error=why)).noted(now_ms, f"the drill: {why}")
            log.error("a policy's drill was not passed", policy=policy.spec.name, drill=report.id, error=why)
        return await self._close(entry, policy, report.outcome)

    async def _close(self, entry: Entry[BackupPolicy], policy: BackupPolicy, outcome: Outcome) -> float:
        """Let the timetable have the outcome of a drill; one that was interrupted is made once more."""
        drills, plan, now_ms = policy.drills, policy.drill_plan(), self._clock()
        assert drills is not None  # noqa: S101 - it was under way
        table, decisions = drills.table.ended(
            plan, now_ms, succeeded=outcome is Outcome.VERIFIED, failed=outcome is Outcome.FAILED
        )
        if outcome is Outcome.INTERRUPTED and not table.running and policy.spec.drill is not None:
            table = replace(table, retry_at_ms=now_ms + plan.retry.first_ms)
        # What is not decided yet stays as it is for whoever looks next, should this be lost.
        entry.value = policy
        return await self._decide(entry, table, decisions)

    async def _start(self, entry: Entry[BackupPolicy], drills: PolicyDrills) -> float:
        policy = entry.value
        if not policy.last_snapshot_id:
            # Nothing that could be proven, and nothing that has failed.
            skipped = policy.noted(self._clock(), "no drill: there is no snapshot of it yet")
            table, _ = drills.table.ended(policy.drill_plan(), self._clock())
            await self._policies.advance(entry, replace(skipped, drills=replace(drills, table=table)))
            return LOOK_AT_LEAST_S
        try:
            await self._drills.start(
                self._locate(policy.spec.places[0]),
                policy.last_snapshot_id,
                drill_id=drills.drill_id,
                policy=policy.spec.name,
            )
        except DuplicateKey:
            # Another coordinator has begun it.
            return AGAIN_S
        except QuiesceError as error:
            if isinstance(error, DrillRunning) or error.retryable:
                return AGAIN_S
            failed = replace(policy, drills=replace(drills, last_error=error.message()))
            return await self._close(entry, failed, Outcome.FAILED)
        return LOOK_AT_LEAST_S


def _not_looked_at(error: QuiesceError) -> None:
    log.warning("policies cannot be looked at", error=error.message())
