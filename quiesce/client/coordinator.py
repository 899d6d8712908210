"""What the clients of a coordinator's services have in common: connections, and calls that find the one that leads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from quiesce.client import direct
from quiesce.client.addresses import split_addresses
from quiesce.errors import InvalidRequest, NotLeading, QuiesceError, Unavailable
from quiesce.rpc import open_channel

if TYPE_CHECKING:
    import grpc.aio
    from grpc.aio import UnaryStreamMultiCallable, UnaryUnaryMultiCallable

Stub = TypeVar("Stub")
Request = TypeVar("Request")
Answer = TypeVar("Answer")

# How long another coordinator may take to lead when the one that led is gone.
FAILOVER_S = 20.0
_PAUSE_S = 0.3


class CoordinatorClient(Generic[Stub]):
    """A client of one coordinator or of several, of which one leads; each connection is made when it is first used.

    Args:
        addresses: `host:port` of each, with commas between them.
        timeout_s: seconds for a call.
        make_stub: makes the stub of the service.
    """

    def __init__(self, addresses: str, timeout_s: float, make_stub: Callable[[grpc.aio.Channel], Stub]) -> None:
        self._addresses = split_addresses(addresses)
        self._timeout_s = timeout_s
        self._make_stub = make_stub
        self._address = self._addresses[0]
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._stubs: dict[str, Stub] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Cut what still runs, and the connections."""
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))

    async def _call(
        self, method: Callable[[Stub], UnaryUnaryMultiCallable[Request, Answer]], request: Request, operation: str
    ) -> Answer:
        deadline = time.monotonic() + FAILOVER_S
        while True:
            try:
                return await direct.call(
                    method(self._stub()),
                    request,
                    address=self._address,
                    operation=operation,
                    timeout_s=self._timeout_s,
                )
            except (NotLeading, Unavailable) as error:
                await self._move_on(error, deadline)

    async def _read(
        self,
        method: Callable[[Stub], UnaryStreamMultiCallable[Request, Answer]],
        request: Request,
        operation: str,
        idle_s: float,
    ) -> AsyncGenerator[Answer, None]:
        deadline = time.monotonic() + FAILOVER_S
        while True:
            answers = direct.read(
                method(self._stub()),
                request,
                address=self._address,
                operation=operation,
                first_s=idle_s,
                idle_s=idle_s,
            )
            answered = False
            try:
                async for answer in answers:
                    answered = True
                    yield answer
            except (NotLeading, Unavailable) as error:
                if answered:
                    raise
                await self._move_on(error, deadline)
            else:
                return
            finally:
                await answers.aclose()

    def _stub(self) -> Stub:
        if self._address not in self._stubs:
            self._channels[self._address] = open_channel(self._address)
            self._stubs[self._address] = self._make_stub(self._channels[self._address])
        return self._stubs[self._address]

    async def _move_on(self, error: NotLeading | Unavailable, deadline: float) -> None:
        """Turn to another coordinator after one that did nothing; raise `error` where it may have, or time is over."""
        waits = isinstance(error, NotLeading) or (len(self._addresses) > 1 and direct.never_sent(error))
        if not waits or time.monotonic() >= deadline:
            raise error
        self.turn_to_another(error)
        await asyncio.sleep(_PAUSE_S)

    def turn_to_another(self, error: QuiesceError) -> None:
        """Ask the coordinator next that `error` says leads, or else the next one of those that were named."""
        try:
            (self._address,) = split_addresses([error.fields.get("leader_address", "")])
        except InvalidRequest:
            known = self._addresses
            at = known.index(self._address) if self._address in known else -1
            self._address = known[(at + 1) % len(known)]
