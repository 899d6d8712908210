from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.retention import Kept, Rules, plan
from quiesce.errors import InvalidRequest

HOUR = 3_600_000
DAY = 24 * HOUR
NOW = int(datetime(2026, 11, 23, 12, tzinfo=ZoneInfo("UTC")).timestamp() * 1000)


def every(step_ms: int, count: int) -> list[Kept]:
    """The newest is named 0."""
    return [Kept(str(n), NOW - n * step_ms) for n in range(count)]


def kept(snapshots, rules, pins=None) -> set[str]:
    return {one.snapshot_id for one in plan(snapshots, rules, pins or {}, NOW) if one.keep}


def test_the_last_few_stay():
    assert kept(every(HOUR, 10), Rules(last=3)) == {"0", "1", "2"}


def test_the_last_snapshot_of_each_day_stays():
    # At noon: the days before have 24 each, and their last is at 23:00.
    assert kept(every(HOUR, 100), Rules(daily=3)) == {"0", "13", "37"}


def test_days_without_a_snapshot_do_not_count():
    snapshots = [Kept("new", NOW), Kept("old", NOW - 400 * DAY), Kept("older", NOW - 800 * DAY)]
    assert kept(snapshots, Rules(daily=2)) == {"new", "old"}


def test_periods_go_by_the_clock_of_the_zone():
    at = [int(datetime(2026, 5, 1, hour, tzinfo=ZoneInfo("UTC")).timestamp() * 1000) for hour in (21, 23)]
    snapshots = [Kept("evening", at[0]), Kept("night", at[1])]
    assert kept(snapshots, Rules(daily=5)) == {"night"}
    assert kept(snapshots, Rules(daily=5, zone="Europe/Berlin")) == {"evening", "night"}


def test_weeks_are_those_of_the_iso_calendar():
    # A Sunday, and the Monday after it, around a new year.
    sunday = int(datetime(2027, 1, 3, 1, tzinfo=ZoneInfo("UTC")).timestamp() * 1000)
    snapshots = [Kept("friday", sunday - 2 * DAY), Kept("sunday", sunday), Kept("monday", sunday + DAY)]
    assert kept(snapshots, Rules(weekly=5)) == {"sunday", "monday"}


def test_the_hour_that_comes_twice_is_two_hours():
    first = int(datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")).timestamp() * 1000)
    snapshots = [Kept("summer", first), Kept("winter", first + HOUR)]
    assert kept(snapshots, Rules(hourly=5, zone="Europe/Berlin")) == {"summer", "winter"}


def test_everything_within_a_time_stays_and_what_is_from_the_future_too():
    snapshots = [Kept("future", NOW + DAY), *every(HOUR, 10)]
    assert kept(snapshots, Rules(within_ms=3 * HOUR)) == {"future", "0", "1", "2"}


def test_a_pin_keeps_and_says_why():
    decisions = plan(every(HOUR, 5), Rules(last=1), {"4": "before the migration"}, NOW)
    assert decisions[4].keep
    assert decisions[4].reasons == ("pinned: before the migration",)
    assert decisions[3].reasons == ("no rule of the policy keeps it",)


def test_every_reason_is_given():
    (first, *_) = plan(every(DAY, 3), Rules(last=1, daily=2, monthly=1), {}, NOW)
    assert first.reasons == ("last 1 of 1", "daily 1 of 2", "monthly 1 of 1")


def test_without_rules_all_stay():
    assert len(kept(every(DAY, 50), Rules())) == 50


def test_the_minimum_stays_though_all_are_old():
    old = [Kept(str(n), NOW - 1000 * DAY - n) for n in range(5)]
    assert kept(old, Rules(within_ms=DAY, minimum=2)) == {"0", "1"}


def test_the_newest_verified_snapshot_stays():
    snapshots = [Kept("new", NOW), Kept("proven", NOW - 9 * DAY, NOW), Kept("long proven", NOW - 99 * DAY, NOW)]
    assert kept(snapshots, Rules(last=1)) == {"new", "proven"}


def test_what_is_not_whole_stays_and_pushes_nothing_out():
    snapshots = [Kept("bad", NOW, whole=False), *every(HOUR, 3)]
    decisions = {one.snapshot_id: one for one in plan(snapshots, Rules(last=1), {}, NOW + 1)}
    assert {name for name, one in decisions.items() if one.keep} == {"bad", "0"}
    assert decisions["bad"].reasons[0].startswith("it is not whole")


@pytest.mark.parametrize("wrong", [{"last": -1}, {"minimum": 0}, {"within_ms": -5}])
def test_rules_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InvalidRequest, match=next(iter(wrong))):
        Rules(**wrong)


counts = st.integers(0, 5)
rules = st.builds(
    Rules, last=counts, hourly=counts, daily=counts, weekly=counts, monthly=counts, yearly=counts,
    within_ms=st.integers(0, 40 * DAY), minimum=st.integers(1, 4), zone=st.sampled_from(["UTC", "Europe/Berlin"]),
)  # fmt: skip
moments = st.lists(st.integers(NOW - 900 * DAY, NOW), max_size=60, unique=True)


@given(moments, rules, st.data())
def test_removing_what_may_go_changes_no_other_decision(at, promised, data):
    """So a crash between two removals leaves what the plan wanted, and the plan made anew agrees."""
    snapshots = [Kept(str(n), moment) for n, moment in enumerate(at)]
    before = kept(snapshots, promised)
    gone = (
        data.draw(st.sets(st.sampled_from(sorted({one.snapshot_id for one in snapshots} - before))))
        if len(before) < len(at)
        else set()
    )
    assert kept([one for one in snapshots if one.snapshot_id not in gone], promised) == before


@given(moments, rules, st.integers(1, 30 * DAY))
def test_what_was_let_go_is_not_missed_later(at, promised, later_ms):
    """Applying the plan now and then again later keeps what applying it only later would have kept of the periods."""
    snapshots = [Kept(str(n), moment) for n, moment in enumerate(at)]
    now_kept = {one.snapshot_id for one in plan(snapshots, promised, {}, NOW) if one.keep}
    alone = {one.snapshot_id for one in plan(snapshots, promised, {}, NOW + later_ms) if one.keep}
    assert alone <= now_kept
