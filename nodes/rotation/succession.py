"""Who leads when the leader leaves rotation or is stopped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nodes.rotation.admission import Voter


def choose_successor(voters: Mapping[int, Voter], *, leader: int, avoid: Iterable[int] = ()) -> int | None:
    """Return the active follower that is furthest, or None where nobody can take over.

    A follower in `avoid` (the one out of rotation) is never chosen: it would hand leadership on at once.
    """
    avoided = {leader, *avoid}
    candidates = [(voter.match_index, -node) for node, voter in voters.items() if voter.active and node not in avoided]
    return -max(candidates)[1] if candidates else None
