"""Readers who wait until this node has applied a log index."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

from quiesce.errors import DeadlineExceeded

# One look for all of them: what they wait for is on its way through the log, which takes longer.
_LOOK_S = 0.005


class AppliedIndexes:
    """Wakes each reader once its index is applied.

    Args:
        applied: the index that readers of this node see now.
    """

    def __init__(self, applied: Callable[[], int]) -> None:
        self._applied = applied
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._looking: asyncio.Task[None] | None = None

    async def wait(self, index: int, timeout_s: float) -> None:
        """Return when `index` is applied.

        Raises:
            DeadlineExceeded: it was not in time; it may be of another cluster, or this node is behind.
        """
        if self._applied() >= index:
            return
        reader: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (index, next(self._order), reader))
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            async with asyncio.timeout(timeout_s):
                await reader
        except TimeoutError as error:
            operation = f"waiting for log index {index}, at {self._applied()} now,"
            raise DeadlineExceeded(operation=operation, seconds=f"{timeout_s:g}") from error
        finally:
            # Those who gave up wait for an index that may never come: they are not to be kept until then.
            if reader.cancelled():
                self._waiting = [entry for entry in self._waiting if entry[2] is not reader]
                heapq.heapify(self._waiting)

    async def _look(self) -> None:
        while self._waiting:
            await asyncio.sleep(_LOOK_S)
            applied = self._applied()
            while self._waiting and self._waiting[0][0] <= applied:
                reader = heapq.heappop(self._waiting)[2]
                if not reader.done():
                    reader.set_result(None)
        self._looking = None
