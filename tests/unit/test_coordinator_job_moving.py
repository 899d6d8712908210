"""A backup goes on with another replica at the same mark, where it can."""

from __future__ import annotations

from dataclasses import replace

import pytest

from coordinator.job import Backup, Failure, Moment, Policy, Replica, Request, Step, Survey, begin, resume, step
from coordinator.job import effects as e
from coordinator.job import happenings as h
from coordinator.job.model import Mark
from quiesce import errors

MARK = Mark(1, 2, 3)
LOST = Failure.of(errors.Unavailable(addresses="n:2", seconds=1, detail="connection reset"))
POLICY = Policy(move_ms=5_000, lease_ms=30_000)


def survey(*, down: tuple[int, ...] = (), leader: int = 1, out: int = 2) -> Survey:
    replicas = [Replica(n, healthy=n not in down, serving=n not in (out, *down), detail="is away") for n in (1, 2, 3)]
    return Survey("c", leader, tuple(replicas))


def at_snapshot(request: Request) -> Backup:
    job, _ = begin(request, POLICY, Moment(0, 0))
    job, _ = step(job, h.RepositoryReady(job.ticket), Moment(1, 1))
    job, _ = step(job, h.Surveyed(job.ticket, survey(out=0), "snapshot"), Moment(1, 1))
    job, _ = step(job, h.Acquired(job.ticket, 10), Moment(1, 1))
    job, _ = step(job, h.Drained(job.ticket), Moment(1, 1))
    job, _ = step(job, h.Marked(job.ticket, MARK), Moment(1, 1))
    job, _ = step(job, h.Checkpointed(job.ticket), Moment(1, 1))
    assert (job.step, job.node_id) == (Step.SNAPSHOT, 2)
    return job


def failed(job: Backup, failure: Failure = LOST, at: int = 2) -> tuple[Backup, list[e.Effect]]:
    return step(job, h.Failed(job.ticket, failure), Moment(at, at))


def test_it_waits_for_the_one_that_failed_to_be_back_and_renews_meanwhile() -> None:
    job, wanted = failed(at_snapshot(Request("job", "r")))
    assert [type(one) for one in wanted] == [e.Abort, e.LookAround]
    assert wanted[-1].epoch == 10
    job, [look] = step(job, h.Surveyed(job.ticket, survey(down=(2,)), ""), Moment(100, 100))
    assert isinstance(look, e.LookAround)
    assert look.pause_ms
    # The leader looks for itself, and may not have heard of it yet.
    job, [move] = step(job, h.Surveyed(job.ticket, survey(), ""), Moment(1_200, 1_200))
    assert isinstance(move, e.MoveLease)
    assert (move.node_id, move.epoch, move.ttl_ms) == (3, 10, 30_000)
    job, wanted = failed(job, Failure.of(errors.ClusterDegraded(detail="node 2 does not answer")), at=1_300)
    assert isinstance(wanted[-1], e.LookAround)
    job, [move] = step(job, h.Surveyed(job.ticket, survey(), ""), Moment(2_400, 2_400))
    job, [drained] = step(job, h.Moved(job.ticket, 3), Moment(2_500, 2_500))
    assert isinstance(drained, e.AwaitDrained)
    assert drained.node_id == 3
    job, [checkpoint] = step(job, h.Drained(job.ticket), Moment(2_600, 2_600))
    assert checkpoint == e.AwaitCheckpoint(job.ticket, 10, 3, MARK.index)
    assert (job.attempt, job.tried, job.mark) == (2, {2}, MARK)


@pytest.mark.parametrize(
    "seen", [survey(leader=3), survey(leader=3, down=(1,)), None], ids=["only the leader is left", "degraded", "late"]
)
def test_else_it_gives_the_lease_back_and_begins_anew(seen: Survey | None) -> None:
    job, _ = failed(at_snapshot(Request("job", "r", failed=frozenset())))
    job = replace(job, tried=job.tried | {1})
    at = 2
    while job.step is Step.MOVE:
        at += 1_000
        job, wanted = step(job, h.Surveyed(job.ticket, seen, "") if seen else h.Tick(), Moment(at, at))
        if job.step is Step.MOVE:
            job, wanted = step(job, h.Tick(), Moment(at, at))
    assert any(isinstance(one, e.ReleaseLease) for one in wanted)
    job, [look] = step(job, h.Released(job.ticket), Moment(at, at))
    assert isinstance(look, e.LookAround)
    assert (job.step, job.attempt, job.epoch, job.mark) == (Step.CHOOSE, 2, 0, None)


def test_a_lease_that_ends_meanwhile_is_no_end_of_the_backup() -> None:
    job, _ = failed(at_snapshot(Request("job", "r")))
    job, _ = step(job, h.Surveyed(job.ticket, survey(), ""), Moment(3, 3))
    job, wanted = failed(job, Failure.of(errors.LeaseLost(epoch=10)), at=4)
    assert any(isinstance(one, e.ReleaseLease) for one in wanted)
    job, _ = failed(at_snapshot(Request("job", "r")))
    job, wanted = step(job, h.Tick(), Moment(31_000, 31_000))
    assert any(isinstance(one, e.ReleaseLease) for one in wanted)


def test_one_that_was_named_and_one_without_a_mark_do_not_move() -> None:
    job, wanted = failed(at_snapshot(Request("job", "r", node_id=2)))
    assert any(isinstance(one, e.ReleaseLease) for one in wanted)
    job = replace(at_snapshot(Request("job", "r")), mark=None, step=Step.DRAIN)
    job, wanted = failed(job)
    assert any(isinstance(one, e.ReleaseLease) for one in wanted)


@pytest.mark.parametrize("holder", [2, 3])
def test_who_goes_on_for_a_coordinator_that_died_in_it_takes_the_lease_where_it_is(holder: int) -> None:
    left, _ = failed(at_snapshot(Request("job", "r")))
    job, _ = resume(left, Moment(5_000, 5_000))
    job, _ = step(job, h.LeaseFound(job.ticket, 10, holder, "fresh"), Moment(5_001, 5_001))
    job, [checkpoint] = step(job, h.TakenOver(job.ticket, 77), Moment(5_002, 5_002))
    assert checkpoint == e.AwaitCheckpoint(job.ticket, 10, holder, MARK.index)
    # Where that is the one that failed, it moves now.
    if holder == 2:
        job, wanted = failed(job, at=5_003)
        assert isinstance(wanted[-1], e.LookAround)
        assert job.step is Step.MOVE
