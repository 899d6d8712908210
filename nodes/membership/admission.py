"""Whether the leader lets a change of the members begin, by what it sees of the nodes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nodes.rotation.admission import Voter
from quiesce.errors import MembershipChangeRefused

# Entries that a new voter may still lack: less than the log grows while the change itself goes through.
MOST_LAG = 1_000


def check_caught_up(node_id: int, learner: Voter | None, last_index: int) -> None:
    """Check that a learner has what the others have, so that its vote helps at once.

    Raises:
        MembershipChangeRefused: it does not answer, or lacks too much.
    """
    have = learner.match_index if learner is not None else 0
    if learner is None or not learner.active:
        raise _later(have, last_index, f"node {node_id} does not answer; it gets its vote when it runs")
    if not learner.match_index:
        # However short the log is: what the node lacks may be all that is in the store.
        raise _later(have, last_index, f"node {node_id} has still to get a copy of the store before it can vote")
    lag = last_index - have
    if lag > MOST_LAG:
        raise _later(have, last_index, f"node {node_id} has still to get {lag} entries of the log before it can vote")


def _later(have: int, last_index: int, detail: str) -> MembershipChangeRefused:
    """Return a refusal that ends by itself; by the other fields, which no other refusal has, one sees how soon."""
    return MembershipChangeRefused(detail=detail, match_index=have, last_index=last_index)


def check_majority(voters_after: Iterable[int], seen: Mapping[int, Voter]) -> None:
    """Check that of those who will vote, enough answer to go on by themselves.

    Raises:
        MembershipChangeRefused: the cluster would stand still.
    """
    voters = sorted(voters_after)
    silent = [node for node in voters if node not in seen or not seen[node].active]
    needed = len(voters) // 2 + 1
    if len(voters) - len(silent) < needed:
        raise MembershipChangeRefused(
            detail=f"of the {len(voters)} nodes that would vote, {', '.join(map(str, silent))} do not answer, and "
            f"{needed} are needed to go on; bring them back first, or remove a node that does not answer"
        )
