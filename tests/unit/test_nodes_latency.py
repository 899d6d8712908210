"""What a node tells of its clients' waiting."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from nodes.latency import KEPT_S, ClientLatency, RecentLatencies, bucket_of, upper_us
from quiesce.latency import Latencies
from quiesce.v1.latency_pb2 import LatencyHistogram


@given(st.integers(0, 1 << 40))
def test_a_bucket_s_bound_is_at_most_a_sixteenth_above_what_was_measured(us: int) -> None:
    bound = upper_us(bucket_of(us))
    if us < 1 << 27:
        assert us <= bound <= us + us // 16
    assert bucket_of(us) < 400


def test_buckets_follow_one_another() -> None:
    bounds = [upper_us(bucket) for bucket in range(bucket_of(1 << 40) + 1)]
    assert bounds == sorted(set(bounds))
    assert [bucket_of(bound) for bound in bounds] == list(range(len(bounds)))
    assert [bucket_of(bound + 1) for bound in bounds[:-1]] == list(range(1, len(bounds)))


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=300))
def test_a_quantile_is_that_of_the_sorted_list(waits: list[int]) -> None:
    recent = RecentLatencies()
    for us in waits:
        recent.add((us + 0.5) / 1e6, 7.5)
    found = recent.between(7, 7)
    assert found.calls == len(waits)
    for share in (0.5, 0.99, 1.0):
        exact = sorted(waits)[max(0, -int(-share * len(waits) // 1) - 1)]
        assert exact <= found.quantile_us(share) <= exact + exact // 16


def test_each_second_is_told_once_and_only_when_it_is_over() -> None:
    latency, told, since = ClientLatency(), 0, 0
    chance = random.Random(1)
    now = 1_000.0
    for _ in range(2_000):
        now += chance.uniform(0, 0.02)
        latency.reads.add(0.001, now)
        if chance.random() < 0.01:
            answer = latency.answer(since, now)
            assert answer.second == int(now) - 1
            since, told = answer.second, told + sum(answer.reads.calls)
    answer = latency.answer(since, now + 1)
    assert told + sum(answer.reads.calls) == 2_000


def test_only_the_last_seconds_are_kept() -> None:
    latency = ClientLatency()
    for second in range(100, 200):
        latency.writes.add(0.002, second + 0.5)
    answer = latency.answer(0, 200.2)
    assert (answer.second, answer.seconds) == (199, KEPT_S)
    assert list(answer.writes.calls) == [KEPT_S]
    assert list(answer.reads.calls) == []
    assert 2_000 <= answer.writes.p50_us == answer.writes.p99_us <= 2_125
    assert latency.answer(150, 200.2).seconds == KEPT_S
    # Without calls the seconds go by all the same.
    later = latency.answer(199, 205.0)
    assert (later.second, later.seconds, list(later.writes.calls)) == (204, 5, [])
    assert list(latency.answer(0, 300.0).writes.calls) == []
    assert len(latency.writes._seconds) <= KEPT_S + 1


def test_a_count_that_began_anew_is_told_from_its_begin() -> None:
    latency = ClientLatency()
    assert latency.answer(0, 0.3).seconds == 0
    latency.reads.add(0.001, 3.5)
    answer = latency.answer(5_000, 5.0)
    assert (answer.second, answer.seconds, sum(answer.reads.calls)) == (4, 5, 1)


def test_what_several_nodes_tell_adds_up() -> None:
    one, other = Latencies({100: 98, 5_000: 1}), Latencies({100: 1, 70: 100})
    total = Latencies.of((one + other).message())
    assert total.counts == {70: 100, 100: 99, 5_000: 1}
    assert (total.calls, total.quantile_us(0.5), total.quantile_us(0.995)) == (200, 70, 100)
    assert Latencies().quantile_us(0.99) == 0
    # What has no partner is no call.
    assert Latencies.of(LatencyHistogram(upper_us=[1, 2], calls=[3])).counts == {1: 3}
