"""Jobs as documents of class `Job`."""

from __future__ import annotations

from coordinator.documents import Documents, Kind
from coordinator.history import History
from coordinator.record import JobRecord, from_document, to_document
from quiesce.errors import UnknownJob

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
