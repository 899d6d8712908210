"""Drills as documents of class `Drill`."""

from __future__ import annotations

import asyncio

import structlog

from coordinator.documents import Documents, Entry
from coordinator.drills.report import DRILLS, Report
from coordinator.history import History
from quiesce.errors import QuiesceError, StaleVersion, UnknownRecord

log = structlog.get_logger("drill")

KEPT = 200
_RETRY_S = 0.5


class DrillJournal(History[Report]):
    """Reads and writes drills."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(documents, DRILLS)

    @property
    def kept(self) -> int:
        """See History."""
        return KEPT


class DrillRecorder:
    """Keeps the document of one running drill up to date, beside its work.

    `lost` is set when somebody else has ended the drill: its owner had not been heard of.
    """

    def __init__(self, journal: DrillJournal, entry: Entry[Report]) -> None:
        self._journal = journal
        self._entry = entry
        self._wanted = entry.value
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._run())
        self.lost: asyncio.Future[QuiesceError] = asyncio.get_running_loop().create_future()

    def put(self, report: Report) -> None:
        """Take a new state; what was not written yet is overtaken by it."""
        self._wanted = report
        self._wake.set()

    async def flushed(self) -> None:
        """Wait until the last state is written, or will never be."""
        await asyncio.wait([self._task])

    def stop(self) -> None:
        """Stop writing."""
        self._task.cancel()

    async def _run(self) -> None:
        while self._entry.value.running or self._wanted is not self._entry.value:
            if self._wanted is self._entry.value:
                self._wake.clear()
                await self._wake.wait()
                continue
            try:
                await self._journal.advance(self._entry, self._wanted)
            except (StaleVersion, UnknownRecord) as error:
                log.warning("a drill was ended by another coordinator", id=self._wanted.id)
                if not self.lost.done():
                    self.lost.set_result(error)
                return
            except QuiesceError as error:
                log.warning("a drill cannot be recorded yet", id=self._wanted.id, error=error.message())
                await asyncio.sleep(_RETRY_S)
