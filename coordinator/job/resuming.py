"""How a backup job goes on where another coordinator has left it.

The lease is taken over first: from then on the coordinator before is refused whatever it does in the cluster. A
snapshot that it may be publishing is published or withdrawn for good before anything else is done.
"""

from __future__ import annotations

from coordinator.job import happenings
from coordinator.job.ending import end, end_if_due
from coordinator.job.model import Failure, Step, Verdict
from coordinator.job.turn import Turn
from quiesce.errors import BackupFailed, LeaseLost

# Where a job without a lease has done nothing yet that counts.
_BEFORE_LEASE = frozenset({Step.CHECK, Step.CHOOSE, Step.TRANSFER, Step.ACQUIRE})


def lease_found(turn: Turn, found: happenings.LeaseFound) -> None:
    """Take the lease over that the job holds; what is recorded of it may lag behind."""
    if found.epoch:
        job = turn.job
        same = found.epoch == job.epoch
        turn.set(
            epoch=found.epoch,
            node_id=found.node_id,
            asked_lease=True,
            mark=job.mark if same else None,
            snapshot_id=job.snapshot_id or found.snapshot_id,
        )
        turn.take_over()
    else:
        go_on(turn)


def not_resumed(turn: Turn, failure: Failure) -> None:
    """Go on without the lease where it has ended; else ask again, within the deadline."""
    if failure.reason == LeaseLost.reason():
        go_on(turn)
    else:
        turn.note_once(f"the job cannot go on yet: {failure.message}")
        turn.find_lease(pause_ms=turn.job.policy.poll_ms)


def too_late(turn: Turn, failure: Failure) -> None:
    """End the job: the cluster does not say what became of its lease, or takes no record of it."""
    if not (_decided(turn) or _settles(turn, failure) or end_if_due(turn)):
        end(turn, Verdict.FAILED, failure)


def go_on(turn: Turn) -> None:
    """Do what comes next, with the lease or without."""
    if not (_decided(turn) or _settles(turn, None) or end_if_due(turn)):
        _take_up(turn)


def _decided(turn: Turn) -> bool:
    verdict = turn.job.verdict
    if verdict is not None:
        end(turn, verdict, turn.job.failure)
    return verdict is not None


def _settles(turn: Turn, failure: Failure | None) -> bool:
    may_be_published = turn.job.left_at in (Step.PUBLISH, Step.SETTLE)
    if may_be_published:
        turn.settle(failure)
    return may_be_published


def settled(turn: Turn, answer: happenings.Settled) -> None:
    """The snapshot is there, or will never be."""
    job = turn.job
    if answer.published:
        turn.note(f"snapshot {job.snapshot_id} is published")
        end(turn, Verdict.SUCCEEDED, None)
    elif job.unsettled is not None:
        end(turn, Verdict.FAILED, job.unsettled)
    elif not end_if_due(turn):
        turn.set(snapshot_id=answer.snapshot_id)
        _take_up(turn)


def _take_up(turn: Turn) -> None:
    job = turn.job
    if job.resumed > job.policy.resumptions:
        detail = f"it was interrupted {job.resumed} times: coordinators keep dying; their logs say why"
        end(turn, Verdict.FAILED, Failure.of(BackupFailed(step=job.left_at.value, detail=detail)))
    elif job.lease is None:
        _without_lease(turn)
    elif job.mark is None:
        turn.drain()
    else:
        turn.await_checkpoint(job.mark)


def _without_lease(turn: Turn) -> None:
    job = turn.job
    if job.left_at in _BEFORE_LEASE:
        turn.begin_again()
    elif job.attempt >= job.policy.attempts:
        end(turn, Verdict.FAILED, Failure.of(LeaseLost(epoch=job.epoch)))
    else:
        turn.note(f"the lease of epoch {job.epoch} has ended meanwhile")
        turn.next_attempt()
