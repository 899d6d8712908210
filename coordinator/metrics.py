"""What a coordinator shows to whoever watches it: how the policies are going, and which node has diverged."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from prometheus_client import Metric

from coordinator.policies.model import BackupPolicy
from coordinator.record import JobRecord, diverged_last
from quiesce import __version__
from quiesce.daemon.metrics import gauge, single
from quiesce.errors import QuiesceError

# However often and by however many it is scraped, the cluster is asked so often at most.
ASK_EVERY_S = 5.0
ASK_S = 5.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What the cluster said when it answered last."""

    policies: Sequence[BackupPolicy] = ()
    # The latest first.
    jobs: Sequence[JobRecord] = ()


def policy_metrics(policies: Sequence[BackupPolicy], now_ms: int) -> list[Metric]:
    """Return how policies are going; what never was is infinitely long ago, so that an alarm of its age fires."""

    def family(
        name: str, meaning: str, value: Callable[[BackupPolicy], float], of: Sequence[BackupPolicy] = policies
    ) -> Metric:
        return gauge(f"policy_{name}", meaning, [((one.spec.name,), value(one)) for one in of], ["policy"])

    def age(at_ms: int) -> float:
        return max(0, now_ms - at_ms) / 1000 if at_ms else math.inf

    def verified_ms(policy: BackupPolicy) -> int:
        return policy.drills.last_verified_ms if policy.drills else 0

    # One that nobody wants to be drilled must not raise an alarm for ever.
    drilled = [one for one in policies if one.spec.drill is not None or verified_ms(one)]
    return [
        family("success_age_seconds", "Since its last run that succeeded.", lambda one: age(one.last_success_ms)),
        family(
            "verified_age_seconds", "Since a drill has proven one of it.", lambda one: age(verified_ms(one)), drilled
        ),
        family("failures", "Runs that have failed since one has succeeded.", lambda one: one.table.failures),
        family("alarm", "Whether all attempts of a run or a drill have failed.", lambda one: one.alarm),
        family("running", "Whether a run is under way, or waits to begin.", lambda one: one.table.running),
        family("paused", "Whether somebody has paused it.", lambda one: one.table.paused),
    ]


def job_metrics(jobs: Sequence[JobRecord]) -> list[Metric]:
    """Return what the jobs that are kept say."""
    states = ("running", "succeeded", "failed", "cancelled")
    counts = [((state,), sum(job.state == state for job in jobs)) for state in states]
    diverged = diverged_last(jobs)
    known = {node for job in jobs for node in (*job.diverged_nodes, *job.agreeing_nodes)}
    divergence = [((str(node),), node in diverged) for node in sorted(known)]
    return [
        gauge("jobs", "Jobs that are kept, by how they ended.", counts, ["state"]),
        gauge("node_diverged", "Whether it held something else than the majority at a mark.", divergence, ["node"]),
    ]


class CoordinatorMetrics:
    """Asks the cluster, not more often than every five seconds.

    Args:
        ask: returns what the cluster says.
        leads: whether this coordinator runs the jobs.
        clock: Unix milliseconds.
    """

    def __init__(
        self, *, ask: Callable[[], Awaitable[Seen]], leads: Callable[[], bool], clock: Callable[[], int]
    ) -> None:
        self._ask = ask
        self._leads = leads
        self._clock = clock
        self._seen = Seen()
        self._asked_at = -math.inf
        self._reachable = False
        self._asking = asyncio.Lock()

    async def collect(self) -> list[Metric]:
        """Return all metrics; where the cluster does not answer, with what it said last."""
        await self.look()
        return [
            gauge("build_info", "1; the version is a label.", [((__version__,), 1)], ["version"]),
            single("coordinator_leads", "Whether this coordinator runs the jobs.", self._leads()),
            single("cluster_reachable", "Whether the cluster has answered.", self._reachable),
            *policy_metrics(self._seen.policies, self._clock()),
            *job_metrics(self._seen.jobs),
        ]

    @property
    def diverged(self) -> frozenset[int]:
        """Nodes that held something else than the majority when a backup last compared them."""
        return diverged_last(self._seen.jobs)

    async def look(self) -> None:
        """See how things stand, unless that was done a moment ago."""
        async with self._asking:
            if time.monotonic() - self._asked_at < ASK_EVERY_S:
                return
            try:
                async with asyncio.timeout(ASK_S):
                    self._seen = await self._ask()
                self._reachable = True
            except (QuiesceError, TimeoutError):
                self._reachable = False
            self._asked_at = time.monotonic()
