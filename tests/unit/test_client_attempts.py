"""How long an attempt may take, and what is raised in the end."""

import asyncio
import time
from random import Random

import pytest

from quiesce.client.attempts import Attempts, Effect
from quiesce.client.routing import Routing, To
from quiesce.errors import (
    DeadlineExceeded,
    NoLeader,
    NotLeader,
    OutcomeUnknown,
    OutOfRotation,
    Overloaded,
    QuiesceError,
    StaleVersion,
    Unavailable,
)

REFUSED = Unavailable(addresses="a", seconds="1", detail="failed to connect to all addresses; last error: refused")
BROKEN = Unavailable(addresses="a", seconds="1", detail="recvmsg: connection reset")
SLOW = DeadlineExceeded(operation="x", seconds="1")


def attempts(effect: Effect = Effect.NONE, timeout_s: float = 10.0) -> Attempts:
    return Attempts("the test", effect, 100.0, timeout_s, 2.0, Random(1))


def learn(these: Attempts, error: QuiesceError) -> bool:
    return these.learn(Routing(["a:1", "b:1"], Random(1)), "a:1", error, 100.0)


def test_an_attempt_is_shorter_than_the_call_and_grows_when_it_was_too_short() -> None:
    these = attempts()
    assert these.start(100.0) == 2.0
    learn(these, NoLeader())
    assert these.start(100.0) == 2.0
    learn(these, SLOW)
    assert these.start(102.0) == 3.0
    assert attempts(timeout_s=1.5).start(100.0) == 0.5


def test_the_last_attempt_gets_what_is_left() -> None:
    assert attempts().start(107.9) == pytest.approx(2.1)
    with pytest.raises(DeadlineExceeded):
        attempts().start(110.0)


@pytest.mark.parametrize(
    ("effect", "error", "again"),
    [
        (Effect.NONE, BROKEN, True),
        (Effect.SAME, SLOW, True),
        (Effect.TWICE, REFUSED, True),
        (Effect.TWICE, NotLeader(node_id=1, leader_address=""), True),
        (Effect.TWICE, BROKEN, False),
        (Effect.TWICE, SLOW, False),
        (Effect.TWICE, OutcomeUnknown(detail=""), False),
        (Effect.NONE, StaleVersion(rid="#1:1", actual=1, expected=2), False),
    ],
)
def test_another_attempt_only_where_it_does_no_harm(effect: Effect, error: QuiesceError, again: bool) -> None:
    assert learn(attempts(effect), error) is again


@pytest.mark.parametrize(
    ("effect", "errors", "raised"),
    [
        (Effect.NONE, [BROKEN, SLOW], DeadlineExceeded),
        (Effect.SAME, [NoLeader(), REFUSED], Unavailable),
        (Effect.SAME, [BROKEN, NoLeader()], OutcomeUnknown),
        (Effect.TWICE, [SLOW], OutcomeUnknown),
        (Effect.NONE, [], DeadlineExceeded),
    ],
)
def test_what_is_raised_at_the_end(effect: Effect, errors: list[QuiesceError], raised: type[QuiesceError]) -> None:
    these = attempts(effect)
    for error in errors:
        learn(these, error)
    assert type(these.given_up()) is raised


def test_routing_learns_from_errors() -> None:
    routing = Routing(["a:1", "b:1"], Random(1))
    these = attempts()
    these.learn(routing, "a:1", OutOfRotation(node_id=1, why="", others=""), 100.0)
    assert routing.choose(To.SERVING, 100.0) == "b:1"
    these.learn(routing, "a:1", NotLeader(node_id=1, leader_address="b:1"), 100.0)
    assert routing.leader == "b:1"
    these.learn(routing, "b:1", NoLeader(), 100.0)
    assert routing.leader == ""


async def paused(monkeypatch: pytest.MonkeyPatch, seed: int, *, timeout_s: float = 60.0) -> float:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    these = Attempts("the test", Effect.SAME, time.monotonic(), timeout_s, 2.0, Random(seed))
    learn(these, Overloaded(node_id=1, waiting=9, retry_ms=1000))
    await these.pause()
    [seconds] = slept
    return seconds


async def test_the_delay_asked_for_is_kept_and_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = {await paused(monkeypatch, seed) for seed in range(20)}
    assert len(pauses) == 20
    assert all(1.0 <= pause <= 1.5 for pause in pauses)


async def test_the_delay_asked_for_ends_within_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await paused(monkeypatch, 1, timeout_s=0.5) < 0.5
