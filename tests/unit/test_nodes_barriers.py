import asyncio

import pytest

from nodes.service.barriers import SharedBarriers
from quiesce.errors import DeadlineExceeded, NoLeader


class Rounds:
    """Barriers that end when the test says so."""

    def __init__(self):
        self.begun = []

    async def __call__(self, *, timeout_s):
        self.begun.append(asyncio.get_running_loop().create_future())
        return await self.begun[-1]


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_readers_of_one_turn_share_a_round_and_later_ones_never_join_it():
    rounds = Rounds()
    barriers = SharedBarriers(rounds, most=1)
    early = [asyncio.create_task(barriers.wait(5)) for _ in range(10)]
    await turns()
    assert len(rounds.begun) == 1
    late = [asyncio.create_task(barriers.wait(5)) for _ in range(10)]
    await turns()
    assert len(rounds.begun) == 1
    rounds.begun[0].set_result(7)
    await asyncio.gather(*early)
    assert not any(reader.done() for reader in late)
    await turns()
    assert len(rounds.begun) == 2
    rounds.begun[1].set_result(8)
    await asyncio.gather(*late)


async def test_a_second_round_may_overtake_the_first():
    rounds = Rounds()
    barriers = SharedBarriers(rounds, most=2)
    first = asyncio.create_task(barriers.wait(5))
    await turns()
    second = asyncio.create_task(barriers.wait(5))
    await turns()
    rounds.begun[1].set_result(8)
    await second
    assert not first.done()
    rounds.begun[0].set_result(7)
    await first


async def test_each_reader_gets_an_error_of_its_own_and_the_next_round_begins():
    rounds = Rounds()
    barriers = SharedBarriers(rounds, most=1)
    readers = [asyncio.create_task(barriers.wait(5)) for _ in range(2)]
    await turns()
    rounds.begun[0].set_exception(NoLeader())
    errors = await asyncio.gather(*readers, return_exceptions=True)
    assert [type(error) for error in errors] == [NoLeader, NoLeader]
    assert errors[0] is not errors[1]
    again = asyncio.create_task(barriers.wait(5))
    await turns()
    rounds.begun[1].set_result(9)
    await again


async def test_a_reader_that_gives_up_leaves_the_others_alone():
    rounds = Rounds()
    barriers = SharedBarriers(rounds)
    patient, cancelled = asyncio.create_task(barriers.wait(5)), asyncio.create_task(barriers.wait(5))
    with pytest.raises(DeadlineExceeded):
        await barriers.wait(0.01)
    cancelled.cancel()
    await turns()
    rounds.begun[0].set_result(7)
    await patient
    assert cancelled.cancelled()


async def test_where_everybody_has_given_up_no_round_begins():
    rounds = Rounds()
    barriers = SharedBarriers(rounds, most=1)
    first = asyncio.create_task(barriers.wait(5))
    await turns()
    waiting = asyncio.create_task(barriers.wait(5))
    await turns()
    waiting.cancel()
    await turns()
    rounds.begun[0].set_result(7)
    await first
    await turns()
    assert len(rounds.begun) == 1
