"""What a founding node answers: who it is, that it is there, and to clients that there is no leader yet."""
# ruff: noqa: N802

from __future__ import annotations

import asyncio
from typing import Any

from nodes.founding.meeting import Meeting
from nodes.identity import Identity
from nodes.service.calls import Context
from quiesce.errors import DiskFailed, InvalidRequest, NoLeader, Unavailable, WrongCluster
from quiesce.rpc import typed_errors
from quiesce.v1 import node_pb2, node_pb2_grpc
from quiesce.v1.peer_pb2 import MeetRequest, MeetResponse
from quiesce.v1.peer_pb2_grpc import PeerServicer


class FoundingPeer(PeerServicer):
    """Answers other founders, and nothing else of the consensus: no vote, no acknowledgement."""

    def __init__(self, identity: Identity, address: str, meeting: Meeting) -> None:
        self._identity = identity
        self._address = address
        self._meeting = meeting
        # Ends with the error of a disk that did not take down who was answered.
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @typed_errors
    async def Meet(self, request: MeetRequest, _context: Context) -> MeetResponse:
        """Say whether this node takes part; that it does not is said once it is written down to whom."""
        own, founders = self._identity, sorted(self._identity.members)
        if request.cluster_id != own.cluster_id:
            raise WrongCluster(actual=own.cluster_id, expected=request.cluster_id)
        if sorted(request.founder_ids) != founders:
            detail = f"node {own.node_id} is to begin with the nodes {founders}, the other with {request.founder_ids}"
            raise InvalidRequest(detail=detail)
        if request.from_node_id not in self._identity.members:
            raise InvalidRequest(detail=f"node {request.from_node_id} is not one of {founders}")
        try:
            founded = await asyncio.to_thread(self._meeting.answer, request.from_node_id)
        except DiskFailed as error:
            if not self.failed.done():
                self.failed.set_exception(error)
            raise
        return MeetResponse(founded=founded)

    async def _later(self, _request: Any, _context: Context) -> Any:
        raise Unavailable(addresses=self._address, seconds=0, detail="the node waits for the other founders")

    later: Any = typed_errors(_later)
    Raft = InstallSnapshot = SnapshotProgress = later


class FoundingNode(node_pb2_grpc.NodeServicer):
    """Tells who this node is; the rest needs a leader."""

    def __init__(self, identity: Identity, address: str, version: str) -> None:
        self._identity = identity
        self._address = address
        self._version = version

    @typed_errors
    async def Status(self, _request: node_pb2.StatusRequest, _context: Context) -> node_pb2.NodeStatus:
        """Tell that it is there and has no leader."""
        return node_pb2.NodeStatus(
            node_id=self._identity.node_id,
            cluster_id=self._identity.cluster_id,
            address=self._address,
            role=node_pb2.NODE_ROLE_FOLLOWER,
            serving=node_pb2.SERVING_STATE_CATCHING_UP,
            version=self._version,
            members=self._members(),
        )

    @typed_errors
    async def Members(self, _request: node_pb2.MembersRequest, _context: Context) -> node_pb2.MembersResponse:
        """Tell who the founders are."""
        return node_pb2.MembersResponse(members=self._members(), cluster_id=self._identity.cluster_id)

    def _members(self) -> list[node_pb2.Member]:
        return [node_pb2.Member(node_id=node, address=at) for node, at in sorted(self._identity.members.items())]

    async def _refuse(self, _request: Any, _context: Context) -> Any:
        raise NoLeader

    refuse: Any = typed_errors(_refuse)
    TransferLeadership = Drain = RenewDrain = Undrain = Restore = refuse
    AddNode = PromoteNode = RemoveNode = ChangeNodeAddress = refuse
    Checkpoint = DropCheckpoint = TakeSnapshot = PrepareMark = Attest = refuse
    ClientLatency = SetWorkerRate = refuse
