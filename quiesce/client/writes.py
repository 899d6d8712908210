"""Writes, each applied exactly once however often it must be sent."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable

from quiesce.client.attempts import Attempts, Effect
from quiesce.client.calls import Calls
from quiesce.client.routing import To
from quiesce.client.session import WINDOW, Session
from quiesce.errors import OutcomeUnknown, Overloaded, QuiesceError, SessionExpired
from quiesce.v1.record_pb2 import OpenSessionRequest, Operation, WriteRequest, WriteResponse


class Writes:
    """The writes of one client, in one session at a time."""

    def __init__(self, calls: Calls, name: str) -> None:
        self._calls = calls
        self._name = name
        self._session: Session | None = None
        self._opening: asyncio.Task[QuiesceError | None] | None = None
        # Those who wait for room, first come first served.
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def write(self, database: str, operations: Iterable[Operation], timeout_s: float | None) -> WriteResponse:
        """Apply a transaction; see AsyncClient.write."""
        attempts = self._calls.attempts("the write", Effect.SAME, timeout_s)
        request = WriteRequest(database=database, operations=operations)
        while True:
            session = await self._room(attempts)
            request.session_id = session.session_id
            request.sequence = session.begin()
            request.acknowledged_through = session.acknowledged_through
            try:
                return await self._calls.unary(lambda node: node.records.Write, request, attempts, to=To.LEADER)
            except SessionExpired as error:
                if self._session is session:
                    self._session = None
                if attempts.unsure:
                    # The first try may have been applied before the session was forgotten.
                    raise OutcomeUnknown(detail=error.message()) from None
            finally:
                session.settle(request.sequence)
                self._wake()

    async def close(self) -> None:
        """End what is being opened."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})

    async def _room(self, attempts: Attempts) -> Session:
        """Return the session once it has room for a write."""
        while (session := self._session) is None or session.room <= 0:
            if session is None:
                await self._opened(attempts)
                continue
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                async with asyncio.timeout(attempts.remaining_s(time.monotonic())):
                    await turn
            except TimeoutError:
                raise Overloaded(node_id="(this client)", waiting=WINDOW, retry_ms=100) from None
            finally:
                if not turn.done() or turn.cancelled():
                    self._waiting.remove(turn)
        return session

    def _wake(self) -> None:
        """Let as many go on as there is room for."""
        room = WINDOW if self._session is None else self._session.room
        while self._waiting and room > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                room -= 1

    async def _opened(self, attempts: Attempts) -> None:
        """Wait until there is a session; many writes that begin together share one."""
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
        opening = self._opening
        await asyncio.wait({opening}, timeout=attempts.remaining_s(time.monotonic()))
        if opening.done() and (error := opening.result()) is not None:
            raise error

    async def _open(self) -> QuiesceError | None:
        # A second try of this leaves a session that nobody uses, and that expires.
        attempts = self._calls.attempts("opening a session", Effect.NONE)
        request = OpenSessionRequest(client=self._name)
        try:
            opened = await self._calls.unary(lambda node: node.records.OpenSession, request, attempts, to=To.LEADER)
        except QuiesceError as error:
            return error
        self._session = Session(opened.session_id)
        return None
