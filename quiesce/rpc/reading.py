"""The reading of requests: so many at once, and large ones apart, so that small ones never wait for them.

How large a request is cannot be seen before it is here. But a small one has arrived with its call, so what takes longer
than a moment is large, or its way is slow.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio

from quiesce.rpc.limits import LARGE_REQUESTS, READ_AT_ONCE

Context = grpc.aio.ServicerContext[Any, Any]
MOMENT_S = 0.25
# Then it is given up.
LONGEST_S = 30.0


class Reading:
    """The places in which requests are read. Those who wait for one hold nothing but what came with the call."""

    def __init__(self) -> None:
        self.places = asyncio.Semaphore(READ_AT_ONCE)
        self.large = 0

    async def read(self, context: Context) -> Any:
        """Return the request of a call, or grpc.aio.EOF where there is none.

        Raises:
            TimeoutError: it is large and others are on their way already, or it does not come.
        """
        await self.places.acquire()
        request = _Request(self)
        try:
            async with request.scope:
                return await context.read()
        finally:
            request.end()


class _Request:
    __slots__ = ("_large", "_reading", "_timer", "scope")

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._large = False
        self.scope = asyncio.timeout(None)
        self._timer = asyncio.get_running_loop().call_later(MOMENT_S, self._look_again)

    def end(self) -> None:
        self._timer.cancel()
        if self._large:
            self._reading.large -= 1
        else:
            self._reading.places.release()

    def _look_again(self) -> None:
        # Where the loop was busy for that long, the request may be here, and its reader has its turn first.
        self._timer = asyncio.get_running_loop().call_later(MOMENT_S / 10, self._took_long)

    def _took_long(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._reading.large >= LARGE_REQUESTS:
            self.scope.reschedule(now)
            return
        self._large = True
        self._reading.large += 1
        self._reading.places.release()
        self.scope.reschedule(now + LONGEST_S)
