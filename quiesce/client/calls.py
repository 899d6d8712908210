"""Makes calls: chooses a node, tries, learns from what comes back, tries elsewhere, until the time is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, TypeVar

import grpc.aio

from quiesce.client.attempts import Attempts, Effect, Reaction
from quiesce.client.connections import Connection, Connections
from quiesce.client.discovery import Discovery
from quiesce.client.routing import Answered, Routing, To
from quiesce.errors import DeadlineExceeded, InvalidRequest, QuiesceError, Unavailable
from quiesce.rpc import error_of

if TYPE_CHECKING:
    UnaryMethod = grpc.aio.UnaryUnaryMultiCallable
    StreamMethod = grpc.aio.UnaryStreamMultiCallable

Request = TypeVar("Request")
Answer = TypeVar("Answer")

ATTEMPT_TIMEOUT_S = 2.0


def split_addresses(addresses: str | Sequence[str]) -> list[str]:
    """Return the addresses of a list, or of a text with commas between them.

    Raises:
        InvalidRequest: there are none, or one is not `host:port`.
    """
    listed = addresses.split(",") if isinstance(addresses, str) else addresses
    found = [address.strip() for address in listed if address.strip()]
    if not found:
        raise InvalidRequest(detail="no address of a node is given; one looks like 127.0.0.1:7101")
    for address in found:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65_536:
            raise InvalidRequest(detail=f"`{address}` is not an address; one looks like 127.0.0.1:7101")
    return list(dict.fromkeys(found))


class Calls:
    """The calls of one client to one cluster."""

    def __init__(self, addresses: str | Sequence[str], *, timeout_s: float, attempt_timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._attempt_timeout_s = attempt_timeout_s
        self._random = Random()  # noqa: S311  spreads load, guards nothing
        self.connections = Connections()
        self.routing = Routing(split_addresses(addresses), self._random)
        self.discovery = Discovery(self.routing, self.connections)

    @property
    def cluster_id(self) -> str | None:
        """The id of the cluster, once known."""
        return self.discovery.cluster_id

    async def close(self) -> None:
        """Cut what still runs."""
        await self.discovery.close()
        await self.connections.close()

    async def unary(
        self,
        select: Callable[[Connection], UnaryMethod[Request, Answer]],
        request: Request,
        *,
        operation: str,
        to: To = To.SERVING,
        effect: Effect = Effect.NONE,
        timeout_s: float | None = None,
        attempts: Attempts | None = None,
    ) -> Answer:
        """Call until there is an answer, a lasting error, or no time.

        Args:
            select: the method of a connection.
            request: what to send.
            operation: named in errors.
            to: who may answer.
            effect: what a second try after a lost answer would do.
            timeout_s: seconds, instead of the client's.
            attempts: the attempts so far, to go on with them or look at them afterwards.
        """
        attempts = attempts or self.attempts(operation, effect, timeout_s)
        await self.discovery.ready(attempts.remaining_s(time.monotonic()))
        metadata = self.discovery.metadata
        while True:
            address = await self._next(to, attempts)
            limit_s = attempts.start(time.monotonic())
            try:
                answer = await select(self.connections.to(address))(request, timeout=limit_s, metadata=metadata)
            except grpc.aio.AioRpcError as failed:
                error = error_of(failed, addresses=address, seconds=limit_s, operation=operation)
                await self._react(attempts, address, error)
            else:
                self.routing.step(Answered(address), time.monotonic())
                return answer

    async def stream(
        self,
        select: Callable[[Connection], StreamMethod[Request, Answer]],
        request: Request,
        *,
        operation: str,
        to: To = To.SERVING,
        effect: Effect = Effect.NONE,
        timeout_s: float | None = None,
    ) -> AsyncIterator[Answer]:
        """Stream answers; goes to another node only before the first one has come.

        Args:
            select: the method of a connection.
            request: what to send.
            operation: named in errors.
            to: who may answer.
            effect: what a second try after a lost answer would do.
            timeout_s: seconds until the first answer, with all attempts, and from one answer to the next.
        """
        attempts = self.attempts(operation, effect, timeout_s)
        await self.discovery.ready(attempts.remaining_s(time.monotonic()))
        while True:
            address = await self._next(to, attempts)
            limit_s = attempts.start(time.monotonic())
            answers = self._read(address, select, request, limit_s, timeout_s or self.timeout_s, operation)
            delivered = False
            try:
                async for answer in answers:
                    if not delivered:
                        self.routing.step(Answered(address), time.monotonic())
                    delivered = True
                    yield answer
                return
            except QuiesceError as error:
                if delivered:
                    attempts.learn(self.routing, address, error, time.monotonic())
                    self.discovery.watch()
                    raise
                await self._react(attempts, address, error)
            finally:
                await answers.aclose()

    def attempts(self, operation: str, effect: Effect, timeout_s: float | None = None) -> Attempts:
        """Return the attempts of a call that begins now."""
        total_s = self.timeout_s if timeout_s is None else timeout_s
        return Attempts(operation, effect, time.monotonic(), total_s, self._attempt_timeout_s, self._random)

    async def unary_at(
        self,
        address: str,
        select: Callable[[Connection], UnaryMethod[Request, Answer]],
        request: Request,
        *,
        operation: str,
        timeout_s: float | None = None,
        pinned: bool = True,
    ) -> Answer:
        """Call one node, once; `pinned`: it must be of this cluster."""
        limit_s = timeout_s or self.timeout_s
        metadata = self.discovery.metadata if pinned else ()
        try:
            return await select(self.connections.to(address))(request, timeout=limit_s, metadata=metadata)
        except grpc.aio.AioRpcError as failed:
            raise error_of(failed, addresses=address, seconds=limit_s, operation=operation) from None

    async def stream_at(
        self,
        address: str,
        select: Callable[[Connection], StreamMethod[Request, Answer]],
        request: Request,
        *,
        operation: str,
        timeout_s: float,
        pinned: bool = True,
    ) -> AsyncIterator[Answer]:
        """Stream answers of one node; at most `timeout_s` seconds from one to the next."""
        answers = self._read(address, select, request, timeout_s, timeout_s, operation, pinned=pinned)
        try:
            async for answer in answers:
                yield answer
        finally:
            await answers.aclose()

    async def _next(self, to: To, attempts: Attempts) -> str:
        """Return the node to ask, when it is time to."""
        choice = self.routing.choose(to, time.monotonic(), attempts.tried)
        if choice is None:
            await attempts.pause(self.routing)
            attempts.tried.clear()
            choice = self.routing.choose(to, time.monotonic())
        if choice is None:
            raise AssertionError
        if choice.wait_s > 0:
            await attempts.pause(self.routing, choice.wait_s)
        attempts.tried.add(choice.address)
        return choice.address

    async def _react(self, attempts: Attempts, address: str, error: QuiesceError) -> None: ...

    async def _read(
        self,
        address: str,
        select: Callable[[Connection], StreamMethod[Request, Answer]],
        request: Request,
        first_s: float,
        idle_s: float,
        operation: str,
        *,
        pinned: bool = True,
    ) -> AsyncIterator[Answer]:
        yield  # type: ignore[misc]
