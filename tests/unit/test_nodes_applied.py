"""Readers who name a log index are answered once it is applied, and never before."""

import asyncio

import pytest

from nodes.service.applied import AppliedIndexes
from quiesce.errors import DeadlineExceeded


class State:
    index = 5


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def indexes(state: State) -> AppliedIndexes:
    return AppliedIndexes(lambda: state.index)


async def test_what_is_applied_is_not_waited_for(indexes: AppliedIndexes) -> None:
    await indexes.wait(5, 0.0)


async def test_each_goes_on_with_its_index(indexes: AppliedIndexes, state: State) -> None:
    waiting = {index: asyncio.create_task(indexes.wait(index, 10)) for index in (9, 6, 8, 7)}
    for index in (6, 7, 8, 9):
        await asyncio.sleep(0.02)
        assert sorted(each for each, task in waiting.items() if not task.done()) == list(range(index, 10))
        state.index = index
        await waiting[index]
    # And again, when nobody has waited for a while.
    again = asyncio.create_task(indexes.wait(10, 10))
    await asyncio.sleep(0.02)
    state.index = 10
    await again


async def test_an_index_that_does_not_come(indexes: AppliedIndexes) -> None:
    with pytest.raises(DeadlineExceeded, match="log index 1000000"):
        await indexes.wait(1_000_000, 0.02)
    assert not indexes._waiting


async def test_a_reader_who_goes_away_is_not_kept(indexes: AppliedIndexes, state: State) -> None:
    gone, stays = (asyncio.create_task(indexes.wait(index, 10)) for index in (7, 6))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert len(indexes._waiting) == 1
    state.index = 6
    await stays
