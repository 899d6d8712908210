"""Places for large answers: a few are made and sent at a time, since each is in memory three times on its way out."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from nodes.service.calls import Calls, Context
from quiesce.rpc.limits import LARGE_ANSWERS

# Callers that do not take their answers must not keep the others waiting to the end of their time.
PATIENCE_S = 2.0


class LargeAnswers:
    """Who makes a large answer has a place until the caller has taken it, or is gone."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._places = asyncio.Semaphore(LARGE_ANSWERS)
        self.waiting = 0

    async def enter(self, context: Context) -> None:
        """Wait for a place, which is given back at the end of the call.

        Raises:
            Overloaded: none became free.
        """
        self.waiting += 1
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._places.acquire()
        except TimeoutError:
            raise self._calls.overloaded(self.waiting) from None
        finally:
            self.waiting -= 1
        context.add_done_callback(cast("Any", lambda _: self._places.release()))
