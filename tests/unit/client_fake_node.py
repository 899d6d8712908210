"""A node's services in the test's own process, which misbehave as a test asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc.aio

from quiesce.errors import NotLeader, QuiesceError, SessionExpired, WrongCluster
from quiesce.rpc import open_server, typed_errors
from quiesce.rpc.server import Server
from quiesce.v1 import database_pb2, database_pb2_grpc, node_pb2, node_pb2_grpc, record_pb2, record_pb2_grpc

Trouble = Callable[[], Awaitable[None]]


class FakeCluster:
    """What the nodes share: members, leader, sessions with their outcomes."""

    def __init__(self) -> None:
        self.nodes: list[FakeNode] = []
        self.leader_id = 1
        self.cluster_id = "c1"
        self.index = 0
        self.sessions: dict[int, dict[int, record_pb2.WriteResponse]] = {}
        # What was applied, in order: (session, sequence).
        self.applied: list[tuple[int, int]] = []
        self.acknowledged: list[int] = []
        # What scans asked for.
        self.min_indexes: list[int] = []

    @property
    def addresses(self) -> list[str]:
        return [node.address for node in self.nodes]

    async def start(self, count: int = 3) -> None:
        for node_id in range(1, count + 1):
            node = FakeNode(self, node_id)
            await node.start()
            self.nodes.append(node)

    async def stop(self) -> None:
        await asyncio.gather(*(node.stop() for node in self.nodes))

    def write(self, request: record_pb2.WriteRequest) -> record_pb2.WriteResponse:
        session = self.sessions.get(request.session_id)
        if session is None:
            raise SessionExpired(session_id=request.session_id)
        self.acknowledged.append(request.acknowledged_through)
        for sequence in [known for known in session if known <= request.acknowledged_through]:
            del session[sequence]
        if request.sequence not in session:
            self.index += 1
            self.applied.append((request.session_id, request.sequence))
            session[request.sequence] = record_pb2.WriteResponse(index=self.index)
        return session[request.sequence]


class FakeNode:
    """One node. `trouble[method]` holds what to do to the next calls of it, before and after their effect."""

    def __init__(self, cluster: FakeCluster, node_id: int) -> None:
        self.cluster = cluster
        self.node_id = node_id
        self.calls: list[str] = []
        self.before: dict[str, list[Trouble]] = {}
        self.after: dict[str, list[Trouble]] = {}
        self.serving = node_pb2.SERVING_STATE_SERVING
        self.batches = 3
        self._server: Server | None = None
        self.address = "127.0.0.1:0"

    async def start(self) -> None:
        server = open_server(self.address)
        record_pb2_grpc.add_RecordsServicer_to_server(_Records(self), server.grpc)
        node_pb2_grpc.add_NodeServicer_to_server(_Node(self), server.grpc)
        database_pb2_grpc.add_DatabasesServicer_to_server(_Databases(self), server.grpc)
        self.address = f"127.0.0.1:{await server.start([])}"
        self._server = server

    async def stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(0)

    async def enter(self, method: str, context: Any) -> None:
        self.calls.append(method)
        sent = dict(context.invocation_metadata() or ()).get("quiesce-cluster-id")
        if sent is not None and sent != self.cluster.cluster_id:
            raise WrongCluster(actual=self.cluster.cluster_id, expected=sent)
        if troubles := self.before.get(method):
            await troubles.pop(0)()

    async def leave(self, method: str) -> None:
        if troubles := self.after.get(method):
            await troubles.pop(0)()

    def lead(self) -> None:
        if self.cluster.leader_id != self.node_id:
            leader = next((n.address for n in self.cluster.nodes if n.node_id == self.cluster.leader_id), "")
            raise NotLeader(node_id=self.node_id, leader_address=leader)


def refuse(error: QuiesceError) -> Trouble:
    async def trouble() -> None:
        raise error

    return trouble


def hang(seconds: float = 30.0) -> Trouble:
    async def trouble() -> None:
        await asyncio.sleep(seconds)

    return trouble


def lose(context_error: str = "the connection broke") -> Trouble:
    """The answer never arrives; the client sees a bare UNAVAILABLE, as when a connection breaks."""

    async def trouble() -> None:
        raise _Lost(context_error)

    return trouble


class _Lost(Exception):
    pass


class _Services:
    def __init__(self, node: FakeNode) -> None:
        self._node = node

    async def _unary(self, method: str, context: Any, work: Callable[[], Any]) -> Any:
        node = self._node
        try:
            await node.enter(method, context)
            answer = work()
            await node.leave(method)
        except _Lost as lost:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(lost))
        return answer


class _Records(_Services, record_pb2_grpc.RecordsServicer):
    @typed_errors
    async def Get(self, request: record_pb2.GetRequest, context: Any) -> record_pb2.GetResponse:  # noqa: N802
        records = [
            record_pb2.Record(cluster=i.cluster, position=i.position, version=1, kind=1, body=b"{}")
            for i in request.ids
        ]
        return await self._unary("Get", context, lambda: record_pb2.GetResponse(index=1, records=records))

    @typed_errors
    async def Write(self, request: record_pb2.WriteRequest, context: Any) -> record_pb2.WriteResponse:  # noqa: N802
        def work() -> record_pb2.WriteResponse:
            self._node.lead()
            return self._node.cluster.write(request)

        return await self._unary("Write", context, work)

    @typed_errors
    async def OpenSession(self, request: Any, context: Any) -> record_pb2.OpenSessionResponse:  # noqa: N802
        def work() -> record_pb2.OpenSessionResponse:
            self._node.lead()
            cluster = self._node.cluster
            cluster.index += 1
            cluster.sessions[cluster.index] = {}
            return record_pb2.OpenSessionResponse(session_id=cluster.index)

        return await self._unary("OpenSession", context, work)

    @typed_errors
    async def Scan(self, request: record_pb2.ScanRequest, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        node = self._node
        try:
            await node.enter("Scan", context)
            node.cluster.min_indexes.append(request.min_index)
            first = request.after.position + 1 if request.HasField("after") else 0
            for position in range(first, node.batches):
                yield record_pb2.ScanResponse(index=41, records=[record_pb2.Record(cluster=9, position=position)])
                await node.leave("Scan")
        except _Lost as lost:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(lost))


class _Databases(_Services, database_pb2_grpc.DatabasesServicer):
    @typed_errors
    async def CreateDatabase(self, request: Any, context: Any) -> database_pb2.Database:  # noqa: N802
        def work() -> database_pb2.Database:
            self._node.lead()
            return database_pb2.Database(name=request.name)

        return await self._unary("CreateDatabase", context, work)


class _Node(_Services, node_pb2_grpc.NodeServicer):
    @typed_errors
    async def Members(self, request: Any, context: Any) -> node_pb2.MembersResponse:  # noqa: N802
        cluster = self._node.cluster
        members = [node_pb2.Member(node_id=node.node_id, address=node.address) for node in cluster.nodes]
        answer = node_pb2.MembersResponse(members=members, leader_id=cluster.leader_id, cluster_id=cluster.cluster_id)
        return await self._unary("Members", context, lambda: answer)

    @typed_errors
    async def Status(self, request: Any, context: Any) -> node_pb2.NodeStatus:  # noqa: N802
        status = node_pb2.NodeStatus(node_id=self._node.node_id, serving=self._node.serving)
        return await self._unary("Status", context, lambda: status)
