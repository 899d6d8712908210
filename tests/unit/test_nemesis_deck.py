import itertools
import random

from tests.nemesis.faults.deck import FAULTS, steps


def test_each_fault_comes_once_and_alone_before_any_comes_again():
    first = list(itertools.islice(steps(random.Random(3)), len(FAULTS)))
    assert sorted(name for step in first for name in step.faults) == sorted(FAULTS)


def test_later_some_come_in_pairs_of_different_ones():
    many = list(itertools.islice(steps(random.Random(3)), 400))
    pairs = [step.faults for step in many if len(step.faults) == 2]
    assert 40 < len(pairs) < 200
    assert all(one != other for one, other in pairs)


def test_one_new_node_at_a_time():
    many = [step.faults for step in itertools.islice(steps(random.Random(3)), 20_000)]
    assert not any(sum(name.startswith("replace") for name in faults) > 1 for faults in many)
    assert sum(faults[0].startswith("replace") and len(faults) == 2 for faults in many) > 100


def test_a_seed_names_the_steps():
    def drawn(seed):
        return list(itertools.islice(steps(random.Random(seed)), 100))

    assert drawn(5) == drawn(5)
    assert drawn(5) != drawn(6)


def test_only_those_that_were_named():
    some = ["kill one", "partition"]
    assert {name for step in itertools.islice(steps(random.Random(1), some), 50) for name in step.faults} == set(some)
