"""What the clients of a coordinator's services have in common: the connection, and a call over it."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from quiesce.client import direct
from quiesce.client.addresses import split_addresses
from quiesce.rpc import open_channel

if TYPE_CHECKING:
    from grpc.aio import UnaryUnaryMultiCallable

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class CoordinatorClient:
    """A connection to the coordinator at `host:port`; it is made when it is first used."""

    def __init__(self, address: str, timeout_s: float) -> None:
        (self._address,) = split_addresses([address])
        self._timeout_s = timeout_s
        self._channel = open_channel(self._address)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Cut what still runs, and the connection."""
        await self._channel.close()

    async def _call(self, method: UnaryUnaryMultiCallable[Request, Answer], request: Request, operation: str) -> Answer:
        return await direct.call(method, request, address=self._address, operation=operation, timeout_s=self._timeout_s)
