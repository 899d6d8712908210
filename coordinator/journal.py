"""Jobs as documents of class `Job`."""

from __future__ import annotations

import asyncio

import structlog

from coordinator.documents import Documents, Entry, Kind
from coordinator.history import History
from coordinator.record import JobRecord, from_document, to_document
from quiesce.errors import JobTakenOver, QuiesceError, StaleVersion, UnknownJob, UnknownRecord

log = structlog.get_logger()

KEPT = 1_000
_JOBS = Kind("Job", key="id", encode=to_document, decode=from_document)


class Journal(History[JobRecord]):
    """Reads and writes jobs."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(documents, _JOBS)

    @property
    def kept(self) -> int:
        """See History."""
        return KEPT

    async def find(self, job_id: str) -> JobRecord:
        """Return one job.

        Raises:
            UnknownJob: there is none of that id.
        """
        found = await self.one(job_id)
        if found is None:
            raise UnknownJob(job_id=job_id)
        return found


class Recorder:
    """Keeps the document of one running job up to date, beside its work: who changes the job never waits.

    Args:
        journal: where to.
        entry: the job's document.
        give_up_s: how long the cluster may refuse before `lost` is called; it is tried on even then.
        lost: is told why the job's state cannot be recorded.
    """

    RETRY_S = 0.5

    def __init__(self, journal: Journal, entry: Entry[JobRecord], *, give_up_s: float) -> None:
        self._journal = journal
        self._entry = entry
        self._give_up_s = give_up_s
        self._wanted = entry.value
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._error: asyncio.Future[QuiesceError] = asyncio.get_running_loop().create_future()

    @property
    def lost(self) -> asyncio.Future[QuiesceError]:
        """Set when the job's state could not be recorded for too long, or someone else has taken the job over."""
        return self._error

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._run())

    def put(self, record: JobRecord) -> None:
        """Take a new state; what was not written yet is overtaken by it."""
        self._wanted = record
        self._wake.set()

    async def flushed(self) -> None:
        """Wait until the last state is written, or will never be."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def written(self) -> None:
        """Wait until the last state is in the journal.

        Raises:
            JobTakenOver: another coordinator goes on with the job.
            QuiesceError: it could not be written for too long.
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
                await self._journal.advance(self._entry, self._wanted)
                failing_since = None
                self._progress.set()
            except (StaleVersion, UnknownRecord):
                self._fail(JobTakenOver(job_id=self._wanted.id))
                return
            except QuiesceError as error:
                failing_since = loop.time() if failing_since is None else failing_since
                if loop.time() - failing_since >= self._give_up_s:
                    self._fail(error)
                await asyncio.sleep(self.RETRY_S)

    def _fail(self, error: QuiesceError) -> None:
        if not self._error.done():
            log.warning("a job's state cannot be recorded", job=self._wanted.id, error=error.message())
            self._error.set_result(error)
            self._progress.set()
