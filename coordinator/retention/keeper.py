"""Keeps what policies promise and removes the rest, after each successful run and once a day."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import structlog

from coordinator.looking import keep_looking
from coordinator.policies.model import BackupPolicy
from coordinator.policies.store import PolicyStore
from coordinator.retention.execution import Owner, StillPromised, carry_out, decide
from coordinator.retention.planning import Decision
from coordinator.snapshots import repository_path
from coordinator.threads import RepositoryThreads
from quiesce.errors import QuiesceError
from quiesce.repository import Repository, open_repository
from quiesce.repository.collection import Collected, collect

log = structlog.get_logger("retention")
LOOK_S = 60.0
DAY_MS = 24 * 3_600_000
# A policy's history has few lines; the log has all.
_MOST_NOTED = 10
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Applied:
    """What was decided, what was removed, and why something that was to go has stayed."""

    decisions: list[Decision]
    removed: list[str]
    refused: dict[str, str]


class Keeper:
    """See the module.

    Args:
        policies: those of the cluster.
        cluster_id: returns the cluster's, None before it was reached.
        threads: where repositories are used.
        clock: Unix milliseconds.
        locate: returns the repository's place for the name in a policy.
        default: the coordinator's own repository; empty: none.
        grace_ms: how long garbage is listed before it is removed.
    """

    def __init__(
        self,
        *,
        policies: PolicyStore,
        cluster_id: Callable[[], str | None],
        threads: RepositoryThreads,
        clock: Callable[[], int],
        locate: Callable[[str], str],
        default: str,
        grace_ms: int,
    ) -> None:
        self._policies = policies
        self._cluster_id = cluster_id
        self._threads = threads
        self._clock = clock
        self._locate = locate
        self._default = default
        self.grace_ms = grace_ms
        self._collected: dict[str, int] = {}
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """Look at once: a run has succeeded."""
        self._awake.set()

    async def run(self, ready: asyncio.Event) -> None:
        """Run as long as the coordinator does."""
        await ready.wait()
        await keep_looking(self.look, self._awake, again_s=LOOK_S, failed=_not_carried_out)

    async def look(self) -> float:
        """Carry out what is due, and return after how many seconds to look again.

        A repository that fails keeps no other one waiting.

        Raises:
            QuiesceError: the cluster cannot be asked.
        """
        locations = {self._default} if self._default else set()
        for entry in await self._policies.by_name():
            policy = entry.value
            for place in policy.spec.places:
                with contextlib.suppress(QuiesceError):
                    locations.add(self._locate(place))
            if policy.retention_due(self._clock()):
                try:
                    await self.apply(policy.spec.name)
                except QuiesceError as error:
                    log.warning("retention failed", policy=policy.spec.name, error=error.message())
                    await self._note(policy.spec.name, [f"retention failed: {error.message()}"])
        for location in sorted(locations):
            # Also where the clock has been set back.
            if not 0 <= self._clock() - self._collected.get(location, -DAY_MS) < DAY_MS:
                try:
                    await self.collect(location)
                except QuiesceError as error:
                    log.warning("garbage cannot be collected", repository=location, error=error.message())
        return LOOK_S

    async def plan(self, name: str) -> list[Decision]:
        """Return what the rules of a policy say now, of each of its repositories. Raises UnknownPolicy."""
        policy = (await self._policies.find(name)).value
        owner, now_ms = self._owner(policy), self._clock()
        found: list[Decision] = []
        for place in policy.spec.places:
            found += await self.use(self._locate(place), lambda there: decide(there, owner, now_ms))
        return found

    async def apply(self, name: str) -> Applied:
        """Remove what the rules of a policy let go, in each of its repositories. Raises UnknownPolicy."""
        policy = (await self._policies.find(name)).value
        owner, now_ms = self._owner(policy), self._clock()
        applied, changed = Applied([], [], {}), []
        failed: QuiesceError | None = None
        for place in policy.spec.places:
            removed = len(applied.removed)
            try:
                await self._apply_at(self._locate(place), owner, now_ms, applied)
            except QuiesceError as error:
                # The others do not wait for it.
                failed = error
            if len(applied.removed) > removed:
                changed.append(self._locate(place))
        lines = [f"snapshot {one} removed: no rule keeps it" for one in applied.removed[:_MOST_NOTED]]
        if len(applied.removed) > _MOST_NOTED:
            lines.append(f"and {len(applied.removed) - _MOST_NOTED} more were removed")
        lines += [f"snapshot {one} was to go and stays: {why}" for one, why in applied.refused.items()][:_MOST_NOTED]
        await self._note(name, lines, retained_ms=now_ms if failed is None else None)
        for location in changed:
            with contextlib.suppress(QuiesceError):
                await self.collect(location)
        if failed is not None:
            raise failed
        return applied

    async def _apply_at(self, location: str, owner: Owner, now_ms: int, applied: Applied) -> None:
        decisions = await self.use(location, lambda there: decide(there, owner, now_ms))
        applied.decisions.extend(decisions)
        # The oldest first: should this end in between, what is left is what one would want.
        for decision in reversed(decisions):
            what = "keep" if decision.keep else "remove"
            log.info(what, policy=owner.policy, snapshot=decision.snapshot_id, why="; ".join(decision.reasons))
            if not decision.keep:
                await self._step(location, owner, decision, applied)

    async def _step(self, location: str, owner: Owner, decision: Decision, applied: Applied) -> None:
        snapshot_id, now_ms = decision.snapshot_id, self._clock()
        try:
            if await self.use(location, lambda there: carry_out(there, owner, snapshot_id, now_ms)):
                applied.removed.append(snapshot_id)
        except StillPromised as why:
            applied.refused[snapshot_id] = str(why)
        except QuiesceError as error:
            applied.refused[snapshot_id] = error.message()
        if snapshot_id in applied.refused:
            log.warning("not removed", snapshot=snapshot_id, why=applied.refused[snapshot_id])

    async def collect(self, location: str, *, grace_ms: int | None = None, dry_run: bool = False) -> Collected:
        """List what no snapshot of a repository needs, and remove what has been listed for the grace time."""
        now_ms, grace = self._clock(), self.grace_ms if grace_ms is None else grace_ms
        found = await self.use(location, lambda there: collect(there, now_ms, grace_ms=grace, dry_run=dry_run))
        if not dry_run:
            self._collected[location] = now_ms
            log.info(
                "garbage", repository=location, removed=len(found.removed), bytes=found.removed_bytes,
                waiting=found.waiting, superseded=found.superseded,
            )  # fmt: skip
        return found

    async def use(self, location: str, call: Callable[[Repository], Result]) -> Result:
        """Return what `call` makes of a repository, on a thread of its own."""
        return await self._threads.run(location, lambda: call(open_repository(repository_path(location))))

    async def owner_of(self, policy: str) -> Owner:
        """Return what a policy of this cluster owns. Raises UnknownPolicy."""
        return self._owner((await self._policies.find(policy)).value)

    def _owner(self, policy: BackupPolicy) -> Owner:
        return Owner(self._cluster_id() or "", policy.spec.name, policy.spec.rules)

    async def _note(self, name: str, lines: list[str], retained_ms: int | None = None) -> None:
        def change(policy: BackupPolicy) -> BackupPolicy:
            for line in lines:
                policy = policy.noted(self._clock(), line)
            return policy if retained_ms is None else replace(policy, retained_ms=retained_ms)

        await self._policies.change(name, change)


def _not_carried_out(error: QuiesceError) -> None:
    log.warning("retention cannot be carried out", error=error.message())
