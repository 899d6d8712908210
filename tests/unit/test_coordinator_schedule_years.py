"""Two years of schedules in zones that change their clocks in different ways, judged by a reference of its own.

The reference knows no cron library. It lists the minutes of a wall calendar, says by the rules of Debian's cron(8)
which of them match, and asks the time zone only which wall time each instant shows.
"""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest

from coordinator.schedule import Alarm, CancelRunning, Cron, Every, Missed, Overlap, Plan, Retry, Skip, Start, Timetable

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall calendar, which is in no zone
FIRST, LAST = datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
# Offsets change at whole quarter hours, in UTC as on the wall.
QUARTER = 15

ZONES = {
    "Europe/Berlin": "an hour, at two and three in the morning",
    "America/New_York": "the other side of the ocean, in other weeks",
    "America/Santiago": "an hour at midnight: a day without its first hour, one with two last ones",
    "Australia/Lord_Howe": "half an hour",
    "Antarctica/Troll": "two hours",
    "Asia/Kolkata": "none, and an offset of half an hour",
    "UTC": "none",
}
CHANGING = [zone for zone, how in ZONES.items() if not how.startswith("none")]
# Every minute and hour that some zone leaves out or repeats; days of both kinds; lists, ranges and steps.
EXPRESSIONS = [
    "30 2 * * *",
    "0 0 * * *",
    "15 0 * * *",
    "45 23 * * 6",
    "0,15,45 1-3 * * 0,6",
    "10 2 * * 0",
    "59 1 29 3,10 *",
    "20 0-23/5 * * *",
    "5 3 1,15 * 0",
    "30 1 1-7 4,9,10,11 *",
    "0 */6 * * *",
    "40 * * * 0",
    "*/20 1-3 * 3,4,9,10,11 *",
]


def ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


@dataclass(frozen=True)
class Wall:
    """Which quarter hours of UTC show a quarter hour of the wall, and where the wall clock jumped forward."""

    shown: dict[int, list[int]]
    # In UTC quarters: the first one after each gap, by each quarter of the wall that was left out.
    after_gap: dict[int, int]
    # Of both kinds.
    changes: list[int]


@cache
def wall(zone: str) -> Wall:
    tz, shown, after_gap, changes = ZoneInfo(zone), dict[int, list[int]](), dict[int, int](), list[int]()
    quarter, before = int(FIRST.timestamp()) // 60 // QUARTER, None
    while quarter < int(LAST.timestamp()) // 60 // QUARTER:
        offset = datetime.fromtimestamp(quarter * QUARTER * 60, tz).utcoffset() or timedelta()
        minutes = int(offset.total_seconds()) // 60
        assert minutes % QUARTER == 0
        on_the_wall = quarter + minutes // QUARTER
        shown.setdefault(on_the_wall, []).append(quarter)
        if before is not None and on_the_wall != before + 1:
            changes.append(quarter)
            after_gap.update(dict.fromkeys(range(before + 1, on_the_wall), quarter))
        quarter, before = quarter + 1, on_the_wall
    return Wall(shown, after_gap, changes)


def members(field: str, least: int, most: int) -> set[int]:
    found = set[int]()
    for term in field.split(","):
        span, _, step = term.partition("/")
        low, _, high = span.partition("-")
        first, last = (least, most) if span == "*" else (int(low), int(high or low))
        found.update(range(first, last + 1, int(step or 1)))
    return found


def matching(expression: str) -> Iterator[int]:
    """Yield the minutes of the wall calendar that match, counted from 1970, a day to each side of the two years."""
    minute, hour, day, month, weekday = expression.split()
    minutes, hours, months = members(minute, 0, 59), members(hour, 0, 23), members(month, 1, 12)
    days, weekdays = members(day, 1, 31), {number % 7 for number in members(weekday, 0, 7)}
    either = not day.startswith("*") and not weekday.startswith("*")
    at = FIRST.replace(tzinfo=None) - timedelta(days=1)
    while at < LAST.replace(tzinfo=None) + timedelta(days=1):
        by_day, by_weekday = at.day in days, at.isoweekday() % 7 in weekdays
        if at.month in months and ((by_day or by_weekday) if either else (by_day and by_weekday)):
            midnight = (at - EPOCH) // timedelta(minutes=1)
            yield from (midnight + 60 * h + m for h in sorted(hours) for m in sorted(minutes))
        at += timedelta(days=1)


@cache
def reference(expression: str, zone: str) -> list[int]:
    """Return when the expression is due within the two years, in Unix milliseconds."""
    clock = wall(zone)
    # cron(8): what runs at a set time, and not by `*`, is made up for once and does not come twice.
    at_a_set_time = not any(field.startswith("*") for field in expression.split()[:2])
    due = set[int]()
    for at in matching(expression):
        quarter, rest = divmod(at, QUARTER)
        shown = clock.shown.get(quarter, [])
        if shown:
            due.update(q * QUARTER + rest for q in (shown[:1] if at_a_set_time else shown))
        elif at_a_set_time and quarter in clock.after_gap:
            due.add(clock.after_gap[quarter] * QUARTER)
    return [minute * MINUTE for minute in sorted(due)]


