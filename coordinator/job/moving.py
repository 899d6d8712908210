"""How a backup job goes on with another replica at the same mark.

Every voter has kept a checkpoint at the mark, to attest. So the lease moves to another one, and what was uploaded
counts. Where that cannot be, the lease is given back, and the next attempt takes a mark of its own.
"""

from __future__ import annotations

from coordinator.job import happenings
from coordinator.job.choosing import Wish, choose
from coordinator.job.model import Failure, Step
from coordinator.job.turn import Turn
from quiesce.errors import QuiesceError

# The replica that failed may just be coming back, or a new leader has not heard of everybody yet.
_PASSING = frozenset({"CLUSTER_DEGRADED", "NO_LEADER", "NOT_LEADER", "UNAVAILABLE", "OUTCOME_UNKNOWN"})


def may_move(turn: Turn) -> bool:
    """Say whether another replica could go on at the same mark."""
    job = turn.job
    return job.lease is not None and job.mark is not None and job.step in (Step.CHECKPOINT, Step.SNAPSHOT)


def surveyed(turn: Turn, answer: happenings.Surveyed) -> None:
    """Move the lease to the replica to be taken now, if there is one that does not lead."""
    job = turn.job
    wish = Wish(tried=job.tried, last_used=job.request.last_used, failed=job.request.failed)
    try:
        choice = choose(answer.survey, wish)
    except QuiesceError as error:
        not_moved(turn, Failure.of(error))
        return
    if choice.leads:
        # It would have to hand leadership over first, perhaps to the one that has just failed.
        give_up(turn)
    else:
        turn.move_lease(choice.node_id)


def moved(turn: Turn, node_id: int) -> None:
    """Go on with the replica that has the lease now."""
    job = turn.job
    turn.set(node_id=node_id, attempt=job.attempt + 1)
    turn.note(f"node {node_id} goes on at the same mark, and node {job.node_id} is back in rotation")
    turn.drain()


def not_moved(turn: Turn, failure: Failure) -> None:
    """Look again, or give up: what passes is waited for until the step's deadline."""
    if failure.reason in _PASSING:
        turn.note_once(f"no other replica can go on yet: {failure.message}")
        turn.look_for_another(first=False)
    else:
        give_up(turn)


def give_up(turn: Turn) -> None:
    """Begin anew, at a mark of its own."""
    turn.note("no other replica can go on at this mark")
    turn.release()
