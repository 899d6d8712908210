"""The drills of a policy: when, and how they have been going. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from coordinator.schedule import Cron, Every, Missed, Overlap, Plan, Retry, Timetable
from quiesce.errors import InvalidRequest

DAY_MS = 24 * 3_600_000
_MOST_RETRIES = 20
# Of a policy whose drills run only when somebody asks for them: nothing is due, and a failure is an alarm at once.
_NEVER_DUE = Plan(name="", timing=Every(DAY_MS), retry=Retry(attempts=0))


@dataclass(frozen=True, slots=True)
class DrillSpec:
    """When the newest snapshot of a policy is to be drilled. Either `cron` or `every_ms` is set.

    Raises:
        InvalidRequest: a value makes no sense; it is named.
    """

    cron: str = ""
    zone: str = "UTC"
    every_ms: int = 0
    jitter_ms: int = 0
    overlap: Overlap = Overlap.SKIP
    missed: Missed = Missed.RUN_ONCE
    # A snapshot that is damaged will be so a minute later: people are to hear of it at once.
    retries: int = 0
    retry_pause_ms: int = 60_000

    def __post_init__(self) -> None:
        if bool(self.cron) == bool(self.every_ms):
            raise InvalidRequest(detail="a drill needs a cron expression or an interval, one of the two")
        if self.retries > _MOST_RETRIES:
            raise InvalidRequest(detail=f"drill: {self.retries} retries are more than {_MOST_RETRIES}")
        if not 1_000 <= self.retry_pause_ms <= DAY_MS:
            raise InvalidRequest(detail=f"drill: a pause of {self.retry_pause_ms} ms is not between 1 s and a day")
        if self.jitter_ms > DAY_MS:
            raise InvalidRequest(detail=f"drill: a jitter of {self.jitter_ms} ms is longer than a day")
        # Says what is wrong with the expression, the zone or the interval.
        self.plan("")

    def plan(self, policy: str) -> Plan:
        """Return when the drills of a policy are due."""
        return Plan(
            name=policy,
            timing=Cron(self.cron, self.zone) if self.cron else Every(self.every_ms),
            jitter_ms=self.jitter_ms,
            overlap=self.overlap,
            missed=self.missed,
            retry=Retry(attempts=self.retries, first_ms=self.retry_pause_ms),
        )


@dataclass(frozen=True, slots=True)
class PolicyDrills:
    """How the drills of a policy have been going, and the one that was started last."""

    table: Timetable
    drill_id: str = ""
    last_verified_ms: int = 0
    last_error: str = ""

    def next_ms(self, spec: DrillSpec | None, policy: str, now_ms: int, *, paused: bool) -> int:
        """Return when the next drill is due, 0 where none is."""
        if spec is None or paused:
            return 0
        return spec.plan(policy).after(max(now_ms, self.table.decided_ms))

    def resumed(self, now_ms: int) -> PolicyDrills:
        """Return it after a pause of the policy: what became due meanwhile was not missed."""
        return replace(self, table=replace(self.table, decided_ms=max(self.table.decided_ms, now_ms)))

    def verified(self, at_ms: int) -> PolicyDrills:
        """Return it with a drill that has proven a snapshot."""
        return replace(self, last_verified_ms=at_ms, last_error="")


def drill_plan(spec: DrillSpec | None, policy: str) -> Plan:
    """Return the plan by which the outcome of a drill counts."""
    return spec.plan(policy) if spec is not None else _NEVER_DUE
