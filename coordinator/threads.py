"""Calls that block, beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from quiesce.errors import RepositoryUnusable

Result = TypeVar("Result")

# A file system that hangs must not take all threads there are.
LIMIT = 16


class RepositoryThreads:
    """Runs calls to repositories, each on a thread of its own that does not keep the process from ending."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._running = 0

    async def run(self, repository: str, call: Callable[[], Result]) -> Result:
        """Return what `call` returns. Cancelling stops the waiting, not the call.

        Raises:
            RepositoryUnusable: too many earlier calls have not come back.
        """
        if self._running >= self._limit:
            raise RepositoryUnusable(repository=repository, detail=f"{self._running} calls before this one hang")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def finish(result: Result | None, error: BaseException | None) -> None:
            self._running -= 1
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def work() -> None:
            result, error = None, None
            try:
                result = call()
            except BaseException as raised:  # noqa: BLE001 — handed on to whoever waits
                error = raised
            if not loop.is_closed():
                loop.call_soon_threadsafe(finish, result, error)

        self._running += 1
        threading.Thread(target=work, name="repository", daemon=True).start()
        return await future
