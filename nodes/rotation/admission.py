"""Whether a node may leave rotation now, as the leader sees it before it proposes so."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from quiesce.errors import ClusterDegraded, InvalidRequest, RotationHeld, UnknownNode
from quiesce.v1 import node_pb2

# A lease shorter than a few elections would end before its owner has heard of it.
LEAST_TTL_MS = 1_000
GREATEST_TTL_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Voter:
    """A voter as the leader sees it: the last entry it is known to hold, and whether it answers."""

    match_index: int
    active: bool


def check_ttl(ttl_ms: int) -> None:
    """Check the length of a lease.

    Raises:
        InvalidRequest: it is too short or too long.
    """
    if not LEAST_TTL_MS <= ttl_ms <= GREATEST_TTL_MS:
        raise InvalidRequest(detail=f"ttl_ms is {ttl_ms}, not between {LEAST_TTL_MS} and {GREATEST_TTL_MS}")


def check_drain(
    node_id: int,
    *,
    voters: Mapping[int, Voter],
    last_index: int,
    max_lag: int,
    lease: node_pb2.RotationLease | None,
    log_time_ms: int,
) -> None:
    """Check that the cluster can do without `node_id` as one that serves.

    Raises:
        UnknownNode: it is not a voter.
        RotationHeld: a node is out of rotation already.
        ClusterDegraded: a voter is away or behind, or there is no other node to serve meanwhile.
    """
    if node_id not in voters:
        raise UnknownNode(node_id=node_id, known=", ".join(map(str, sorted(voters))))
    if lease is not None and log_time_ms < lease.expires_ms:
        raise rotation_held(lease)
    if len(voters) == 1:
        raise ClusterDegraded(
            detail=f"node {node_id} is the only one, and nobody would serve while it is out of rotation"
        )
    for voter_id, voter in sorted(voters.items()):
        if not voter.active:
            raise ClusterDegraded(detail=f"node {voter_id} does not answer")
        lag = last_index - voter.match_index
        if lag > max_lag:
            raise ClusterDegraded(detail=f"node {voter_id} is {lag} entries behind, more than {max_lag}")


def rotation_held(lease: node_pb2.RotationLease) -> RotationHeld:
    """Return the refusal that names who holds the lease."""
    expires = dt.datetime.fromtimestamp(lease.expires_ms / 1000, dt.UTC)
    return RotationHeld(
        node_id=lease.node_id,
        owner=lease.owner,
        reason=lease.reason,
        expires=expires.isoformat(timespec="seconds"),
        expires_ms=lease.expires_ms,
    )
