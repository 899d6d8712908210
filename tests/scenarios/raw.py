"""The services of one node by raw stubs, for tests of what a node itself says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeVar

import grpc

from quiesce.errors import QuiesceError
from quiesce.rpc import error_of, open_channel
from quiesce.v1 import database_pb2_grpc, node_pb2, node_pb2_grpc, record_pb2_grpc

T = TypeVar("T")


class RawNode:
    """Stubs of the node at an address; an async context manager."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel = open_channel(address)
        self.node = node_pb2_grpc.NodeStub(self._channel)
        self.records = record_pb2_grpc.RecordsStub(self._channel)
        self.databases = database_pb2_grpc.DatabasesStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._channel.close()

    def begins(self, method: str, **call: Any) -> Any:
        """Begin a call whose request does not come."""
        return self._channel.stream_unary(method)(**call)

    async def status(self) -> node_pb2.NodeStatus | None:
        """Return what it says of itself, or None where it does not answer."""
        try:
            return await self.node.Status(node_pb2.StatusRequest(), timeout=1)
        except grpc.RpcError:
            return None

    async def is_in(self, *states: node_pb2.ServingState.ValueType, within_s: float = 20) -> node_pb2.NodeStatus:
        """Wait until it is in one of the states, and return what it says then."""

        async def reached() -> node_pb2.NodeStatus | None:
            status = await self.status()
            return status if status is not None and status.serving in states else None

        return await soon(reached, within_s, f"{self.address} in one of the states {states}")

    async def leads(self, within_s: float = 20) -> node_pb2.NodeStatus:
        """Wait until it leads."""

        async def reached() -> node_pb2.NodeStatus | None:
            status = await self.status()
            return status if status is not None and status.role == node_pb2.NODE_ROLE_LEADER else None

        return await soon(reached, within_s, f"{self.address} leads")


async def soon(found: Callable[[], Awaitable[T | None]], within_s: float, what: str) -> T:
    """Return the first result that is not None; fail when there is none in time."""
    deadline = time.monotonic() + within_s
    while (result := await found()) is None:
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(0.05)
    return result


async def typed(call: Awaitable[T]) -> T:
    """Await a call; its failure is raised as the typed error that it carried."""
    try:
        return await call
    except grpc.RpcError as error:
        raise error_of(error, addresses="the node of this test", operation="the call") from error


async def collected(stream: Any) -> list[Any]:
    """Read a stream to its end; as `typed`."""
    try:
        return [message async for message in stream]
    except grpc.RpcError as error:
        raise error_of(error, addresses="the node of this test", operation="the stream") from error


async def refusal(call: Awaitable[Any]) -> QuiesceError:
    """Return the typed error that a call ends with; fail where it succeeds."""
    try:
        answer = await typed(call)
    except QuiesceError as error:
        return error
    raise AssertionError(f"it was not refused: {answer}")
