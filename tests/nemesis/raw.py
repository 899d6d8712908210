"""Calls to one node, with nothing in between: no routing, no retry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

from quiesce import RID
from quiesce.client import direct
from quiesce.client.connections import Connections
from quiesce.v1 import node_pb2, record_pb2
from quiesce.v1.record_pb2 import (
    GetResponse,
    LookupResponse,
    OpenSessionResponse,
    ReadConsistency,
    ScanResponse,
    WriteRequest,
    WriteResponse,
)
from tests.nemesis.nodes import Nodes

STALE = record_pb2.READ_CONSISTENCY_STALE
LINEARIZABLE = record_pb2.READ_CONSISTENCY_LINEARIZABLE


class Raw:
    """A client that chooses its node itself. Its calls raise QuiesceError."""

    def __init__(self, nodes: Nodes, random: Random) -> None:
        self._nodes = nodes
        self._addresses = nodes.addresses
        self._random = random
        self._connections = Connections()

    async def close(self) -> None:
        await self._connections.close()

    def any_node(self) -> int:
        return self._random.choice(self._nodes.ids)

    async def status(self, node: int, timeout_s: float = 1.0) -> node_pb2.NodeStatus:
        address = self._addresses[node]
        call = self._connections.to(address).node.Status
        request = node_pb2.StatusRequest()
        return await direct.call(call, request, address=address, operation="status", timeout_s=timeout_s)

    async def transfer(self, leader: int, to: int, timeout_s: float = 5.0) -> int:
        address = self._addresses[leader]
        call = self._connections.to(address).node.TransferLeadership
        request = node_pb2.TransferLeadershipRequest(to_node_id=to)
        answer = await direct.call(call, request, address=address, operation="transfer", timeout_s=timeout_s)
        return answer.leader_id

    async def get(
        self,
        node: int,
        database: str,
        ids: Iterable[RID],
        consistency: ReadConsistency.ValueType,
        timeout_s: float = 2.0,
    ) -> GetResponse:
        address = self._addresses[node]
        request = record_pb2.GetRequest(database=database, ids=[rid.message() for rid in ids], consistency=consistency)
        call = self._connections.to(address).records.Get
        return await direct.call(call, request, address=address, operation="get", timeout_s=timeout_s)

    async def lookup(self, node: int, database: str, index: str, key: bytes, timeout_s: float = 2.0) -> LookupResponse:
        address = self._addresses[node]
        request = record_pb2.LookupRequest(database=database, index_name=index, keys=[key], consistency=LINEARIZABLE)
        call = self._connections.to(address).records.Lookup
        return await direct.call(call, request, address=address, operation="lookup", timeout_s=timeout_s)

    async def write(self, node: int, request: WriteRequest, timeout_s: float = 3.0) -> WriteResponse:
        address = self._addresses[node]
        call = self._connections.to(address).records.Write
        return await direct.call(call, request, address=address, operation="write", timeout_s=timeout_s)

    async def open_session(self, node: int, timeout_s: float = 3.0) -> OpenSessionResponse:
        address = self._addresses[node]
        call = self._connections.to(address).records.OpenSession
        request = record_pb2.OpenSessionRequest(client="nemesis")
        return await direct.call(call, request, address=address, operation="session", timeout_s=timeout_s)

    async def scan(
        self, node: int, database: str, consistency: ReadConsistency.ValueType, timeout_s: float = 5.0
    ) -> Sequence[ScanResponse]:
        address = self._addresses[node]
        request = record_pb2.ScanRequest(database=database, whole_database=True, consistency=consistency)
        batches = direct.read(
            self._connections.to(address).records.Scan,
            request,
            address=address,
            operation="scan",
            first_s=timeout_s,
            idle_s=timeout_s,
        )
        return [batch async for batch in batches]
