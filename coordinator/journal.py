"""Jobs as documents of class `Job` in the cluster's own database `system`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from coordinator.record import JobRecord, from_document, to_document
from quiesce import records
from quiesce.errors import (
    DatabaseExists,
    InvalidDocument,
    InvalidSchemaChange,
    OutcomeUnknown,
    QuiesceError,
    StaleVersion,
    UnknownClass,
    UnknownDatabase,
    UnknownJob,
    UnknownRecord,
)
from quiesce.records import RID, Record
from quiesce.v1.database_pb2 import (
    ClassDefinition,
    CreateProperty,
    Database,
    IndexDefinition,
    IndexField,
    PropertyDefinition,
    SchemaChange,
)
from quiesce.v1.record_pb2 import Operation, ScanResponse, WriteResponse

log = structlog.get_logger()

DATABASE = "system"
CLASS = "Job"
KEPT = 1_000


class Documents(Protocol):
    """The part of `quiesce.AsyncClient` that the journal needs."""

    async def create_database(self, name: str, *, importing: bool = False) -> Database:
        """See `AsyncClient.create_database`."""
        ...

    async def alter_schema(self, name: str, changes: Sequence[SchemaChange]) -> Database:
        """See `AsyncClient.alter_schema`."""
        ...

    async def database(self, name: str) -> Database:
        """See `AsyncClient.database`."""
        ...

    async def write(
        self, database: str, operations: Sequence[Operation], *, timeout_s: float | None = None
    ) -> WriteResponse:
        """See `AsyncClient.write`."""
        ...

    async def get(
        self, database: str, ids: Sequence[RID], *, stale: bool = False, timeout_s: float | None = None
    ) -> dict[RID, Record]:
        """See `AsyncClient.get`."""
        ...

    def scan(self, database: str, *, class_name: str | None = None) -> AsyncIterator[ScanResponse]:
        """See `AsyncClient.scan`."""
        ...


@dataclass(slots=True)
class Entry:
    """A job's document: where it is, and the version that was last seen."""

    rid: RID
    version: int
    record: JobRecord


class Journal:
    """Reads and writes jobs."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def ensure(self) -> None:
        """Create the database and the class where they are missing; several may do so at once."""
        await ensure_class(self._documents, CLASS, key="id")

    async def begin(self, record: JobRecord) -> Entry:
        """Write a new job.

        Raises:
            DuplicateKey: there is one of that id.
        """
        create = records.create(to_document(record), class_name=CLASS)
        try:
            answer = await self._documents.write(DATABASE, [create])
        except OutcomeUnknown:
            # Nobody would see to a job that was begun and is not known here.
            for entry in await self.load():
                if entry.record == record:
                    return entry
            raise
        return Entry(RID.of(answer.written[0]), answer.written[0].version, record)

    async def advance(self, entry: Entry, record: JobRecord) -> None:
        """Write a job's new state, unless someone else has changed it.

        Raises:
            StaleVersion, UnknownRecord: someone else has taken the job over, or removed it.
        """
        change = records.update(entry.rid, to_document(record), expected_version=entry.version)
        try:
            answer = await self._documents.write(DATABASE, [change])
            version = answer.written[0].version
        except (OutcomeUnknown, StaleVersion):
            # It may have been this very write whose answer was lost.
            found = (await self._documents.get(DATABASE, [entry.rid])).get(entry.rid)
            if found is None or from_document(found.document()) != record:
                raise
            version = found.version
        entry.version, entry.record = version, record

    async def load(self) -> list[Entry]:
        """Return all jobs, the latest first; a document that cannot be read is left out, and logged."""
        entries = []
        try:
            async for answer in self._documents.scan(DATABASE, class_name=CLASS):
                for message in answer.records:
                    found = Record.of(message)
                    try:
                        entries.append(Entry(found.rid, found.version, from_document(found.document())))
                    except (InvalidDocument, KeyError, TypeError, ValueError) as error:
                        log.warning("a job's document cannot be read", rid=str(found.rid), error=str(error))
        except (UnknownDatabase, UnknownClass):
            return []
        return sorted(entries, key=lambda entry: (entry.record.started_ms, entry.record.id), reverse=True)

    async def find(self, job_id: str) -> JobRecord:
        """Return one job.

        Raises:
            UnknownJob: there is none of that id.
        """
        # There are a thousand at most: a scan is one call, as a lookup would be.
        for entry in await self.load():
            if entry.record.id == job_id:
                return entry.record
        raise UnknownJob(job_id=job_id)

    async def prune(self, entries: Sequence[Entry]) -> None:
        """Remove the oldest jobs that have ended, beyond those that are kept."""
        for entry in [entry for entry in entries if not entry.record.running][KEPT:]:
            try:
                await self._documents.write(DATABASE, [records.delete(entry.rid, expected_version=entry.version)])
            except (StaleVersion, UnknownRecord):
                continue


class Recorder:
    """Keeps the document of one running job up to date, beside its work: who changes the job never waits.

    Args:
        journal: where to.
        entry: the job's document.
        give_up_s: how long the cluster may refuse before `lost` is called; it is tried on even then.
        lost: is told why the job's state cannot be recorded.
    """

    RETRY_S = 0.5

    def __init__(self, journal: Journal, entry: Entry, *, give_up_s: float) -> None:
        self._journal = journal
        self._entry = entry
        self._give_up_s = give_up_s
        self._wanted = entry.record
        self._wake = asyncio.Event()
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

    def stop(self) -> None:
        """Stop writing."""
        if self._task is not None:
            self._task.cancel()
        if not self._error.done():
            self._error.cancel()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        failing_since: float | None = None
        while self._entry.record.running or self._wanted is not self._entry.record:
            if self._wanted is self._entry.record:
                self._wake.clear()
                await self._wake.wait()
                continue
            try:
                await self._journal.advance(self._entry, self._wanted)
                failing_since = None
            except (StaleVersion, UnknownRecord) as error:
                self._fail(error)
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


async def ensure_class(documents: Documents, name: str, *, key: str) -> None:
    """Create the system database, and a class in it whose `key` is unique, where they are missing.

    Several may do so at once.
    """
    try:
        database = await documents.database(DATABASE)
    except UnknownDatabase:
        try:
            database = await documents.create_database(DATABASE)
        except DatabaseExists:
            database = await documents.database(DATABASE)
    if any(known.name == name for known in database.classes):
        return
    try:
        await documents.alter_schema(DATABASE, _schema(name, key))
    except InvalidSchemaChange:
        database = await documents.database(DATABASE)
        if not any(known.name == name for known in database.classes):
            raise


def _schema(name: str, key: str) -> list[SchemaChange]:
    definition = PropertyDefinition(name=key, type="STRING", mandatory=True, not_null=True)
    unique = IndexDefinition(
        name=f"{name}.{key}",
        type="UNIQUE",
        class_name=name,
        fields=[IndexField(name=key, key_type="STRING", by=IndexField.BY_VALUE)],
        maintained=True,
    )
    return [
        SchemaChange(create_class=ClassDefinition(name=name)),
        SchemaChange(create_property=CreateProperty(class_name=name, property=definition)),
        SchemaChange(create_index=unique),
    ]
