"""The coordinator's service: which snapshots stay, which go, and why."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

from quiesce.client.coordinator import CoordinatorClient
from quiesce.v1 import retention_pb2, retention_pb2_grpc
from quiesce.v1.retention_pb2 import (
    ApplyRetentionResponse,
    CollectGarbageResponse,
    RetentionDecision,
    SnapshotExplanation,
)

if TYPE_CHECKING:
    from quiesce.v1.retention_pb2_grpc import RetentionAsyncStub

    _Client = CoordinatorClient[RetentionAsyncStub]
else:
    _Client = CoordinatorClient


class Retention(_Client):
    """A client of the coordinators for what is kept. `repository` empty is the coordinator's default."""

    def __init__(self, addresses: str, *, timeout_s: float = 60.0) -> None:
        """Make a client of the coordinators at `host:port,…`; it connects when it is first used."""
        super().__init__(addresses, timeout_s, retention_pb2_grpc.RetentionStub)

    async def plan(self, policy: str) -> builtins.list[RetentionDecision]:
        """Return what the rules of a policy would do now, the newest snapshot first. Raises UnknownPolicy."""
        request = retention_pb2.PlanRetentionRequest(policy=policy)
        return [*(await self._call(lambda stub: stub.Plan, request, "planning the retention")).decisions]

    async def apply(self, policy: str) -> ApplyRetentionResponse:
        """Remove the snapshots that the rules of a policy let go. Raises UnknownPolicy."""
        request = retention_pb2.ApplyRetentionRequest(policy=policy)
        return await self._call(lambda stub: stub.Apply, request, "carrying out the retention")

    async def why(self, snapshot_id: str, *, repository: str = "") -> SnapshotExplanation:
        """Return why a snapshot is kept, or goes. Raises UnknownSnapshot."""
        request = retention_pb2.WhySnapshotRequest(repository=repository, snapshot_id=snapshot_id)
        return await self._call(lambda stub: stub.Why, request, "explaining the snapshot")

    async def delete(self, snapshot_id: str, *, repository: str = "", force: bool = False) -> None:
        """Remove a snapshot.

        Raises:
            UnknownSnapshot: there is none of that id.
            SnapshotPinned: somebody keeps it, or reads it.
            LastSnapshot: it is the last whole one of its policy, and `force` is not given.
        """
        request = retention_pb2.DeleteSnapshotRequest(repository=repository, snapshot_id=snapshot_id, force=force)
        await self._call(lambda stub: stub.Delete, request, "deleting the snapshot")

    async def pin(self, snapshot_id: str, reason: str, *, by: str = "", repository: str = "") -> str:
        """Keep a snapshot until it is unpinned, and return its id.

        Raises:
            UnknownSnapshot, SnapshotBeingRemoved: it is not there, or not for long.
        """
        request = retention_pb2.PinSnapshotRequest(repository=repository, snapshot_id=snapshot_id, reason=reason, by=by)
        return (await self._call(lambda stub: stub.Pin, request, "pinning the snapshot")).snapshot_id

    async def unpin(self, snapshot_id: str, *, repository: str = "") -> int:
        """Take away what `pin` has put on a snapshot; return how many pins that were."""
        request = retention_pb2.UnpinSnapshotRequest(repository=repository, snapshot_id=snapshot_id)
        return (await self._call(lambda stub: stub.Unpin, request, "unpinning the snapshot")).pins

    async def collect(
        self, *, repository: str = "", dry_run: bool = False, grace_ms: int | None = None
    ) -> CollectGarbageResponse:
        """Remove objects that no snapshot has needed for the grace time."""
        request = retention_pb2.CollectGarbageRequest(repository=repository, dry_run=dry_run, grace_ms=grace_ms)
        return await self._call(lambda stub: stub.Collect, request, "collecting garbage")