@pytest.mark.parametrize("zone", ZONES)
def test_the_reference_sees_the_changes_of_the_clock(zone: str) -> None:
    changes = wall(zone).changes
    assert len(changes) == (4 if zone in CHANGING else 0)
    # It would judge nothing if it knew of no minute that is left out, and of none that comes twice.
    if zone in CHANGING:
        assert any(len(quarters) == 2 for quarters in wall(zone).shown.values())
        assert wall(zone).after_gap


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_each_time_of_two_years_comes_once_and_none_else(expression: str, zone: str) -> None:
    due, timing = reference(expression, zone), Cron(expression, zone)
    at, seen = ms(FIRST) - 1, []
    while (at := timing.after(at)) < ms(LAST):
        assert not seen or at > seen[-1]
        seen.append(at)
    assert seen == due, _difference(seen, due, zone)


@pytest.mark.parametrize("zone", CHANGING)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_around_a_change_the_next_and_the_latest_are_told_from_every_minute(expression: str, zone: str) -> None:
    due, timing = reference(expression, zone), Cron(expression, zone)
    for change in wall(zone).changes:
        around = change * QUARTER * MINUTE
        # In the middle of a minute, and on it; odd steps, so that over both sides each minute of the hour comes by.
        for at in (*range(around - 3 * HOUR, around + 3 * HOUR, 7 * MINUTE), *range(around - 1, around + HOUR, 61_000)):
            place = bisect.bisect_right(due, at)
            if 0 < place < len(due):
                told = (timing.latest(at), timing.after(at))
                assert told == (due[place - 1], due[place]), _difference(told, due[place - 1 : place + 1], zone, at)


def _difference(seen: list[int] | tuple[int, ...], due: list[int], zone: str, asked: int | None = None) -> str:
    def text(unix_ms: int) -> str:
        return datetime.fromtimestamp(unix_ms / 1000, ZoneInfo(zone)).isoformat()

    wrong = [f"not due {text(at)}" for at in sorted(set(seen) - set(due))[:4]]
    missing = [f"due {text(at)}" for at in sorted(set(due) - set(seen))[:4]]
    return "; ".join([*([f"asked at {text(asked)}"] if asked is not None else []), *wrong, *missing])


def test_an_interval_knows_no_change_of_the_clock() -> None:
    timing, at, seen = Every(6 * HOUR, anchor_ms=ms(FIRST) + 17 * MINUTE), ms(FIRST), []
    while (at := timing.after(at)) < ms(LAST):
        seen.append(at)
    assert seen == list(range(ms(FIRST) + 17 * MINUTE, ms(LAST), 6 * HOUR))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Santiago"])
def test_jitter_moves_every_run_by_the_same_time(zone: str) -> None:
    due, offsets = reference("30 2 * * *", zone), set[int]()
    for number in range(20):
        plan = Plan(f"policy-{number}", Cron("30 2 * * *", zone), jitter_ms=50 * MINUTE)
        moments = plan.coming(ms(FIRST) - DAY, 720)
        moments = moments[bisect.bisect_left(moments, due[0]) :]
        offset = moments[0] - due[0]
        assert 0 <= offset <= 50 * MINUTE
        assert moments == [at + offset for at in due[: len(moments)]]
        assert all(plan.latest(at) == at and plan.latest(at - 1) < at for at in moments[::30])
        offsets.add(offset)
    assert len(offsets) > 15


# --- what runs, when a coordinator is there, is away, or is still at the run before


@dataclass(frozen=True)
class Life:
    """What happens in the two years, apart from what is due: times in Unix milliseconds."""

    # From, until: nobody looks.
    away: tuple[tuple[int, int], ...]
    # How long the run takes that begins at a time.
    takes: Callable[[int], int]
    # How long a run that is cancelled still takes.
    cancel_ms: int = 3 * MINUTE

    def looked_at(self, unix_ms: int) -> int:
        """When the coordinator sees what happens at a time."""
        return next((until for start, until in self.away if start <= unix_ms < until), unix_ms)


