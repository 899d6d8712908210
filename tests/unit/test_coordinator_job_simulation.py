"""The job's step machine under seeded disorder: failures, lost and late and doubled answers, cancels, lost leases,
coordinators that die or stand still while what they have asked for still arrives.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from job_world import World

from coordinator.job import (
    Failure,
    Step,
    Verdict,
    machine,
    resuming,
)
from coordinator.job.model import owner_of
from coordinator.job.turn import Turn


def outcomes(seeds: range) -> Iterator[World]:
    for seed in seeds:
        world = World(seed)
        try:
            world.run()
        except AssertionError as problem:
            raise AssertionError(f"seed {seed}: {problem}") from problem
        yield world


def test_every_order_of_events_keeps_the_invariants() -> None:
    verdicts: dict[Verdict, int] = dict.fromkeys(Verdict, 0)
    elsewhere = late = survived = settled = moved = 0
    for world in outcomes(range(4_000)):
        assert world.job.verdict is not None
        verdicts[world.job.verdict] += 1
        elsewhere += world.job.verdict is Verdict.SUCCEEDED and world.job.attempt > 1
        late += bool(world.granted - {world.job.epoch})
        survived += world.deaths > 0 and world.job.verdict is Verdict.SUCCEEDED
        settled += any(event.step == Step.SETTLE for event in world.job.events)
        moved += any("goes on at the same mark" in event.text for event in world.job.events)
    # The disorder must reach every way a job can end, or it proves nothing.
    assert min(verdicts.values()) > 100
    assert elsewhere > 10
    assert late > 10
    assert survived > 200
    assert settled > 50
    assert moved > 50


def _publish_without_fence(turn: Turn, text: str) -> None:
    turn.note(text)
    turn.publish()


def _fail_without_release(turn: Turn, verdict: Verdict, failure: Failure | None) -> None:
    turn.set(verdict=verdict, failure=failure)
    turn.done("")


def _never_give_up(turn: Turn) -> None:
    turn.extend(1_000)


def _forget_stray(turn: Turn, epoch: int) -> None:
    del turn, epoch


@pytest.mark.parametrize(
    ("where", "name", "bug"),
    [
        (Turn, "fence", _publish_without_fence),
        (machine, "end", _fail_without_release),
        (machine, "_late", _never_give_up),
        (Turn, "release_stray", _forget_stray),
        (machine, "_lease_lost", lambda turn: turn.set(lease=None)),
        (resuming, "_settles", lambda turn, failure: False),
        (resuming, "_decided", lambda turn: False),
    ],
)
def test_a_planted_bug_is_found(where: object, name: str, bug: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(where, name, bug)
    with pytest.raises(AssertionError, match="seed"):
        for _ in outcomes(range(1_500)):
            pass


def test_owner_names_the_job() -> None:
    assert owner_of("a") != owner_of("b")
