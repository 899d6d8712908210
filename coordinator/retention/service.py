"""The coordinator's service: which snapshots stay, which go, and why."""

# Names and arguments of the handlers are gRPC's.
# ruff: noqa: N802, ARG002

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc.aio

from coordinator.retention.execution import Owner, decide
from coordinator.retention.keeper import Keeper
from coordinator.retention.messages import decision_message
from coordinator.retention.planning import Decision
from coordinator.snapshots import named
from quiesce.errors import InvalidRequest, UnknownPolicy
from quiesce.repository import Repository, notes
from quiesce.repository.pins import pin, pin_reasons, unpin
from quiesce.repository.removal import keep_enough, remove_snapshot
from quiesce.rpc import typed_errors
from quiesce.v1 import retention_pb2
from quiesce.v1.retention_pb2_grpc import RetentionServicer

SERVICE = retention_pb2.DESCRIPTOR.services_by_name["Retention"].full_name
MOST_REASON = 1_000
Context = grpc.aio.ServicerContext[Any, Any]


class RetentionService(RetentionServicer):
    """See retention.proto. `locate` gives the repository's place for the name in a request, `clock` Unix ms."""

    def __init__(self, *, keeper: Keeper, locate: Callable[[str], str], clock: Callable[[], int]) -> None:
        self._keeper = keeper
        self._locate = locate
        self._clock = clock

    @typed_errors
    async def Plan(
        self, request: retention_pb2.PlanRetentionRequest, context: Context
    ) -> retention_pb2.PlanRetentionResponse:
        """Say what the rules of a policy would do."""
        decisions = await self._keeper.plan(request.policy)
        return retention_pb2.PlanRetentionResponse(decisions=map(decision_message, decisions))

    @typed_errors
    async def Apply(
        self, request: retention_pb2.ApplyRetentionRequest, context: Context
    ) -> retention_pb2.ApplyRetentionResponse:
        """Remove what the rules of a policy let go."""
        applied = await self._keeper.apply(request.policy)
        return retention_pb2.ApplyRetentionResponse(
            decisions=map(decision_message, applied.decisions),
            removed=applied.removed,
            refused=[retention_pb2.RefusedRemoval(snapshot_id=one, why=why) for one, why in applied.refused.items()],
        )

    @typed_errors
    async def Why(
        self, request: retention_pb2.WhySnapshotRequest, context: Context
    ) -> retention_pb2.SnapshotExplanation:
        """Say why a snapshot is kept, or goes."""
        location, now_ms = self._locate(request.repository), self._clock()
        manifest = await self._keeper.use(location, lambda there: there.find(named(request.snapshot_id)))
        owner: Owner | None = None
        if manifest.policy:
            try:
                owner = await self._keeper.owner_of(manifest.policy)
            except UnknownPolicy:
                other = f"its policy {manifest.policy} is there no more; it is removed only by hand"
            else:
                other = f"its policy {manifest.policy} is one of another cluster, {manifest.cluster_id}"
        else:
            other = "it is no run of a policy; it is removed only by hand"

        def explain(there: Repository) -> Decision:
            if owner is not None and owner.owns(manifest):
                for decision in decide(there, owner, now_ms):
                    if decision.snapshot_id == manifest.snapshot_id:
                        return decision
            pins = pin_reasons(there, now_ms, manifest.snapshot_id).values()
            reasons = (*(f"pinned: {why}" for why in pins), other)
            return Decision(manifest.snapshot_id, manifest.mark.time_ms, keep=True, reasons=reasons)

        decision = await self._keeper.use(location, explain)
        return retention_pb2.SnapshotExplanation(decision=decision_message(decision), policy=manifest.policy)

    @typed_errors
    async def Delete(
        self, request: retention_pb2.DeleteSnapshotRequest, context: Context
    ) -> retention_pb2.DeleteSnapshotResponse:
        """Remove one snapshot."""
        now_ms = self._clock()

        def delete(there: Repository) -> None:
            enough = (lambda _: None) if request.force else keep_enough(there)
            # One that cannot be read may be deleted, too, by force.
            if not request.force:
                there.read_manifest(named(request.snapshot_id))
            remove_snapshot(there, request.snapshot_id, enough, now_ms=now_ms)

        await self._keeper.use(self._locate(request.repository), delete)
        return retention_pb2.DeleteSnapshotResponse(snapshot_id=request.snapshot_id)

    @typed_errors
    async def Pin(
        self, request: retention_pb2.PinSnapshotRequest, context: Context
    ) -> retention_pb2.PinSnapshotResponse:
        """Keep a snapshot."""
        if not request.reason or len(request.reason) > MOST_REASON:
            raise InvalidRequest(detail=f"a pin needs a reason of 1 to {MOST_REASON} characters")
        now_ms, by = self._clock(), request.by or notes.who()

        def keep(there: Repository) -> str:
            found = there.find(named(request.snapshot_id)).snapshot_id
            pin(there, found, request.reason, by=by, now_ms=now_ms)
            return found

        found = await self._keeper.use(self._locate(request.repository), keep)
        return retention_pb2.PinSnapshotResponse(snapshot_id=found)

    @typed_errors
    async def Unpin(
        self, request: retention_pb2.UnpinSnapshotRequest, context: Context
    ) -> retention_pb2.UnpinSnapshotResponse:
        """Let a snapshot go."""
        location = self._locate(request.repository)
        count = await self._keeper.use(location, lambda there: unpin(there, named(request.snapshot_id)))
        return retention_pb2.UnpinSnapshotResponse(pins=count)

    @typed_errors
    async def Collect(
        self, request: retention_pb2.CollectGarbageRequest, context: Context
    ) -> retention_pb2.CollectGarbageResponse:
        """Remove what no snapshot needs."""
        grace_ms = request.grace_ms if request.HasField("grace_ms") else None
        found = await self._keeper.collect(self._locate(request.repository), grace_ms=grace_ms, dry_run=request.dry_run)
        return retention_pb2.CollectGarbageResponse(
            removed=len(found.removed),
            removed_bytes=found.removed_bytes,
            waiting=found.waiting,
            waiting_bytes=found.waiting_bytes,
            superseded=found.superseded,
        )
