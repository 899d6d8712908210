"""What can be seen of a replica from outside of its thread."""

from __future__ import annotations

from collections.abc import Container
from typing import cast

from nodes.consensus.interface import ConsensusStatus, PeerProgress
from nodes.consensus.replica import Replica
from quiesce.v1.node_pb2 import NodeRole


def visible(replica: Replica, *, applied: int, removed: Container[int]) -> ConsensusStatus:
    """Return what can be seen, as old as a tick; `removed` are the ids that no leader can have."""
    seen = replica.status
    peers = {
        node: PeerProgress(
            match=match,
            active=node == replica.node_id or replica.hears(node),
            learner=node in seen.learners,
            heard_tick=replica.heard_at(node),
        )
        for node, match, _, _ in seen.progress
    }
    return ConsensusStatus(
        role=cast("NodeRole.ValueType", seen.role),
        term=seen.term,
        leader_id=0 if seen.leader in removed else seen.leader,
        commit_index=seen.commit,
        applied_index=applied,
        first_index=seen.first_index,
        last_index=seen.last_index,
        log_bytes=replica.log.size,
        tick=replica.ticks,
        voters=seen.voters,
        learners=seen.learners,
        peers=peers,
    )