def a_life(zone: str, longest_ms: int, seed: int) -> Life:
    rng = random.Random(seed)
    away = []
    for change in wall(zone).changes or [int(FIRST.timestamp()) // 60 // QUARTER + 9_000]:
        at = change * QUARTER * MINUTE
        # Over the change; at its very moment; some days later for a day and a half.
        start = at - rng.choice([0, 1, 2 * HOUR])
        away.append((start, at + rng.choice([MINUTE, 2 * HOUR, 5 * HOUR])))
        away.append((at + 5 * DAY, at + 5 * DAY + 36 * HOUR))
    at = ms(FIRST)
    while (at := at + rng.randrange(20 * DAY)) < ms(LAST):
        until = at + rng.randrange(MINUTE, 12 * HOUR)
        if all(until < start or at > end for start, end in away):
            away.append((at, until))
    lengths = [rng.randrange(MINUTE, longest_ms, MINUTE) for _ in range(997)]
    return Life(tuple(sorted(away)), lambda begin: lengths[begin // MINUTE % 997])


def naive(due: list[int], life: Life, overlap: Overlap, missed: Missed) -> list[tuple[int, int]]:
    """Return (when, of which moment) each run begins, by what docs/guide/schedules.md says and nothing else."""
    runs, end, waiting, cancelled = list[tuple[int, int]](), 0, 0, False

    def begin(at: int, moment: int) -> None:
        nonlocal end, waiting, cancelled
        runs.append((at, moment))
        end, waiting, cancelled = life.looked_at(at + life.takes(at)), 0, False

    for seen, together in itertools.groupby(due, life.looked_at):
        moment = list(together)[-1]
        while waiting and end <= seen:
            begin(end, waiting)
        if missed is Missed.SKIP and seen - moment > 5 * MINUTE:
            continue
        if end <= seen:
            begin(seen, moment)
        elif overlap is not Overlap.SKIP:
            waiting = moment
            if overlap is Overlap.CANCEL and not cancelled:
                end, cancelled = min(end, life.looked_at(seen + life.cancel_ms)), True
    if waiting and end < ms(LAST):
        begin(end, waiting)
    return runs


def lived(plan: Plan, life: Life) -> tuple[list[tuple[int, int]], set[int]]:
    """Let a timetable live, looking when it asks to and when a run ends; return its runs, and what it skipped."""
    table, now, end = Timetable(ms(FIRST) - 1), ms(FIRST) - 1, 0
    runs, skipped = list[tuple[int, int]](), set[int]()
    while True:
        wake = table.wake_at(plan)
        assert wake is not None
        now = life.looked_at(max(now + 1, min(wake, end) if end else wake))
        if now >= ms(LAST):
            return runs, skipped
        decisions = []
        if end and now >= end:
            end = 0
            table, decisions = table.ended(plan, now, succeeded=True)
        table, more = table.tick(plan, now)
        for decision in [*decisions, *more]:
            match decision:
                case Start(moment, attempt):
                    assert not end, "two runs at once"
                    assert attempt == 0
                    runs.append((now, moment))
                    end = life.looked_at(now + life.takes(now))
                case CancelRunning():
                    end = min(end, life.looked_at(now + life.cancel_ms))
                case Skip(first, last, _):
                    at = first
                    while at <= last:
                        skipped.add(at)
                        at = plan.after(at)
                case Alarm():
                    pytest.fail("nothing has failed")


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Santiago", "Australia/Lord_Howe"])
@pytest.mark.parametrize("missed", Missed)
@pytest.mark.parametrize("overlap", Overlap)
def test_two_years_with_a_coordinator_that_is_away_at_times_and_runs_that_take_too_long(
    overlap: Overlap, missed: Missed, zone: str
) -> None:
    for number, (expression, longest_ms) in enumerate([("30 2 * * *", 40 * HOUR), ("20 0-23/12 * * *", 30 * HOUR)]):
        due, life = reference(expression, zone), a_life(zone, longest_ms, seed=number)
        runs, skipped = lived(Plan("p", Cron(expression, zone), overlap=overlap, missed=missed), life)
        assert runs == naive(due, life, overlap, missed)
        # Nothing is forgotten without a word, but what was still to be decided when the two years were over.
        left = set(due) - skipped - {moment for _, moment in runs}
        assert left <= set(due[-40:])
        assert len(runs) > len(due) / 8


def test_two_years_of_failures_are_tried_again_as_often_as_was_said_and_alarm_at_each_bad_night() -> None:
    zone, rng = "Europe/Berlin", random.Random(7)
    due = reference("30 2 * * *", zone)
    # How many attempts of each night fail; four are made.
    failing = {moment: rng.choice([0, 0, 0, 1, 3, 4]) for moment in due}
    plan = Plan("p", Cron("30 2 * * *", zone), retry=Retry(attempts=3, first_ms=10 * MINUTE, most_ms=HOUR))
    table, attempts, alarms, failures = Timetable(ms(FIRST) - 1), list[tuple[int, int]](), list[int](), 0
    while (now := table.wake_at(plan)) is not None and now < ms(LAST):
        table, decisions = table.tick(plan, now)
        [start] = decisions
        assert isinstance(start, Start)
        attempts.append((start.moment_ms, start.attempt))
        failed = start.attempt < failing[start.moment_ms]
        table, decisions = table.ended(plan, now + MINUTE, succeeded=not failed, failed=failed)
        alarms += [one.moment_ms for one in decisions if isinstance(one, Alarm)]
    expected, expected_alarms = list[tuple[int, int]](), list[int]()
    for moment in due:
        # Where the nights before have failed altogether, one more failure is one too many: it waits for the next night.
        for attempt in range(4):
            expected.append((moment, attempt))
            if attempt >= failing[moment]:
                failures = 0
                break
            failures += 1
            if failures > 3:
                expected_alarms.append(moment)
                break
    assert attempts == expected
    assert alarms == expected_alarms
    assert len(alarms) > 50
