"""Two years of schedules with a clock that the test holds."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.schedule import (
    Alarm,
    CancelRunning,
    Cron,
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

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3_600_000
MINUTE = 60_000


def ms(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp() * 1000)


def local(unix_ms: int, zone: ZoneInfo = BERLIN) -> datetime:
    return datetime.fromtimestamp(unix_ms / 1000, zone)


def walk(plan: Plan, table: Timetable, until_ms: int, run_ms: int = 5 * MINUTE, step_ms: int = MINUTE):
    """Yield (time, decision) of a coordinator that looks every minute; each run takes `run_ms` and succeeds."""
    now, ends = table.decided_ms, 0
    while now < until_ms:
        now += step_ms
        decisions = []
        if ends and now >= ends:
            ends = 0
            table, decisions = table.ended(plan, now, succeeded=True)
        table, more = table.tick(plan, now)
        for decision in [*decisions, *more]:
            if isinstance(decision, Start):
                assert not ends, "two runs at once"
                ends = now + run_ms
            yield now, decision


def test_a_nightly_run_comes_once_a_night_through_two_years_and_four_changes_of_the_clock():
    plan = Plan("nightly", Cron("30 2 * * *", "Europe/Berlin"))
    start, end = ms("2026-01-01T00:00"), ms("2028-01-01T00:00")
    starts = [
        now for now, decision in walk(plan, Timetable(start), end, step_ms=10 * MINUTE) if isinstance(decision, Start)
    ]
    days = [local(now).date() for now in starts]
    assert len(days) == len(set(days)) == 730
    assert all(b - a == timedelta(days=1) for a, b in itertools.pairwise(days))
    # In the night that has no half past two it runs at three; in the one that has two it runs in the first.
    moments = {local(now).date().isoformat(): local(now) for now in starts}
    assert moments["2026-03-29"].strftime("%H:%M") == "03:00"
    assert moments["2026-10-25"].utcoffset() == timedelta(hours=2)


def test_a_quarter_hourly_run_keeps_to_its_quarter_hours_in_the_hour_that_comes_twice():
    timing = Cron("*/15 * * * *", "Europe/Berlin")
    at, seen = ms("2026-10-25T01:00"), []
    for _ in range(13):
        at = timing.after(at)
        seen.append(at)
    assert {b - a for a, b in itertools.pairwise(seen)} == {15 * MINUTE}


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        ["30 2 * * *", "*/15 * * * *", "0 0 1 * *", "0 3 * * 0", "30 2 29 2 *", "5 1-4 * * *", "0 */6 * * 1-5"]
    ),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
    st.integers(ms("2026-01-01", ZoneInfo("UTC")), ms("2028-01-01", ZoneInfo("UTC"))),
)
def test_the_latest_time_is_the_one_before_the_next(expression, zone, at):
    timing = Cron(expression, zone)
    latest = timing.latest(at)
    assert latest <= at < timing.after(at)
    assert timing.after(latest) == timing.after(at)
    assert timing.after(latest - 1) == latest


def test_an_interval_counts_from_its_anchor():
    timing = Every(6 * HOUR, anchor_ms=HOUR)
    assert timing.after(0) == HOUR
    assert timing.after(HOUR) == 7 * HOUR
    assert timing.latest(7 * HOUR - 1) == HOUR


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Cron("30 2 * *"), "five fields"),
        (lambda: Cron("61 2 * * *"), "61 2"),
        (lambda: Cron("0 0 30 2 *"), "0 0 30 2"),
        (lambda: Cron("@daily"), "five fields"),
        (lambda: Cron("30 2 * * *", "Berlin"), "Berlin"),
        (lambda: Cron("30 2 * * *", "../etc/passwd"), "passwd"),
        (lambda: Every(59_000), "minute"),
    ],
)
def test_a_schedule_that_is_none_is_refused(make, named):
    with pytest.raises(InvalidRequest, match=named):
        make()


def test_jitter_has_one_place_for_each_policy_and_the_coming_moments_are_told():
    plans = [Plan(f"policy-{n}", Cron("0 2 * * *"), jitter_ms=30 * MINUTE) for n in range(50)]
    offsets = {plan.offset_ms for plan in plans}
    assert len(offsets) > 45
    assert all(0 <= offset <= 30 * MINUTE for offset in offsets)
    day = ms("2026-05-01T00:00", ZoneInfo("UTC"))
    plan = plans[0]
    assert plan.coming(day, 2) == [day + 2 * HOUR + plan.offset_ms, day + 26 * HOUR + plan.offset_ms]
    assert plan.latest(day + 3 * HOUR) == day + 2 * HOUR + plan.offset_ms


HOURLY = Plan("hourly", Every(HOUR), retry=Retry(attempts=2, first_ms=MINUTE, most_ms=10 * MINUTE))


def test_a_run_that_still_goes_on_is_left_alone_waited_for_or_cancelled():
    for overlap, wanted in [
        (Overlap.SKIP, [Skip(2 * HOUR, 2 * HOUR, "the run before it still goes on")]),
        (Overlap.WAIT, []),
        (Overlap.CANCEL, [CancelRunning("the next run is due")]),
    ]:
        plan = Plan("hourly", Every(HOUR), overlap=overlap)
        table, decisions = Timetable(0).tick(plan, HOUR)
        assert decisions == [Start(HOUR)]
        table, decisions = table.tick(plan, 2 * HOUR)
        assert decisions == wanted
        table, decisions = table.ended(plan, 2 * HOUR + MINUTE, succeeded=True)
        assert decisions == ([] if overlap is Overlap.SKIP else [Start(2 * HOUR)])


def test_of_many_that_wait_the_latest_runs():
    plan = Plan("hourly", Every(HOUR), overlap=Overlap.WAIT)
    table, _ = Timetable(0).tick(plan, HOUR)
    table, _ = table.tick(plan, 2 * HOUR)
    table, decisions = table.tick(plan, 3 * HOUR)
    assert [type(decision) for decision in decisions] == [Skip]
    table, decisions = table.ended(plan, 4 * HOUR - 1, succeeded=True)
    assert decisions == [Start(3 * HOUR)]


def test_missed_runs_are_made_up_for_once_or_skipped():
    now = 100 * HOUR + 30 * MINUTE
    table, decisions = Timetable(0).tick(HOURLY, now)
    assert [type(one) for one in decisions] == [Skip, Start]
    assert decisions[0].first_ms == HOUR
    assert decisions[0].last_ms == 99 * HOUR
    assert decisions[1] == Start(100 * HOUR)
    assert table.tick(HOURLY, now) == (table, [])
    table, decisions = Timetable(0).tick(Plan("hourly", Every(HOUR), missed=Missed.SKIP), now)
    assert [type(one) for one in decisions] == [Skip, Skip]
    assert table.tick(HOURLY, 101 * HOUR)[1] == [Start(101 * HOUR)]


def test_a_moment_just_past_is_not_missed():
    plan = Plan("hourly", Every(HOUR), missed=Missed.SKIP)
    assert Timetable(0).tick(plan, HOUR + 4 * MINUTE)[1] == [Start(HOUR)]


def test_a_failed_run_is_tried_again_with_growing_pauses_and_then_there_is_an_alarm():
    table, _ = Timetable(0).tick(HOURLY, HOUR)
    table, decisions = table.ended(HOURLY, HOUR, failed=True)
    assert decisions == []
    assert table.wake_at(HOURLY) == HOUR + MINUTE
    assert table.tick(HOURLY, HOUR + MINUTE - 1)[1] == []
    table, decisions = table.tick(HOURLY, HOUR + MINUTE)
    assert decisions == [Start(HOUR, attempt=1)]
    table, _ = table.ended(HOURLY, HOUR + 2 * MINUTE, failed=True)
    table, decisions = table.tick(HOURLY, HOUR + 4 * MINUTE)
    assert decisions == [Start(HOUR, attempt=2)]
    table, decisions = table.ended(HOURLY, HOUR + 5 * MINUTE, failed=True)
    assert decisions == [Alarm(HOUR, failures=3)]
    assert table.wake_at(HOURLY) == 2 * HOUR
    table, _ = table.tick(HOURLY, 2 * HOUR)
    table, decisions = table.ended(HOURLY, 2 * HOUR, failed=True)
    assert decisions == [Alarm(2 * HOUR, failures=4)]
    table, _ = table.tick(HOURLY, 3 * HOUR)
    table, decisions = table.ended(HOURLY, 3 * HOUR, succeeded=True)
    assert (decisions, table.failures) == ([], 0)


def test_an_alarm_comes_also_where_the_next_moment_is_always_sooner_than_the_next_attempt():
    plan = Plan("often", Every(MINUTE), overlap=Overlap.WAIT, retry=Retry(attempts=3, first_ms=HOUR))
    table, alarms = Timetable(0), 0
    for minute in range(1, 10):
        table, decisions = table.tick(plan, minute * MINUTE)
        assert decisions == [Start(minute * MINUTE)]
        table, decisions = table.ended(plan, minute * MINUTE + 1, failed=True)
        alarms += sum(isinstance(one, Alarm) for one in decisions)
    assert alarms == 6


def test_a_cancelled_run_is_neither_a_success_nor_tried_again():
    table, _ = Timetable(0, failures=2).tick(HOURLY, HOUR)
    table, decisions = table.ended(HOURLY, HOUR + 1)
    assert (decisions, table.failures, table.retry_at_ms) == ([], 2, 0)


def test_what_falls_into_a_pause_was_not_missed():
    table = Timetable(0).pause()
    assert table.tick(HOURLY, 10 * HOUR) == (table, [])
    assert table.wake_at(HOURLY) is None
    table = table.resume(10 * HOUR + 1)
    assert table.tick(HOURLY, 10 * HOUR + 2)[1] == []
    assert table.tick(HOURLY, 11 * HOUR)[1] == [Start(11 * HOUR)]


def test_a_clock_that_was_far_ahead_for_a_while_does_not_silence_the_policy():
    table, _ = Timetable(0).tick(HOURLY, 1_000_000 * HOUR)
    table, _ = table.ended(HOURLY, 1_000_000 * HOUR, succeeded=True)
    table, decisions = table.tick(HOURLY, 10 * HOUR + 1)
    assert decisions == []
    assert table.tick(HOURLY, 11 * HOUR)[1] == [Start(11 * HOUR)]


def test_a_run_asked_for_by_hand_starts_at_once_or_after_the_one_under_way():
    table, decisions = Timetable(0).run_now(5)
    assert decisions == [Start(5)]
    table, decisions = table.run_now(6)
    assert decisions == []
    assert table.ended(HOURLY, 7, succeeded=True)[1] == [Start(6)]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_happens_runs_never_overlap_and_no_moment_is_forgotten(data):
    overlap, missed = data.draw(st.sampled_from(Overlap)), data.draw(st.sampled_from(Missed))
    plan = Plan("p", Every(HOUR), overlap=overlap, missed=missed, retry=Retry(1, MINUTE))
    table, now, running, settled = Timetable(0), 0, False, set()
    for _ in range(60):
        if running and data.draw(st.booleans()):
            how = data.draw(st.sampled_from([{"succeeded": True}, {"failed": True}, {}]))
            running = False
            table, decisions = table.ended(plan, now, **how)
        else:
            now += data.draw(st.integers(1, 5 * HOUR))
            table, decisions = table.tick(plan, now)
        for decision in decisions:
            if isinstance(decision, Start):
                assert not running
                running = True
                settled.add(decision.moment_ms)
            elif isinstance(decision, Skip):
                settled.update(range(decision.first_ms, decision.last_ms + 1, HOUR))
        assert table.running == running
        expected = set(range(HOUR, now + 1, HOUR)) - {table.waiting_ms}
        assert expected <= settled
