"""The watermark never passes a write that may be asked again, and the window holds."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiesce.client.session import Session


def test_numbers_count_from_one() -> None:
    session = Session(7)
    assert [session.begin() for _ in range(3)] == [1, 2, 3]
    assert session.acknowledged_through == 0
    for number in (3, 1, 2):
        session.settle(number)
    assert session.acknowledged_through == 3


def test_one_slow_write_holds_the_window_however_many_others_end() -> None:
    session = Session(7, window=8)
    slow = session.begin()
    for _ in range(7):
        session.settle(session.begin())
    assert session.room == 0
    with pytest.raises(AssertionError):
        session.begin()
    session.settle(slow)
    assert session.room == 8
    assert session.acknowledged_through == 8


@given(st.integers(0, 1 << 32), st.integers(1, 20))
def test_invariants(seed: int, window: int) -> None:
    chance = random.Random(seed)
    session, open_, settled = Session(1, window), set[int](), set[int]()
    for _ in range(100):
        if open_ and (chance.random() < 0.5 or session.room == 0):
            number = chance.choice(sorted(open_))
            session.settle(number)
            open_.remove(number)
            settled.add(number)
        else:
            number = session.begin()
            assert number == len(open_) + len(settled) + 1
            open_.add(number)
        through = session.acknowledged_through
        # All up to it are settled, and it is the greatest such number.
        assert set(range(1, through + 1)) <= settled
        assert through + 1 not in settled
        # The cluster keeps what lies above it.
        assert len([n for n in settled | open_ if n > through]) <= window
        assert 0 <= session.room <= window
