"""The Node service of a running node."""
# ruff: noqa: N802

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from nodes.consensus import Consensus
from nodes.data_directory import DataDirectory
from nodes.identity import Identity
from nodes.latency import ClientLatency
from nodes.proposals import Proposals
from nodes.room import Watermark
from nodes.rotation.admission import check_drain, check_ttl
from nodes.rotation.driver import Rotation
from nodes.rotation.gate import Gate
from nodes.rotation.succession import choose_successor
from nodes.service.attesting import Attester, prepare
from nodes.service.calls import Calls, Context, time_left
from nodes.service.members import Members, check_drainable
from nodes.service.snapshots import Snapshots
from nodes.service.worker_rate import WorkerRate
from nodes.statemachine import ReplicatedState
from quiesce.errors import ClusterDegraded, InvalidRequest, NotAwaitingRestore, UnknownNode
from quiesce.rpc import typed_errors
from quiesce.v1 import attest_pb2, latency_pb2, node_pb2, node_pb2_grpc

_PATIENCE_S = 1.0
_LOOK_S = 0.05
_PREPARE_S = 10.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What the Node service shows and steers."""

    identity: Identity
    address: str
    version: str
    members: Members
    max_lag_entries: int
    data: DataDirectory
    consensus: Consensus
    state: ReplicatedState
    proposals: Proposals
    gate: Gate
    calls: Calls
    rotation: Rotation
    snapshots: Snapshots
    attester: Attester
    worker_rate: WorkerRate
    latency: ClientLatency
    watermark: Watermark


class NodeService(node_pb2_grpc.NodeServicer):
    """One node's state, and its part in rotation and snapshots."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._node_id = parts.identity.node_id

    @typed_errors
    async def Status(self, _request: node_pb2.StatusRequest, context: Context) -> node_pb2.NodeStatus:
        """Tell all that is known here."""
        self._parts.calls.check_cluster(context)
        return self.status()

    def status(self) -> node_pb2.NodeStatus:
        """Return all that is known here."""
        parts = self._parts
        status = parts.consensus.status()
        with parts.state.store.view() as view:
            lease, log_time_ms = view.lease(), view.log_time_ms()
        return node_pb2.NodeStatus(
            node_id=self._node_id,
            cluster_id=parts.identity.cluster_id,
            address=parts.consensus.addresses().get(self._node_id, parts.address),
            role=status.role,
            serving=int(parts.gate.state),  # type: ignore[arg-type]
            term=status.term,
            leader_id=status.leader_id,
            commit_index=status.commit_index,
            applied_index=status.applied_index,
            first_log_index=status.first_index,
            log_bytes=status.log_bytes,
            lease=lease,
            log_time_ms=log_time_ms,
            members=parts.members.response().members,
            version=parts.version,
            checkpoints=parts.data.checkpoint_epochs(),
            history=[
                node_pb2.StateChange(state=int(change.state), at_ms=change.at_ms, reason=change.reason)  # type: ignore[arg-type]
                for change in parts.gate.history
            ],
            disk=node_pb2.DiskRoom(
                free_bytes=parts.watermark.free, reserve_bytes=parts.watermark.reserve, full=parts.watermark.full
            ),
        )

    @typed_errors
    async def Members(self, _request: node_pb2.MembersRequest, context: Context) -> node_pb2.MembersResponse:
        """Tell who belongs to the cluster; the leader also tells how far each is."""
        self._parts.calls.check_cluster(context)
        return self._parts.members.response()

    @typed_errors
    async def TransferLeadership(
        self, request: node_pb2.TransferLeadershipRequest, context: Context
    ) -> node_pb2.TransferLeadershipResponse:
        """Hand leadership to a follower that is in rotation."""
        parts = self._parts
        parts.calls.check_cluster(context)
        voters, lease = self._parts.members.voters(), parts.rotation.lease
        to = request.to_node_id
        if not to:
            out = [lease.node_id] if lease is not None else []
            found = choose_successor(voters, leader=self._node_id, avoid=out)
            if found is None:
                raise ClusterDegraded(detail="there is no other node that answers and is in rotation, to lead")
            to = found
        if to not in voters:
            raise UnknownNode(node_id=to, known=", ".join(map(str, sorted(voters))))
        if lease is not None and lease.node_id == to:
            raise InvalidRequest(detail=f"node {to} is out of rotation and would hand leadership on")
        leader = await parts.consensus.transfer_leadership(to, timeout_s=time_left(context))
        return node_pb2.TransferLeadershipResponse(leader_id=leader)

    @typed_errors
    async def AddNode(self, request: node_pb2.AddNodeRequest, context: Context) -> node_pb2.MembersResponse:
        """Add a learner."""
        with self._parts.calls.change(context) as timeout_s:
            return await self._parts.members.add(request, timeout_s)

    @typed_errors
    async def PromoteNode(self, request: node_pb2.PromoteNodeRequest, context: Context) -> node_pb2.MembersResponse:
        """Give a learner a vote."""
        with self._parts.calls.change(context) as timeout_s:
            return await self._parts.members.promote(request.node_id, timeout_s)

    @typed_errors
    async def RemoveNode(self, request: node_pb2.RemoveNodeRequest, context: Context) -> node_pb2.MembersResponse:
        """Take a node out for good."""
        with self._parts.calls.change(context) as timeout_s:
            return await self._parts.members.remove(request.node_id, timeout_s)

    @typed_errors
    async def ChangeNodeAddress(
        self, request: node_pb2.ChangeNodeAddressRequest, context: Context
    ) -> node_pb2.MembersResponse:
        """Write down where a node is reached from now on."""
        with self._parts.calls.change(context) as timeout_s:
            return await self._parts.members.change_address(request, timeout_s)

    @typed_errors
    async def Drain(self, request: node_pb2.DrainRequest, context: Context) -> node_pb2.RotationLease:
        """Take a node out of rotation, where the cluster can spare it."""
        parts = self._parts
        with parts.calls.change(context) as timeout_s:
            check_ttl(request.ttl_ms)
            check_drainable(request.node_id, self._parts.state.membership)
            await self._admit(request.node_id, min(timeout_s / 2, _PATIENCE_S))
            return (await parts.proposals.propose(timeout_s=timeout_s, drain=request)).lease

    @typed_errors
    async def RenewDrain(self, request: node_pb2.RenewDrainRequest, context: Context) -> node_pb2.RotationLease:
        """Move the end of a lease that still holds, or the lease to another node."""
        with self._parts.calls.change(context) as timeout_s:
            check_ttl(request.ttl_ms)
            if request.move_to:
                check_drainable(request.move_to, self._parts.state.membership)
                await self._admit(request.move_to, min(timeout_s / 2, _PATIENCE_S), moving=request.epoch)
            return (await self._parts.proposals.propose(timeout_s=timeout_s, renew_drain=request)).lease

    @typed_errors
    async def Undrain(self, request: node_pb2.UndrainRequest, context: Context) -> node_pb2.UndrainResponse:
        """Give a lease back."""
        with self._parts.calls.change(context) as timeout_s:
            await self._parts.proposals.propose(timeout_s=timeout_s, undrain=request)
            return node_pb2.UndrainResponse()

    @typed_errors
    async def Checkpoint(self, request: node_pb2.CheckpointRequest, context: Context) -> node_pb2.Mark:
        """Write the mark to the log."""
        with self._parts.calls.change(context) as timeout_s:
            return (await self._parts.proposals.propose(timeout_s=timeout_s, checkpoint=request)).mark

    @typed_errors
    async def TakeSnapshot(
        self, request: node_pb2.TakeSnapshotRequest, context: Context
    ) -> AsyncIterator[node_pb2.SnapshotProgress]:
        """Run the worker on the checkpoint."""
        parts = self._parts
        parts.calls.check_cluster(context)
        # The leader has answered the mark before this node need have applied it.
        await parts.consensus.read_barrier(timeout_s=time_left(context))
        parts.rotation.look()
        async with aclosing(parts.snapshots.take(request)) as reports:
            async for progress in reports:
                yield progress

    @typed_errors
    async def DropCheckpoint(
        self, request: node_pb2.DropCheckpointRequest, context: Context
    ) -> node_pb2.DropCheckpointResponse:
        """Remove the checkpoint of an epoch, if it is there."""
        self._parts.calls.check_cluster(context)
        await self._parts.snapshots.drop(request)
        await self._parts.attester.drop(request.epoch)
        return node_pb2.DropCheckpointResponse()

    @typed_errors
    async def PrepareMark(
        self, _request: attest_pb2.PrepareMarkRequest, context: Context
    ) -> attest_pb2.PrepareMarkResponse:
        """Write to files what a checkpoint would have to write."""
        parts = self._parts
        parts.calls.check_cluster(context)
        await prepare(parts.state.store, min(time_left(context) / 2, _PREPARE_S))
        return attest_pb2.PrepareMarkResponse()

    @typed_errors
    async def Attest(
        self, request: attest_pb2.AttestRequest, context: Context
    ) -> AsyncIterator[attest_pb2.AttestProgress]:
        """Say what this node held at the mark."""
        parts = self._parts
        parts.calls.check_cluster(context)
        # The leader has answered the mark before this node need have applied it.
        await parts.consensus.read_barrier(timeout_s=time_left(context))
        async with aclosing(parts.attester.attest(request)) as reports:
            async for progress in reports:
                yield progress

    @typed_errors
    async def ClientLatency(
        self, request: latency_pb2.ClientLatencyRequest, context: Context
    ) -> latency_pb2.ClientLatencyResponse:
        """Tell what clients waited here."""
        self._parts.calls.check_cluster(context)
        return self._parts.latency.answer(request.since, time.monotonic())

    @typed_errors
    async def SetWorkerRate(
        self, request: latency_pb2.SetWorkerRateRequest, context: Context
    ) -> latency_pb2.SetWorkerRateResponse:
        """Have the workers here read faster or more slowly."""
        self._parts.calls.check_cluster(context)
        return latency_pb2.SetWorkerRateResponse(workers=self._parts.worker_rate.change(request))

    @typed_errors
    async def Restore(
        self, _request: node_pb2.RestoreNodeRequest, _context: Context
    ) -> AsyncIterator[node_pb2.RestoreProgress]:
        """Refuse: there is data here."""
        for _ in ():
            yield node_pb2.RestoreProgress()
        raise NotAwaitingRestore(node_id=self._node_id, address=self._parts.address)

    async def _admit(self, node_id: int, patience_s: float, *, moving: int = 0) -> None:
        """Check that a node can leave rotation, for the one that the lease of epoch `moving` keeps out, if any.

        A leader that is new has to hear from the others first.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience_s
        while True:
            with self._parts.state.store.view() as view:
                lease, log_time_ms = view.lease(), view.log_time_ms()
            if lease is not None and lease.epoch == moving:
                lease = None
            try:
                check_drain(
                    node_id,
                    voters=self._parts.members.voters(),
                    last_index=self._parts.consensus.status().last_index,
                    max_lag=self._parts.max_lag_entries,
                    lease=lease,
                    log_time_ms=log_time_ms,
                )
                return
            except ClusterDegraded:
                if loop.time() >= deadline:
                    raise
            await asyncio.sleep(_LOOK_S)
