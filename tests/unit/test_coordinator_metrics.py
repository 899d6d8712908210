"""What a coordinator shows of its policies and jobs."""

from __future__ import annotations

import math
from dataclasses import replace

from prometheus_client import Metric

from coordinator.metrics import CoordinatorMetrics, Seen, job_metrics, policy_metrics
from coordinator.policies.drilling import DrillSpec, PolicyDrills
from coordinator.policies.model import BackupPolicy, Spec
from coordinator.record import JobRecord
from coordinator.schedule import Timetable
from quiesce.errors import NoLeader

HOUR = 3_600_000
NOW = 1_795_000_000_000
NEW = BackupPolicy(Spec("new", every_ms=HOUR), Timetable(decided_ms=NOW))
PROVEN = replace(
    NEW,
    spec=Spec("proven", every_ms=HOUR),
    last_success_ms=NOW - HOUR,
    drills=PolicyDrills(Timetable(decided_ms=NOW), last_verified_ms=NOW - 2 * HOUR),
)
# Of a clock that was set back since.
AHEAD = replace(NEW, spec=Spec("ahead", every_ms=HOUR, drill=DrillSpec(every_ms=HOUR)), last_success_ms=NOW + HOUR)


def values(metrics: list[Metric], name: str) -> dict[str, float]:
    return {
        ",".join(sample.labels.values()): sample.value
        for metric in metrics
        for sample in metric.samples
        if sample.name == f"quiesce_{name}"
    }


def job(number: int, *, diverged: tuple[int, ...] = (), agreeing: tuple[int, ...] = ()) -> JobRecord:
    return JobRecord(
        id=f"job-{number}", state="succeeded", step="done", node_id=2, epoch=1, snapshot_id="s", repository="r",
        started_ms=number, ended_ms=number, failure=None, failed_step="", failed_nodes=(), events=(),
        diverged_nodes=diverged, agreeing_nodes=agreeing,
    )  # fmt: skip


def test_what_never_was_is_infinitely_long_ago() -> None:
    shown = policy_metrics([NEW, PROVEN, AHEAD], NOW)
    assert values(shown, "policy_success_age_seconds") == {"new": math.inf, "proven": 3_600, "ahead": 0}
    assert values(shown, "policy_verified_age_seconds") == {"proven": 7_200, "ahead": math.inf}


def test_a_node_counts_as_diverged_until_it_agrees_again() -> None:
    first, second = job(1, diverged=(3,), agreeing=(1, 2)), job(2, agreeing=(1, 2))
    assert values(job_metrics([second, first]), "node_diverged") == {"1": 0, "2": 0, "3": 1}
    third = job(3, agreeing=(1, 2, 3))
    assert values(job_metrics([third, second, first]), "node_diverged") == {"1": 0, "2": 0, "3": 0}
    assert values(job_metrics([]), "jobs") == {"running": 0, "succeeded": 0, "failed": 0, "cancelled": 0}


async def test_a_cluster_that_is_gone_is_shown_with_what_it_said_last_and_asked_seldom() -> None:
    asked = 0

    async def ask() -> Seen:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise NoLeader(node_id=1)
        return Seen([PROVEN], [job(1, diverged=(3,), agreeing=(1, 2))])

    metrics = CoordinatorMetrics(ask=ask, leads=lambda: True, clock=lambda: NOW)
    for _ in range(3):
        shown = await metrics.collect()
    assert asked == 1
    assert values(shown, "cluster_reachable") == {"": 1}
    metrics._asked_at = -math.inf
    shown = await metrics.collect()
    assert values(shown, "cluster_reachable") == {"": 0}
    assert values(shown, "policy_success_age_seconds") == {"proven": 3_600}
    assert metrics.diverged == {3}
