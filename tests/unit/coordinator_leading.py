"""Coordinators in one process, over a cluster in memory: each has the jobs while it leads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from coordinator_fakes import POLICY, FakeCluster, identifiers

from coordinator.daemon import now
from coordinator.job import Policy
from coordinator.jobs import Jobs
from coordinator.leadership import Leadership, run_while_leading
from coordinator.snapshots import Snapshots
from coordinator.threads import RepositoryThreads


class LeadingJobs:
    """The jobs of one coordinator in a process of several, and its leadership; `beside` runs while it leads."""

    def __init__(
        self, cluster: FakeCluster, *, name: str = "one", policy: Policy = POLICY, ttl_ms: int = 1_000
    ) -> None:
        self.leadership = Leadership(
            cluster, holder=name, address=f"{name}:1", clock_ms=lambda: now().mono_ms, ttl_ms=1_000
        )
        self.snapshots = Snapshots(RepositoryThreads())
        self.jobs = Jobs(
            nodes=cluster,
            documents=cluster,
            snapshots=self.snapshots,
            policy=policy,
            clock=now,
            identifiers=identifiers(name),
            addresses="n:1",
            leadership=self.leadership,
        )
        self.tasks: list[asyncio.Task[None]] = []

    def start(self, *beside: Callable[[], Coroutine[Any, Any, None]]) -> None:
        works = [self.jobs.lead, *beside]
        self.tasks = [
            asyncio.create_task(self.leadership.run()),
            asyncio.create_task(run_while_leading(self.leadership, works, self.jobs.leave)),
        ]

    async def die(self) -> None:
        """End without giving anything back."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.jobs.leave()

    async def stop(self) -> None:
        """End in good order."""
        await self.jobs.stop(4.0)
        await self.leadership.give_back()
        await self.die()
