"""A policy's timetable: which run is due, is under way, waits, or is tried again. A pure state machine.

Its state is kept in the cluster before a decision is acted upon. A run is named by its moment and attempt, so whoever
takes over finds it by that name, and starts it if it is not there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from coordinator.schedule.plan import Missed, Overlap, Plan


@dataclass(frozen=True, slots=True)
class Start:
    """Start the run of `moment_ms`; `attempt` counts from 0."""

    moment_ms: int
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing runs for the moments from `first_ms` to `last_ms`."""

    first_ms: int
    last_ms: int
    why: str


@dataclass(frozen=True, slots=True)
class CancelRunning:
    """Cancel the run under way."""

    why: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """So many runs in a row have failed, each attempt counted: people must look."""

    moment_ms: int
    failures: int


Decision = Start | Skip | CancelRunning | Alarm


@dataclass(frozen=True, slots=True)
class Timetable:
    """The state; each method returns the next one and what is to be done. Times are Unix milliseconds, 0 for none."""

    # Moments up to here have been decided on.
    decided_ms: int
    # The run that was started last, and whether it is under way.
    moment_ms: int = 0
    attempt: int = 0
    running: bool = False
    # Runs that failed since one has succeeded.
    failures: int = 0
    # The moment whose run waits for the end of that one.
    waiting_ms: int = 0
    retry_at_ms: int = 0
    paused: bool = False

    def wake_at(self, plan: Plan) -> int | None:
        """Return when `tick` may have something to decide, if nothing happens before; None: never."""
        if self.paused:
            return None
        moment = plan.after(self.decided_ms)
        return min(moment, self.retry_at_ms) if self.retry_at_ms else moment

    def tick(self, plan: Plan, now_ms: int) -> tuple[Timetable, list[Decision]]:
        """Decide on what has become due."""
        if self.paused:
            return self, []
        if self.decided_ms > now_ms + plan.late_ms:
            # The clock was wrong, and is right again: else nothing would run until that time has come.
            return replace(self, decided_ms=now_ms, retry_at_ms=0), []
        first = plan.after(self.decided_ms)
        if first > now_ms:
            if self.retry_at_ms and now_ms >= self.retry_at_ms:
                return _start(self, self.moment_ms, self.attempt + 1)
            return self, []
        last = plan.latest(now_ms)
        decisions: list[Decision] = []
        if first < last:
            before = plan.latest(last - 1)
            decisions.append(Skip(first, before, "they were missed, and the latest stands for them"))
        table = replace(self, decided_ms=last)
        if now_ms - last > plan.late_ms and plan.missed is Missed.SKIP:
            decisions.append(Skip(last, last, f"it was missed by {(now_ms - last) // 1000} s"))
            return table, decisions
        table, more = _due(table, plan, last)
        return table, decisions + more

    def ended(
        self, plan: Plan, now_ms: int, *, succeeded: bool = False, failed: bool = False
    ) -> tuple[Timetable, list[Decision]]:
        """Take the news that the run under way has ended; a cancelled one has neither succeeded nor failed."""
        failures = 0 if succeeded else self.failures + failed
        table = replace(self, running=False, failures=failures)
        decisions: list[Decision] = []
        if failed and failures > plan.retry.attempts:
            decisions.append(Alarm(self.moment_ms, failures))
        if self.waiting_ms:
            table, more = _start(table, self.waiting_ms, 0)
            return table, decisions + more
        if failed and not decisions and not self.paused:
            table = replace(table, retry_at_ms=now_ms + plan.retry.pause_ms(failures))
        return table, decisions

    def pause(self) -> Timetable:
        """Stop deciding; a run under way goes on."""
        return replace(self, paused=True, waiting_ms=0, retry_at_ms=0)

    def resume(self, now_ms: int) -> Timetable:
        """Go on; what became due meanwhile was not missed but paused."""
        return replace(self, paused=False, decided_ms=max(self.decided_ms, now_ms)) if self.paused else self

    def run_now(self, now_ms: int) -> tuple[Timetable, list[Decision]]:
        """Start a run that somebody asked for; where one is under way, it goes on and this one waits."""
        if self.running:
            return replace(self, waiting_ms=now_ms), []
        return _start(self, now_ms, 0)


def _due(table: Timetable, plan: Plan, moment: int) -> tuple[Timetable, list[Decision]]:
    if not table.running:
        return _start(table, moment, 0)
    if plan.overlap is Overlap.SKIP:
        return table, [Skip(moment, moment, "the run before it still goes on")]
    decisions: list[Decision] = []
    if table.waiting_ms:
        decisions.append(Skip(table.waiting_ms, table.waiting_ms, "a later one waits in its place"))
    elif plan.overlap is Overlap.CANCEL:
        decisions.append(CancelRunning("the next run is due"))
    return replace(table, waiting_ms=moment), decisions


def _start(table: Timetable, moment: int, attempt: int) -> tuple[Timetable, list[Decision]]:
    started = replace(table, moment_ms=moment, attempt=attempt, running=True, waiting_ms=0, retry_at_ms=0)
    return started, [Start(moment, attempt)]
