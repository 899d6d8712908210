"""A bounded number of tasks at once, the first failure of which ends all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")


class InFlight(Generic[T]):
    """Runs coroutines, `limit` at once, each for an item. Leaving the block cancels what still runs."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tasks: dict[asyncio.Task[None], T] = {}
        self._failed: T | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await self.settle()

    @property
    def failed(self) -> T:
        """The item whose failure was raised."""
        assert self._failed is not None  # noqa: S101 - asked only after a failure
        return self._failed

    async def start(self, work: Coroutine[Any, Any, None], item: T) -> None:
        """Start work as soon as there is room. Raises what earlier work raised."""
        try:
            while len(self._tasks) >= self._limit:
                await self._next()
        except BaseException:
            work.close()
            raise
        self._tasks[asyncio.create_task(work)] = item

    async def finish(self) -> None:
        """Wait for all work. Raises what one of them raised."""
        while self._tasks:
            await self._next()

    async def settle(self) -> None:
        """Wait for all work and forget how it ended."""
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _next(self) -> None:
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            item = self._tasks.pop(task)
            if task.exception() is not None:
                self._failed = item
            task.result()
