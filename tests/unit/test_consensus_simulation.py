import pytest
from consensus_simulation import World

SEEDS = range(40)
STEPS = 1200


@pytest.fixture(scope="module")
def finished() -> list[World]:
    worlds = []
    for seed in SEEDS:
        world = World(seed, size=5 if seed % 5 == 0 else 3)
        try:
            world.run(STEPS)
            world.heal()
            world.check_end()
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
        worlds.append(world)
    return worlds


def test_nothing_promised_is_broken_under_crashes_and_a_lossy_network(finished):
    assert len(finished) == len(SEEDS)


def test_the_runs_reach_what_they_are_there_to_test(finished):
    assert sum(world.acknowledged > 20 for world in finished) > len(SEEDS) / 2
    assert sum(world.crashes for world in finished) > 3 * len(SEEDS)
    assert sum(world.reads for world in finished) > 5 * len(SEEDS)
    assert sum(len(world.leaders) > 1 for world in finished) > len(SEEDS) / 2
    assert sum(world.installs for world in finished) > 10
    assert sum(len(world.refused) for world in finished) > 10


def test_a_seed_reproduces_a_run():
    first, second = World(7), World(7)
    first.run(800)
    second.run(800)
    assert first.entries == second.entries
    assert first.leaders == second.leaders
    assert first.network == second.network
