"""A policy: when to back up what, and how that has been going. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from coordinator.job.impact import check_budget
from coordinator.policies.drilling import DrillSpec, PolicyDrills, drill_plan
from coordinator.retention.rules import Rules
from coordinator.schedule import (
    Alarm,
    CancelRunning,
    Cron,
    Decision,
    Every,
    Missed,
    Overlap,
    Plan,
    Retry,
    Skip,
    Start,
    Timetable,
)
from quiesce.errors import InvalidRequest

EVENT_LIMIT = 50
DAY_MS = 24 * 3_600_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MOST_RETRIES = 20
_MOST_REPOSITORIES = 8


@dataclass(frozen=True, slots=True)
class Spec:
    """What somebody asked for. Either `cron` or `every_ms` is set.

    Raises:
        InvalidRequest: a value makes no sense; it is named.
    """

    name: str
    cron: str = ""
    zone: str = "UTC"
    every_ms: int = 0
    jitter_ms: int = 0
    overlap: Overlap = Overlap.SKIP
    missed: Missed = Missed.RUN_ONCE
    retries: int = 3
    retry_pause_ms: int = 60_000
    databases: tuple[str, ...] = ()
    # Empty, and an empty one: the coordinator's own.
    repositories: tuple[str, ...] = ()
    rate_limit: int = 0
    lease_ms: int = 0
    drill: DrillSpec | None = None
    # 0: the coordinator's default.
    latency_budget_ms: int = 0
    # In UTC, whatever `zone` is: see `rules`.
    retention: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            detail = f"`{self.name}` is not a policy's name: 1 to 64 letters, digits, `_` and `-`"
            raise InvalidRequest(detail=detail)
        if bool(self.cron) == bool(self.every_ms):
            raise InvalidRequest(detail="a policy needs a cron expression or an interval, one of the two")
        if len(self.repositories) > _MOST_REPOSITORIES or len(set(self.repositories)) < len(self.repositories):
            raise InvalidRequest(detail=f"repositories are given {_MOST_REPOSITORIES} times at most, and each once")
        if self.retries > _MOST_RETRIES:
            raise InvalidRequest(detail=f"{self.retries} retries are more than {_MOST_RETRIES}")
        if not 1_000 <= self.retry_pause_ms <= DAY_MS:
            raise InvalidRequest(detail=f"a pause of {self.retry_pause_ms} ms is not between 1 s and a day")
        if self.jitter_ms > DAY_MS:
            raise InvalidRequest(detail=f"a jitter of {self.jitter_ms} ms is longer than a day")
        check_budget(self.latency_budget_ms)
        # Says what is wrong with the expression, the zone or the interval.
        self.plan()

    @property
    def places(self) -> tuple[str, ...]:
        """The repositories, as requests name them; the first is the one whose snapshots are drilled."""
        return self.repositories or ("",)

    @property
    def rules(self) -> Rules:
        """What it promises to keep, by the clock of its zone."""
        return replace(self.retention, zone=self.zone)

    def plan(self) -> Plan:
        """Return when its runs are due."""
        return Plan(
            name=self.name,
            timing=Cron(self.cron, self.zone) if self.cron else Every(self.every_ms),
            jitter_ms=self.jitter_ms,
            overlap=self.overlap,
            missed=self.missed,
            retry=Retry(attempts=self.retries, first_ms=self.retry_pause_ms),
        )


@dataclass(frozen=True, slots=True)
class PolicyEvent:
    """A line of a policy's history."""

    at_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class BackupPolicy:
    """A policy as it is kept: its timetable, and the job of its last run."""

    spec: Spec
    table: Timetable
    job_id: str = ""
    last_success_ms: int = 0
    last_error: str = ""
    events: tuple[PolicyEvent, ...] = field(default=())
    # The last that a run has put into the first repository.
    last_snapshot_id: str = ""
    # Which of its repositories the run under way is at.
    at: int = 0
    # None: no drill was ever due.
    drills: PolicyDrills | None = None
    # When its retention was carried out last.
    retained_ms: int = 0

    @property
    def alarm(self) -> bool:
        """Whether all attempts of a run or a drill have failed, and none has succeeded since."""
        drills = self.drills
        undrilled = drills is not None and drills.table.failures > self.drill_plan().retry.attempts
        return self.table.failures > self.spec.retries or undrilled

    @property
    def place(self) -> str:
        """The repository that the run under way is at."""
        return self.spec.places[min(self.at, len(self.spec.places) - 1)]

    def goes_on(self) -> BackupPolicy | None:
        """Return it with the run under way at its next repository; None: there is none left."""
        if self.at + 1 >= len(self.spec.places):
            return None
        return replace(self, at=self.at + 1, job_id=job_at(self.job_id, self.at, self.at + 1))

    def drill_plan(self) -> Plan:
        """Return when its drills are due, and how their outcome counts."""
        return drill_plan(self.spec.drill, self.spec.name)

    def drilled(self, table: Timetable, decisions: list[Decision], now_ms: int) -> BackupPolicy:
        """Return it with what was decided on its drills; one that starts is named, and does not exist yet."""
        drills = replace(self.drills, table=table) if self.drills is not None else PolicyDrills(table)
        policy = replace(self, drills=drills)
        for decision in decisions:
            match decision:
                case Start(moment_ms, attempt):
                    drill_id = job_name(f"{self.spec.name}-drill", moment_ms, attempt)
                    policy = replace(policy, drills=replace(drills, drill_id=drill_id))
                    text = f"a drill starts, {drill_id}"
                case Skip(_, last_ms, why):
                    text = f"no drill for {_time(last_ms)}: {why}"
                case CancelRunning(why):
                    text = f"the drill under way is interrupted: {why}"
                case Alarm(_, failures):
                    text = f"ALARM: {failures} drills in a row have failed"
            policy = policy.noted(now_ms, text)
        return policy

    def retention_due(self, now_ms: int) -> bool:
        """Whether its retention is to be carried out: after each success, and once a day."""
        if self.spec.retention.keeps_all:
            return False
        # Also where the clock has been set back.
        return self.retained_ms < self.last_success_ms or not 0 <= now_ms - self.retained_ms < DAY_MS

    def next_ms(self, now_ms: int) -> int:
        """Return when the next run is due, 0 where none is."""
        if self.table.paused:
            return 0
        return self.spec.plan().after(max(now_ms, self.table.decided_ms))

    def noted(self, now_ms: int, text: str) -> BackupPolicy:
        """Return it with a further line in its history, unless it is the last one already."""
        if self.events and self.events[-1].text == text:
            return self
        return replace(self, events=(*self.events, PolicyEvent(now_ms, text))[-EVENT_LIMIT:])

    def decided(self, table: Timetable, decisions: list[Decision], now_ms: int) -> BackupPolicy:
        """Return it with what was decided; the job of a run that starts is named, and does not exist yet."""
        policy = replace(self, table=table)
        for decision in decisions:
            match decision:
                case Start(moment_ms, attempt):
                    # What is in the repositories before is not made again.
                    at = self.at if attempt else 0
                    job_id = job_at(job_name(self.spec.name, moment_ms, attempt), 0, at)
                    policy = replace(policy, job_id=job_id, at=at)
                    text = f"the run of {_time(moment_ms)} starts" + (f", attempt {attempt + 1}" if attempt else "")
                case Skip(first_ms, last_ms, why):
                    span = _time(first_ms) if first_ms == last_ms else f"{_time(first_ms)} to {_time(last_ms)}"
                    text = f"no run for {span}: {why}"
                case CancelRunning(why):
                    text = f"the run under way is cancelled: {why}"
                case Alarm(moment_ms, failures):
                    text = f"ALARM: {failures} runs in a row have failed, the last one that of {_time(moment_ms)}"
            policy = policy.noted(now_ms, text)
        return policy


def job_name(policy: str, moment_ms: int, attempt: int) -> str:
    """Return the id of a run's job: whoever takes over finds it by that, and nobody starts it twice."""
    at = datetime.fromtimestamp(moment_ms / 1000, UTC)
    return f"{policy}-{at:%Y%m%dT%H%M%S}.{moment_ms % 1000:03}Z-{attempt}"


def job_at(job_id: str, at: int, now_at: int) -> str:
    """Return the id of a run's job at another of the policy's repositories, counted from 0."""
    run = job_id.removesuffix(f".{at + 1}") if at else job_id
    return f"{run}.{now_at + 1}" if now_at else run


def _time(unix_ms: int) -> str:
    return f"{datetime.fromtimestamp(unix_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
