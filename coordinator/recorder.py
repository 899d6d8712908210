"""Writes down how a run is going."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

from coordinator.documents import Entry
from coordinator.history import History, Run
from quiesce.errors import QuiesceError, StaleVersion, UnknownRecord

log = structlog.get_logger()

Value = TypeVar("Value", bound=Run)


class Recorder(Generic[Value]):
    """Keeps the document of one run up to date, beside its work: who changes the run never waits.

    Args:
        history: where to.
        entry: the run's document.
        overtaken: returns why it is lost where someone else has changed the document, from what the cluster said.
        give_up_s: how long the cluster may refuse before it is lost; it is tried on even then.
    """

    RETRY_S = 0.5

    def __init__(
        self,
        history: History[Value],
        entry: Entry[Value],
        *,
        overtaken: Callable[[Value, QuiesceError], QuiesceError],
        give_up_s: float = math.inf,
    ) -> None:
        self._history = history
        self._entry = entry
        self._overtaken = overtaken
        self._give_up_s = give_up_s
        self._wanted = entry.value
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._error: asyncio.Future[QuiesceError] = asyncio.get_running_loop().create_future()

    @property
    def lost(self) -> asyncio.Future[QuiesceError]:
        """Set when the run's state could not be recorded for too long, or someone else has changed the document."""
        return self._error

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._run())

    def put(self, value: Value) -> None:
        """Take a new state; what was not written yet is overtaken by it."""
        self._wanted = value
        self._wake.set()

    async def flushed(self) -> None:
        """Wait until the last state is written, or will never be."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def written(self) -> None:
        """Wait until the last state is written.

        Raises:
            QuiesceError: someone else has changed the document, or it could not be written for too long.
        """
        while self._wanted is not self._entry.value:
            self._progress.clear()
            if self._error.done():
                raise self._error.result()
            await self._progress.wait()

    def stop(self) -> None:
        """Stop writing."""
        if self._task is not None:
            self._task.cancel()
        if not self._error.done():
            self._error.cancel()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        failing_since: float | None = None
        while self._entry.value.running or self._wanted is not self._entry.value:
            if self._wanted is self._entry.value:
                self._wake.clear()
                await self._wake.wait()
                continue
            try:
                await self._history.advance(self._entry, self._wanted)
                failing_since = None
                self._progress.set()
            except (StaleVersion, UnknownRecord) as error:
                self._fail(self._overtaken(self._wanted, error))
                return
            except QuiesceError as error:
                failing_since = loop.time() if failing_since is None else failing_since
                if loop.time() - failing_since >= self._give_up_s:
                    self._fail(error)
                await asyncio.sleep(self.RETRY_S)

    def _fail(self, error: QuiesceError) -> None:
        if not self._error.done():
            log.warning("a state cannot be recorded", of=self._wanted.id, error=error.message())
            self._error.set_result(error)
            self._progress.set()
