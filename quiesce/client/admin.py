"""The nodes of a cluster: their state, rotation, snapshots."""

from __future__ import annotations

from collections.abc import AsyncIterator

from quiesce.client.calls import Calls
from quiesce.errors import QuiesceError
from quiesce.v1.node_pb2 import (
    Mark,
    Member,
    MembersResponse,
    NodeStatus,
    RestoreNodeRequest,
    RestoreProgress,
    RotationLease,
    SnapshotProgress,
    TakeSnapshotRequest,
)

# A worker says how far it is every second or so; one that has been silent for longer is taken for dead.
STREAM_IDLE_S = 60.0


class Admin:
    """What operators and the coordinator ask of nodes; reached as `AsyncClient.admin`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def members(self) -> MembersResponse:
        """Return the members, the leader's id (0: none) and the cluster's id."""
        ...

    async def status(self, node: int | str, *, timeout_s: float | None = None) -> NodeStatus:
        """Return the state of one node, named by its id or by its address.

        Raises:
            UnknownNode: the cluster has no node of that id.
        """
        ...

    async def statuses(self, *, timeout_s: float = 2.0) -> list[tuple[Member, NodeStatus | QuiesceError]]:
        """Return every member with its state, or the error that came instead, by node id."""
        ...

    async def drain(self, node_id: int, owner: str, reason: str, ttl_ms: int) -> RotationLease:
        """Take a node out of rotation for at most `ttl_ms` milliseconds.

        Raises:
            RotationHeld, ClusterDegraded, UnknownNode: refused.
        """
        ...

    async def renew_drain(self, epoch: int, ttl_ms: int) -> RotationLease:
        """Let a lease last `ttl_ms` milliseconds from now; LeaseLost if it has ended."""
        ...

    async def undrain(self, epoch: int) -> None:
        """Give a lease back; one that has ended is no error."""
        ...

    async def checkpoint(self, epoch: int) -> Mark:
        """Set a mark in the log; the node out of rotation checkpoints its store exactly there."""
        ...

    def take_snapshot(
        self, node_id: int, request: TakeSnapshotRequest, *, idle_s: float = STREAM_IDLE_S
    ) -> AsyncIterator[SnapshotProgress]:
        """Have a drained node write a snapshot's objects; leaving the iteration stops its worker."""
        ...

    async def drop_checkpoint(self, node_id: int, epoch: int) -> None:
        """Remove a checkpoint from a node."""
        ...

    async def transfer_leadership(self, to_node_id: int = 0) -> int:
        """Make another node the leader (0: the follower that is furthest) and return the new leader's id."""
        ...

    def restore_node(
        self, address: str, request: RestoreNodeRequest, *, idle_s: float = STREAM_IDLE_S
    ) -> AsyncIterator[RestoreProgress]:
        """Have a node that waits for it load a snapshot; it then starts as a member of the new cluster."""
        ...
