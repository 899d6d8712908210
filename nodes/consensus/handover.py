"""A leader hands leadership to another node. Used on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from nodes.consensus.interface import PeerProgress
from nodes.consensus.replica import Replica
from quiesce.errors import DeadlineExceeded, NoLeader
from quiesce.v1.node_pb2 import NODE_ROLE_LEADER


def furthest(peers: Mapping[int, PeerProgress], node_id: int) -> int:
    """Return the voter that can take over soonest, or the leader itself, `node_id`, where there is no other."""
    others = [(peer.active, peer.match, node) for node, peer in peers.items() if not peer.learner and node != node_id]
    return max(others)[2] if others else node_id


async def hand_over(
    replica: Replica,
    to: int,
    *,
    post: Callable[[Callable[[], None]], None],
    news: asyncio.Event,
    timeout_s: float,
    look_s: float,
) -> int:
    """Hand leadership to a voter, and return the leader that follows. `news` is set whenever the leader changes.

    Raises:
        NoLeader: this node leads no more, and nobody does: too few answer.
        DeadlineExceeded: this node still leads; the other did not take over.
    """
    began = asyncio.get_running_loop().time()
    term = replica.status.term
    asked = False

    def ask() -> None:
        nonlocal asked
        replica.core.transfer_leader(to)
        replica.see()
        asked = True

    post(ask)
    while True:
        news.clear()
        # In this order: what is seen was asked for.
        was_asked, status = asked, replica.status
        if status.leader not in (0, replica.node_id):
            return status.leader
        leads = status.role == NODE_ROLE_LEADER
        if not leads and status.term == term:
            # No other has begun a term; this node has only noticed that it hears no majority.
            raise NoLeader
        # raft-rs gives up after an election timeout: who was to take over is behind, or dead.
        gave_up = was_asked and leads and not status.transferee
        seconds = asyncio.get_running_loop().time() - began
        if gave_up or seconds >= timeout_s:
            raise DeadlineExceeded(operation="the transfer of leadership", seconds=f"{seconds:.3g}")
        with suppress(TimeoutError):
            async with asyncio.timeout(look_s):
                await news.wait()
