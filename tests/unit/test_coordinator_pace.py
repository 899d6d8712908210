"""The rate of a backup against a plant: latency as a function of load, rate and chance."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from coordinator.pacing.evidence import ENOUGH, LEAST, PATIENCE_S, Evidence
from coordinator.pacing.pace import FLOOR, MIB, MOST, QUIET_MOST, START, Pace, Sample
from coordinator.pacing.tally import Tally
from quiesce.latency import Latencies

SEEDS = range(30)


def calls(number: int, us: int) -> Latencies:
    return Latencies({us: number} if number else {})


@dataclass
class Plant:
    """Nodes that serve: what clients and the worker want of them adds up, and who waits for more waits long."""

    random: random.Random
    # Bytes a second that a worker could read with nobody else there.
    capacity: float
    # Of a call, where nobody waits for anybody.
    service_us: float = 1_000.0
    # What clients take of the plant, and how many calls a second are seen of them.
    load: float = 0.3
    seen: int = 150

    def mean_us(self, rate: float) -> float:
        return self.service_us / max(0.02, 1 - self.load - min(rate, self.capacity) / self.capacity)

    def p99_us(self, rate: float) -> float:
        return 4.6 * self.mean_us(rate)

    def bearable(self, budget_ms: int) -> float:
        """The rate at which the p99 is the budget."""
        return self.capacity * (1 - self.load - 4.6 * self.service_us / (budget_ms * 1000))

    def second(self, rate: float) -> Sample:
        counts: dict[int, int] = {}
        for _ in range(self.seen):
            # To about six in a hundred, as nodes tell.
            us = int(self.random.expovariate(1 / self.mean_us(rate)) * 0.06) * 16 + 15
            counts[us] = counts.get(us, 0) + 1
        used = round(min(rate, self.capacity) * self.random.uniform(0.9, 1.0))
        return Sample(1.0, writes=Latencies(counts), used=used)


def run(pace: Pace, plant: Plant, seconds: int, check: Callable[[int], None] = lambda _: None) -> list[int]:
    """Return the rate in each second; what a rate does is seen in the second after."""
    rates = []
    for _ in range(seconds):
        rates.append(pace.rate)
        check(pace.observe(plant.second(rates[-2] if len(rates) > 1 else rates[-1])))
    return rates


def random_plant(seed: int) -> tuple[Plant, int]:
    """A plant, and a budget that it can keep to with room for a backup."""
    chance = random.Random(seed)
    plant = Plant(chance, capacity=chance.uniform(20, 400) * MIB, service_us=chance.uniform(200, 3_000))
    plant.load = chance.uniform(0.05, 0.6)
    ready_ms = plant.p99_us(0) / 1000
    return plant, round(ready_ms * chance.uniform(1.8, 6)) + 1


@pytest.mark.parametrize("seed", SEEDS)
def test_it_settles_within_the_budget_and_does_not_waste_it(seed: int) -> None:
    plant, budget_ms = random_plant(seed)
    pace = Pace(budget_ms)
    run(pace, plant, 120)
    rates = run(pace, plant, 300)
    bearable = plant.bearable(budget_ms)
    waits = [plant.p99_us(rate) / (budget_ms * 1000) for rate in rates]
    # Seldom over it, and then by little: what a second's calls show is a matter of luck.
    assert sum(wait > 1 for wait in waits) < 0.2 * len(waits)
    assert sum(wait > 1.25 for wait in waits) < 0.03 * len(waits)
    mean = sum(rates) / len(rates)
    assert mean > 0.6 * bearable
    # It does not swing from one end to the other.
    assert min(rates) > 0.4 * mean
    assert max(rates) < 1.3 * bearable


@pytest.mark.parametrize("seed", SEEDS)
def test_it_keeps_to_its_bounds_whatever_comes(seed: int) -> None:
    chance = random.Random(seed)
    ceiling = chance.choice([0, 100_000, 3 * MIB, 50 * MIB])
    pace = Pace(chance.randint(1, 200), ceiling)
    most, floor = ceiling or MOST, min(FLOOR, ceiling or FLOOR)
    for _ in range(1_000):
        sample = Sample(
            chance.choice([0.5, 1.0, 3.0]),
            calls(chance.choice([0, 0, 1, 30, 500]), chance.choice([50, 5_000, 10**6])),
            calls(chance.choice([0, 0, 1, 30, 500]), chance.choice([50, 5_000, 10**6])),
            blind=chance.random() < 0.1,
            late_us=chance.choice([0] * 9 + [800_000]),
            used=chance.choice([None, 0, 10**6, 10**9]),
        )
        before = pace.rate
        assert floor <= pace.observe(sample) <= most
        assert pace.rate <= max(2 * before, floor)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("left", ["nobody", "some"])
def test_it_is_not_stuck_at_the_floor_when_the_load_has_gone(seed: int, left: str) -> None:
    plant, budget_ms = random_plant(seed)
    plant.load = 1.2
    pace = Pace(budget_ms)
    run(pace, plant, 60)
    rates = run(pace, plant, 120)
    assert set(rates) == {FLOOR}, "no rate helps: the backup goes on at the least"
    plant.load = 0.05
    if left == "nobody":
        plant.seen, wanted = 0, min(QUIET_MOST, plant.capacity / 2)
    else:
        wanted = 0.5 * plant.bearable(budget_ms)
    rates = run(pace, plant, 240)
    assert max(rates) >= wanted


@pytest.mark.parametrize("seed", range(20))
def test_a_load_that_comes_finds_it_out_of_the_way_within_seconds(seed: int) -> None:
    plant, budget_ms = random_plant(seed)
    plant.load = 0.05
    pace = Pace(budget_ms)
    run(pace, plant, 200)
    plant.load = 0.5
    bearable = plant.bearable(budget_ms)
    rates = run(pace, plant, 40)
    assert min(rates[:20]) <= max(bearable, FLOOR)


def test_without_calls_it_goes_up_to_a_bound_only() -> None:
    for number in (0, 1):
        pace = Pace(50)
        assert pace.rate == START
        for _ in range(500):
            pace.observe(Sample(1.0, writes=calls(number, 1_000_000), used=pace.rate))
        assert pace.rate == QUIET_MOST


def test_it_does_not_go_up_where_workers_do_not_come_near() -> None:
    pace = Pace(50)
    for _ in range(100):
        pace.observe(Sample(1.0, writes=calls(500, 1_000), used=min(pace.rate, 10 * MIB)))
    assert 10 * MIB <= pace.rate <= 40 * MIB
    # And what halves is what they use.
    assert pace.observe(Sample(1.0, writes=calls(500, 10**6), used=10 * MIB)) <= 10 * MIB


def test_a_node_that_does_not_say_keeps_it_from_going_up_and_not_from_going_down() -> None:
    pace = Pace(50)
    for _ in range(30):
        assert pace.observe(Sample(1.0, writes=calls(500, 1_000), blind=True)) == START
        assert pace.observe(Sample(1.0, blind=True)) == START
    assert pace.observe(Sample(1.0, writes=calls(500, 80_000), blind=True)) == round(START * 50 / 80)


def test_a_node_too_slow_to_say_speaks_for_its_clients() -> None:
    pace = Pace(50)
    assert pace.observe(Sample(1.0, writes=calls(500, 1_000), late_us=800_000)) == START // 2
    for _ in range(20):
        pace.observe(Sample(1.0, writes=calls(500, 1_000), late_us=800_000))
    assert pace.rate == FLOOR
    # It says nothing of a budget that is longer than that, but that nobody knows.
    pace = Pace(1_000)
    for _ in range(20):
        assert pace.observe(Sample(1.0, writes=calls(500, 1_000), late_us=800_000)) == START


def test_near_the_budget_it_rests_and_over_it_falls_by_how_much_it_is_over() -> None:
    pace = Pace(50)
    assert pace.observe(Sample(1.0, writes=calls(500, 45_000))) == START
    assert pace.observe(Sample(1.0, writes=calls(500, 51_000))) == round(0.8 * START)
    # Measured in part before the fall.
    assert pace.observe(Sample(1.0, writes=calls(500, 10**6))) == round(0.8 * START)
    assert pace.observe(Sample(1.0, writes=calls(500, 10**6))) == round(0.4 * START)
    for _ in range(3):
        assert pace.observe(Sample(1.0, writes=calls(500, 30_000))) == round(0.4 * START)
    assert pace.observe(Sample(1.0, writes=calls(500, 30_000))) == pytest.approx(0.4 * START * (1 + 0.3 * 0.2))


def test_one_kind_s_wait_is_not_hidden_by_the_other_s() -> None:
    pace = Pace(50)
    assert pace.observe(Sample(1.0, calls(5_000, 1_000), calls(ENOUGH, 100_000))) == START // 2
    # Ten writes a second, slow: it takes ten seconds to be sure, and until then quick reads speed nothing up again.
    pace = Pace(50)
    pace.observe(Sample(1.0, calls(5_000, 1_000), calls(ENOUGH, 45_000)))
    rates = {pace.observe(Sample(1.0, calls(5_000, 1_000), calls(10, 100_000))) for _ in range(9)}
    assert rates == {START}
    assert pace.observe(Sample(1.0, calls(5_000, 1_000), calls(10, 100_000))) == START // 2


def test_evidence_is_collected_until_there_is_enough_and_counts_once() -> None:
    evidence = Evidence()
    assert evidence.add(calls(ENOUGH - 1, 500), 1.0) is None
    found = evidence.add(calls(1, 900), 1.0)
    assert found is not None
    assert (found.p99_us, found.seconds) == (500, 2.0)
    assert evidence.add(calls(0, 1), 1.0) is None
    # After the patience fewer have to do; still fewer say nothing.
    found = evidence.add(calls(LEAST, 700), PATIENCE_S)
    assert found is not None
    assert found.p99_us == 700
    assert evidence.add(calls(LEAST - 1, 700), PATIENCE_S) is None
    assert evidence.add(calls(1, 700), 0.0) is None


def test_the_tally() -> None:
    tally = Tally(50, None)
    assert tally.impact().during is None
    for us in (10_000, 80_000, 90_000):
        tally.add(calls(500, 1_000), calls(500, us), 1.0)
        tally.allowed(us)
    impact = tally.impact()
    assert impact.over_budget_ms == 2_000
    assert impact.during is not None
    assert (impact.during.seconds, impact.during.writes.calls, impact.during.writes.p50_us) == (3, 1_500, 80_000)
    assert (impact.least_rate, impact.most_rate, impact.last_rate) == (10_000, 90_000, 90_000)
    assert "over the budget of 50 ms for 2 s" in impact.text()
    free = Tally(0, None)
    free.add(calls(500, 10**6), calls(0, 1), 1.0)
    assert free.impact().over_budget_ms == 0
    assert free.impact().text() == "clients waited 1000 ms for reads (p99)"
