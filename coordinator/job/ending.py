"""How a backup job comes to its end, or to another replica."""

from __future__ import annotations

from coordinator.job.model import Failure, Step, Verdict, blames_replica
from coordinator.job.moving import may_move
from coordinator.job.turn import Turn

# Answers that an election swallows; the replica is not to blame.
_MARK_AGAIN = frozenset({"NO_LEADER", "NOT_LEADER", "UNAVAILABLE", "DEADLINE_EXCEEDED", "OUTCOME_UNKNOWN"})
# What a restart of the replica looks like: where the user named it, it is tried again when it is back.
_RESTARTED = frozenset({"UNAVAILABLE", "NO_CHECKPOINT"})


def end_or_elsewhere(turn: Turn, failure: Failure) -> None:
    """Try another replica where this one is to blame and one may be left; else fail."""
    job = turn.job
    blamed = blames_replica(job.step, failure)
    named = job.request.node_id != 0
    again = job.step is Step.MARK and failure.reason in _MARK_AGAIN
    again = again or (blamed and named and failure.reason in _RESTARTED)
    elsewhere = blamed and not named
    if not (again or elsewhere) or job.attempt >= job.policy.attempts:
        end(turn, Verdict.FAILED, failure)
        return
    turn.note(f"failed on node {job.node_id}, attempt {job.attempt}: {failure.message}")
    turn.fail(failure)
    turn.set(tried=job.tried if again else job.tried | {job.node_id})
    if elsewhere and may_move(turn):
        turn.look_for_another(first=True)
    else:
        turn.release()


def end(turn: Turn, verdict: Verdict, failure: Failure | None) -> None:
    """Decide how the job ends, and give its lease back."""
    turn.set(verdict=verdict, ending=None)
    turn.fail(failure)
    if failure is not None:
        turn.note(failure.message)
    if turn.job.asked_lease:
        turn.release()
    else:
        turn.done("")


def end_if_due(turn: Turn) -> bool:
    """End the job as it was decided before; return False where nothing was."""
    ending = turn.job.ending
    if ending is not None:
        end(turn, *ending)
    return ending is not None
