"""The nodes of a cluster: their state, rotation, snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, TypeVar

from quiesce.client import direct
from quiesce.client.attempts import Effect
from quiesce.client.calls import Calls
from quiesce.client.connections import Connection
from quiesce.client.routing import To
from quiesce.errors import QuiesceError, UnknownNode
from quiesce.v1 import attest_pb2, latency_pb2, node_pb2
from quiesce.v1.attest_pb2 import AttestProgress, AttestRequest
from quiesce.v1.latency_pb2 import ClientLatencyResponse
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

if TYPE_CHECKING:
    from grpc.aio import UnaryUnaryMultiCallable

Request = TypeVar("Request")

# A worker says how far it is every second or so; one that has been silent for longer is taken for dead.
STREAM_IDLE_S = 60.0


class Admin:
    """What operators and the coordinator ask of nodes; reached as `AsyncClient.admin`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def members(self) -> MembersResponse:
        """Return the members, the leader's id (0: none) and the cluster's id."""
        attempts = self._calls.attempts("asking for the members", Effect.NONE)
        answer = await self._calls.unary(lambda node: node.node.Members, node_pb2.MembersRequest(), attempts)
        self._calls.discovery.take(answer)
        return answer

    async def add_node(self, node_id: int, address: str) -> MembersResponse:
        """Add a node, to be started with `--join`; it gets the log, and no vote before it is promoted.

        Raises:
            NodeIdTaken, InvalidRequest, MembershipChangeRefused: it cannot be.
            OutcomeUnknown: the answer was lost; asked again, it is added or found to be there.
        """
        request = node_pb2.AddNodeRequest(node_id=node_id, address=address)
        return await self._change("adding the node", lambda node: node.node.AddNode, request)

    async def promote_node(self, node_id: int) -> MembersResponse:
        """Give a node that was added a vote, once it has caught up; one that votes already goes on so.

        Raises:
            UnknownNode: it is no member.
            MembershipChangeRefused: it has not caught up, or there would be too many votes.
            OutcomeUnknown: the answer was lost; ask again.
        """
        request = node_pb2.PromoteNodeRequest(node_id=node_id)
        return await self._change("promoting the node", lambda node: node.node.PromoteNode, request)

    async def remove_node(self, node_id: int) -> MembersResponse:
        """Take a node out for good; one that was taken out stays so. The leader hands leadership on before it goes.

        Raises:
            UnknownNode: it never was a member.
            MembershipChangeRefused: those that would remain are not enough to go on.
            OutcomeUnknown: the answer was lost; ask again.
        """
        request = node_pb2.RemoveNodeRequest(node_id=node_id)
        return await self._change("removing the node", lambda node: node.node.RemoveNode, request)

    async def change_node_address(self, node_id: int, address: str) -> MembersResponse:
        """Say where a node is reached from now on.

        Raises:
            UnknownNode, InvalidRequest, MembershipChangeRefused: it cannot be.
            OutcomeUnknown: the answer was lost; ask again.
        """
        request = node_pb2.ChangeNodeAddressRequest(node_id=node_id, address=address)
        return await self._change("changing the address", lambda node: node.node.ChangeNodeAddress, request)

    async def _change(
        self,
        operation: str,
        select: Callable[[Connection], UnaryUnaryMultiCallable[Request, MembersResponse]],
        request: Request,
    ) -> MembersResponse:
        attempts = self._calls.attempts(operation, Effect.SAME)
        answer = await self._calls.unary(select, request, attempts, to=To.LEADER)
        self._calls.discovery.take(answer)
        return answer

    async def status(self, node: int | str, *, timeout_s: float | None = None) -> NodeStatus:
        """Return the state of one node, named by its id, or by an address, which may be of any cluster.

        Raises:
            UnknownNode: the cluster has no node of that id.
        """
        address = node if isinstance(node, str) else await self._address(node)
        return await direct.call(
            self._calls.connections.to(address).node.Status,
            node_pb2.StatusRequest(),
            address=address,
            operation="asking for the status",
            timeout_s=timeout_s or self._calls.timeout_s,
            metadata=() if isinstance(node, str) else self._calls.discovery.metadata,
        )

    async def statuses(self, *, timeout_s: float = 2.0) -> list[tuple[Member, NodeStatus | QuiesceError]]:
        """Return every member with its state, or the error that came instead, by node id; `timeout_s` for each."""
        members = sorted((await self.members()).members, key=lambda member: member.node_id)

        async def ask(member: Member) -> NodeStatus | QuiesceError:
            try:
                return await self.status(member.address, timeout_s=timeout_s)
            except QuiesceError as error:
                return error

        return list(zip(members, await asyncio.gather(*map(ask, members)), strict=True))

    async def drain(self, node_id: int, owner: str, reason: str, ttl_ms: int) -> RotationLease:
        """Take a node out of rotation for at most `ttl_ms` milliseconds.

        Raises:
            RotationHeld, ClusterDegraded, UnknownNode: refused.
            OutcomeUnknown: the answer was lost; the lease, if there is one, ends by itself.
        """
        request = node_pb2.DrainRequest(node_id=node_id, owner=owner, reason=reason, ttl_ms=ttl_ms)
        attempts = self._calls.attempts("the drain", Effect.TWICE)
        return await self._calls.unary(lambda node: node.node.Drain, request, attempts, to=To.LEADER)

    async def renew_drain(self, epoch: int, ttl_ms: int, *, fence: int = 0) -> RotationLease:
        """Let a lease last `ttl_ms` milliseconds from now; LeaseLost if it has ended, or another has taken it over.

        Here and below `fence` is that of the lease as it was acquired or taken over; 0: as it was acquired.
        """
        request = node_pb2.RenewDrainRequest(epoch=epoch, ttl_ms=ttl_ms, fence=fence)
        attempts = self._calls.attempts("renewing the lease", Effect.SAME)
        return await self._calls.unary(lambda node: node.node.RenewDrain, request, attempts, to=To.LEADER)

    async def move_drain(self, epoch: int, node_id: int, ttl_ms: int, *, fence: int = 0) -> RotationLease:
        """Put the node that a lease keeps out back into rotation, and take another out under it.

        Raises:
            LeaseLost: it has ended, or another has taken it over.
            ClusterDegraded, UnknownNode: the cluster cannot spare that node.
        """
        request = node_pb2.RenewDrainRequest(epoch=epoch, ttl_ms=ttl_ms, fence=fence, move_to=node_id)
        attempts = self._calls.attempts("moving the lease", Effect.SAME)
        return await self._calls.unary(lambda node: node.node.RenewDrain, request, attempts, to=To.LEADER)

    async def take_over_drain(self, epoch: int, ttl_ms: int, owner: str) -> RotationLease:
        """Go on with a lease for its holder, who is refused from now on; LeaseLost if it has ended."""
        request = node_pb2.RenewDrainRequest(epoch=epoch, ttl_ms=ttl_ms, take_over_as=owner)
        attempts = self._calls.attempts("taking the lease over", Effect.SAME)
        return await self._calls.unary(lambda node: node.node.RenewDrain, request, attempts, to=To.LEADER)

    async def undrain(self, epoch: int, *, fence: int = 0) -> None:
        """Give a lease back; one that has ended is no error, LeaseLost if another has taken it over."""
        request = node_pb2.UndrainRequest(epoch=epoch, fence=fence)
        attempts = self._calls.attempts("giving the lease back", Effect.SAME)
        await self._calls.unary(lambda node: node.node.Undrain, request, attempts, to=To.LEADER)

    async def prepare_mark(self, node_id: int) -> None:
        """Have a node write out what a checkpoint would have to write: the pause at the next mark is shorter then."""
        address = await self._address(node_id)
        await direct.call(
            self._calls.connections.to(address).node.PrepareMark,
            attest_pb2.PrepareMarkRequest(),
            address=address,
            operation="preparing the mark",
            timeout_s=self._calls.timeout_s,
            metadata=self._calls.discovery.metadata,
        )

    async def checkpoint(self, epoch: int, *, fence: int = 0, attest: bool = False) -> Mark:
        """Set a mark in the log; the node out of rotation checkpoints its store exactly there.

        Args:
            epoch: of the lease.
            fence: as above.
            attest: the other voters keep a checkpoint as well, for `attest`.

        Raises:
            LeaseLost: the lease of this epoch has ended.
            OutcomeUnknown: the answer was lost, and with it the mark.
        """
        request = node_pb2.CheckpointRequest(epoch=epoch, fence=fence, attest=attest)
        attempts = self._calls.attempts("the checkpoint", Effect.TWICE)
        return await self._calls.unary(lambda node: node.node.Checkpoint, request, attempts, to=To.LEADER)

    async def take_snapshot(
        self, node_id: int, request: TakeSnapshotRequest, *, idle_s: float = STREAM_IDLE_S
    ) -> AsyncIterator[SnapshotProgress]:
        """Have a drained node write a snapshot's objects; leaving the iteration stops its worker.

        Args:
            node_id: the node.
            request: what to write, and where.
            idle_s: the most seconds from one answer to the next.
        """
        address = await self._address(node_id)
        answers = direct.read(
            self._calls.connections.to(address).node.TakeSnapshot,
            request,
            address=address,
            operation="the snapshot",
            first_s=idle_s,
            idle_s=idle_s,
            metadata=self._calls.discovery.metadata,
        )
        try:
            async for answer in answers:
                yield answer
        finally:
            await answers.aclose()

    async def attest(
        self, node_id: int, request: AttestRequest, *, idle_s: float = STREAM_IDLE_S
    ) -> AsyncIterator[AttestProgress]:
        """Have a node say what it held at a mark that was to be attested; leaving the iteration stops its worker.

        Args:
            node_id: the node.
            request: which mark, and where the latest snapshot is.
            idle_s: the most seconds from one answer to the next.
        """
        address = await self._address(node_id)
        answers = direct.read(
            self._calls.connections.to(address).node.Attest,
            request,
            address=address,
            operation="the attestation",
            first_s=idle_s,
            idle_s=idle_s,
            metadata=self._calls.discovery.metadata,
        )
        try:
            async for answer in answers:
                yield answer
        finally:
            await answers.aclose()

    async def drop_checkpoint(self, node_id: int, epoch: int, *, fence: int = 0) -> None:
        """Remove a checkpoint from a node; LeaseLost if another has taken its lease over."""
        address = await self._address(node_id)
        await direct.call(
            self._calls.connections.to(address).node.DropCheckpoint,
            node_pb2.DropCheckpointRequest(epoch=epoch, fence=fence),
            address=address,
            operation="dropping the checkpoint",
            timeout_s=self._calls.timeout_s,
            metadata=self._calls.discovery.metadata,
        )

    async def client_latency(self, node_id: int, *, since: int = 0, timeout_s: float = 2.0) -> ClientLatencyResponse:
        """Return what clients waited on a node, in the seconds after `since`, of the last ten.

        Raises:
            InvalidRequest: the node is too old to say.
        """
        address = await self._address(node_id)
        return await direct.call(
            self._calls.connections.to(address).node.ClientLatency,
            latency_pb2.ClientLatencyRequest(since=since),
            address=address,
            operation="asking what clients wait",
            timeout_s=timeout_s,
            metadata=self._calls.discovery.metadata,
        )

    async def set_worker_rate(
        self, node_id: int, epoch: int, rate_limit: int, *, fence: int = 0, timeout_s: float = 2.0
    ) -> int:
        """Let the workers of a node read so many bytes a second, 0: any; return how many there are.

        Raises:
            LeaseLost: the lease of this epoch has ended, or another has taken it over.
            InvalidRequest: the node is too old to know it.
        """
        address = await self._address(node_id)
        answer = await direct.call(
            self._calls.connections.to(address).node.SetWorkerRate,
            latency_pb2.SetWorkerRateRequest(epoch=epoch, fence=fence, rate_limit=rate_limit),
            address=address,
            operation="setting the rate of workers",
            timeout_s=timeout_s,
            metadata=self._calls.discovery.metadata,
        )
        return answer.workers

    async def transfer_leadership(self, to_node_id: int = 0) -> int:
        """Make another node the leader (0: the follower that is furthest) and return the new leader's id."""
        request = node_pb2.TransferLeadershipRequest(to_node_id=to_node_id)
        # Of a named node a second try finds it done; an unnamed one would move leadership once more.
        effect = Effect.SAME if to_node_id else Effect.TWICE
        attempts = self._calls.attempts("the transfer of leadership", effect)
        answer = await self._calls.unary(lambda node: node.node.TransferLeadership, request, attempts, to=To.LEADER)
        return answer.leader_id

    async def restore_node(
        self, address: str, request: RestoreNodeRequest, *, idle_s: float = STREAM_IDLE_S
    ) -> AsyncIterator[RestoreProgress]:
        """Have the node at an address, which waits for it, load a snapshot; it then starts in the new cluster."""
        answers = direct.read(
            self._calls.connections.to(address).node.Restore,
            request,
            address=address,
            operation="the restore",
            first_s=idle_s,
            idle_s=idle_s,
        )
        try:
            async for answer in answers:
                yield answer
        finally:
            await answers.aclose()

    async def _address(self, node_id: int) -> str:
        members = self._calls.routing.members
        if node_id not in members:
            answer = await self.members()
            members = {member.node_id: member.address for member in answer.members}
        if node_id not in members:
            raise UnknownNode(node_id=node_id, known=", ".join(map(str, sorted(members))))
        return members[node_id]
