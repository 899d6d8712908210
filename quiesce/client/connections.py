"""One connection for each node a client talks to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc.aio

from quiesce.rpc import open_channel
from quiesce.v1 import database_pb2_grpc, node_pb2_grpc, record_pb2_grpc
from quiesce.v1.record_pb2 import ScanRequest

if TYPE_CHECKING:
    from grpc.aio import UnaryStreamMultiCallable

    from quiesce.v1.database_pb2_grpc import DatabasesAsyncStub
    from quiesce.v1.node_pb2_grpc import NodeAsyncStub
    from quiesce.v1.record_pb2_grpc import RecordsAsyncStub


class Connection:
    """The services of one node."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.records: RecordsAsyncStub = record_pb2_grpc.RecordsStub(channel)
        # Its answers as they come: ScanResponses on the wire.
        self.packed_scan: UnaryStreamMultiCallable[ScanRequest, bytes] = channel.unary_stream(
            "/quiesce.v1.Records/Scan", request_serializer=ScanRequest.SerializeToString
        )
        self.databases: DatabasesAsyncStub = database_pb2_grpc.DatabasesStub(channel)
        self.node: NodeAsyncStub = node_pb2_grpc.NodeStub(channel)


class Connections:
    """The connections by address, opened when they are first asked for."""

    def __init__(self) -> None:
        self._open: dict[str, Connection] = {}
        self._closed = False

    def to(self, address: str) -> Connection:
        """Return the connection to an address."""
        connection = self._open.get(address)
        if connection is None:
            if self._closed:
                raise RuntimeError("the client is closed")
            connection = self._open[address] = Connection(open_channel(address))
        return connection

    async def close(self) -> None:
        """Cut all of them; calls that still run are cancelled."""
        self._closed = True
        opened, self._open = list(self._open.values()), {}
        await asyncio.gather(*(connection.channel.close() for connection in opened))
