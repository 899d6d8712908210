"""Makes calls: chooses a node, tries, learns from what comes back, tries elsewhere, until the time is over."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, TypeVar

from quiesce.client import direct
from quiesce.client.addresses import split_addresses
from quiesce.client.attempts import Attempts, Effect
from quiesce.client.connections import Connection, Connections
from quiesce.client.discovery import Discovery
from quiesce.client.routing import Answered, Routing, To
from quiesce.errors import QuiesceError

if TYPE_CHECKING:
    from grpc.aio import UnaryStreamMultiCallable, UnaryUnaryMultiCallable

Request = TypeVar("Request")
Answer = TypeVar("Answer")

ATTEMPT_TIMEOUT_S = 2.0


class Calls:
    """The calls of one client to one cluster."""

    def __init__(self, addresses: str | Sequence[str], *, timeout_s: float, attempt_timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._attempt_timeout_s = attempt_timeout_s
        self._random = Random()  # noqa: S311  spreads load, guards nothing
        self.connections = Connections()
        self.routing = Routing(split_addresses(addresses), self._random)
        self.discovery = Discovery(self.routing, self.connections)

    async def close(self) -> None:
        """Cut what still runs."""
        await self.discovery.close()
        await self.connections.close()

    def attempts(self, operation: str, effect: Effect, timeout_s: float | None = None) -> Attempts:
        """Return the attempts of a call that begins now; `operation` is named in errors."""
        total_s = self.timeout_s if timeout_s is None else timeout_s
        return Attempts(operation, effect, time.monotonic(), total_s, self._attempt_timeout_s, self._random)

    async def unary(
        self,
        select: Callable[[Connection], UnaryUnaryMultiCallable[Request, Answer]],
        request: Request,
        attempts: Attempts,
        *,
        to: To = To.SERVING,
    ) -> Answer:
        """Call until there is an answer, a lasting error, or no time."""
        await self.discovery.ready(attempts)
        self.discovery.keep_up()
        while True:
            address = await self._next(to, attempts)
            limit_s = attempts.start(time.monotonic())
            try:
                answer = await direct.call(
                    select(self.connections.to(address)),
                    request,
                    address=address,
                    operation=attempts.operation,
                    timeout_s=limit_s,
                    metadata=self.discovery.metadata,
                )
            except QuiesceError as error:
                self._react(attempts, address, error)
            else:
                self.routing.step(Answered(address), time.monotonic())
                return answer

    async def stream(
        self,
        select: Callable[[Connection], UnaryStreamMultiCallable[Request, Answer]],
        request: Request,
        attempts: Attempts,
        *,
        to: To = To.SERVING,
    ) -> AsyncGenerator[Answer, None]:
        """Stream answers; goes to another node only before the first one has come.

        The time of the call counts until the first answer, and again from each answer to the next.
        """
        await self.discovery.ready(attempts)
        self.discovery.keep_up()
        while True:
            address = await self._next(to, attempts)
            answers = direct.read(
                select(self.connections.to(address)),
                request,
                address=address,
                operation=attempts.operation,
                first_s=attempts.start(time.monotonic()),
                idle_s=attempts.timeout_s,
                metadata=self.discovery.metadata,
            )
            delivered = False
            try:
                async for answer in answers:
                    if not delivered:
                        delivered = True
                        self.routing.step(Answered(address), time.monotonic())
                    yield answer
                return
            except QuiesceError as error:
                self._react(attempts, address, error)
                if delivered:
                    raise
            finally:
                await answers.aclose()

    async def _next(self, to: To, attempts: Attempts) -> str:
        """Return the node to ask, when it is time to."""
        address = self.routing.choose(to, time.monotonic(), attempts.tried)
        while address is None:
            await attempts.pause()
            attempts.tried.clear()
            address = self.routing.choose(to, time.monotonic())
        attempts.tried.add(address)
        return address

    def _react(self, attempts: Attempts, address: str, error: QuiesceError) -> None:
        """Learn from a failed attempt; raise unless another one makes sense."""
        now_s = time.monotonic()
        again = attempts.learn(self.routing, address, error, now_s)
        if self.routing.blocked(now_s):
            self.discovery.watch()
        if self.routing.doubtful:
            self.discovery.keep_up()
        if not again:
            raise attempts.verdict(error)
