"""Imports an export of OrientDB into a cluster: all of it, or nothing.

Two passes over the file. The first reads all of it and changes nothing, so that a damaged file is refused before
anything is made. The second fills a database that nobody sees, checks it, and publishes it. Whatever fails in between,
the database is dropped again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from quiesce.errors import (
    DatabaseExists,
    DuplicateKey,
    DuplicateKeyInExport,
    FileUnusable,
    ImportIncomplete,
    ImportLeftBehind,
    QuiesceError,
    RecordTooLarge,
    UnfinishedImport,
    UnknownDatabase,
)
from quiesce.orientdb.in_flight import InFlight
from quiesce.orientdb.index_section import same_index
from quiesce.orientdb.links import FIRST_TYPED, DanglingLink, LinkCheck, property_types
from quiesce.orientdb.reader import ExportReader
from quiesce.orientdb.record_text import ExportedRecord
from quiesce.orientdb.survey import Survey, survey_steps
from quiesce.rpc.limits import MEBIBYTE, RECORD_BYTES
from quiesce.v1.database_pb2 import Database, DatabaseState, PreserveSection, SchemaChange
from quiesce.v1.record_pb2 import Create, Operation, WriteResponse

BATCH_RECORDS = 1_000
BATCH_BYTES = MEBIBYTE
# Enough to keep the leader's disk and two followers busy at once; each is a batch in memory here and there.
BATCHES_IN_FLIGHT = 8
WRITE_TIMEOUT_S = 60.0
CLEANUP_TIMEOUT_S = 30.0
# A section that Quiesce only keeps travels in one message.
PRESERVED_BYTES = 8 * MEBIBYTE


class ImportClient(Protocol):
    """What an import needs of quiesce.client.AsyncClient."""

    async def list_databases(self, *, all: bool = False) -> list[Database]: ...  # noqa: A002, D102
    async def create_database(self, name: str, *, importing: bool = False) -> Database: ...  # noqa: D102
    async def drop_database(self, name: str) -> None: ...  # noqa: D102
    async def database(self, name: str) -> Database: ...  # noqa: D102
    async def alter_schema(self, name: str, changes: Sequence[SchemaChange]) -> Database: ...  # noqa: D102
    async def publish_database(self, name: str) -> Database: ...  # noqa: D102
    async def write(  # noqa: D102
        self, database: str, operations: Sequence[Operation], *, timeout_s: float | None = None
    ) -> WriteResponse: ...


class ImportProgress:
    """Told how an import goes on; does nothing. To be overridden."""

    def surveying(self, part: float) -> None:
        """The file is being read for the first time: 0 to 1."""

    def surveyed(self, survey: Survey) -> None:
        """The file is whole, and this is what it holds."""

    def written(self, records: int, total: int) -> None:
        """So many records are in the cluster."""

    def cluster_done(self, name: str, records: int) -> None:
        """A cluster of the file was read and written."""


@dataclass(slots=True)
class ImportReport:
    """What was imported."""

    database: str
    exporter_version: int
    engine_version: str
    # Records by cluster name, clusters without records left out.
    clusters: dict[str, int]
    classes: int
    indexes: int
    # Definitions that are kept, but not kept up to date.
    unmaintained_indexes: list[str]
    records: int
    # Of OrientDB's own, such as the schema record; their content is in the sections.
    engine_records: int
    links: int
    dangling: int
    dangling_listed: list[DanglingLink] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


async def import_export(
    client: ImportClient,
    path: Path,
    database: str,
    *,
    discard_unfinished: bool = False,
    progress: ImportProgress | None = None,
) -> ImportReport:
    """Import an export as a new database; ids, versions and values stay as they are in the file.

    Args:
        client: of the cluster.
        path: the file.
        database: the new database's name.
        discard_unfinished: drop what an interrupted import of that name left behind.
        progress: told how it goes on.

    Raises:
        DatabaseExists, UnfinishedImport: before the file is read.
        MalformedExport, TruncatedExport, FileUnusable: before anything is made.
        DuplicateKeyInExport, ...: what was made is dropped again, or ImportLeftBehind says that it could not be.
    """
    progress = progress or ImportProgress()
    await _check_free(client, database, discard_unfinished=discard_unfinished)
    found = Survey(path)
    for part in survey_steps(found):
        progress.surveying(part)
        await asyncio.sleep(0)
    progress.surveyed(found)
    _check_sizes(found)
    made = await client.create_database(database, importing=True)
    try:
        return await _fill(client, found, database, progress)
    except BaseException as error:
        await _drop(client, made, error)
        raise


async def _check_free(client: ImportClient, database: str, *, discard_unfinished: bool) -> None:
    for one in await client.list_databases(all=True):
        if one.name == database:
            if one.state != DatabaseState.DATABASE_STATE_IMPORTING:
                raise DatabaseExists(database=database)
            if not discard_unfinished:
                raise UnfinishedImport(database=database)
            await client.drop_database(database)


async def _drop(client: ImportClient, made: Database, error: BaseException) -> None:
    """Remove the half-made database; nobody has seen it.

    Only the one that this import made: another import with --discard-unfinished may have dropped it, and what bears its
    name now is that one's, perhaps published.
    """
    database = made.name
    try:
        # Once more cancelled, this ends at once, and the leftover is the next import's to discard.
        async with asyncio.timeout(CLEANUP_TIMEOUT_S):
            if any(one.id == made.id for one in await client.list_databases(all=True)):
                await client.drop_database(database)
    except UnknownDatabase:
        return
    except (QuiesceError, TimeoutError) as failure:
        detail = error if isinstance(error, QuiesceError) else type(error).__name__
        cleanup = failure if isinstance(failure, QuiesceError) else f"no answer in {CLEANUP_TIMEOUT_S:.0f} s"
        raise ImportLeftBehind(database=database, detail=detail, cleanup=cleanup) from error


def _check_sizes(found: Survey) -> None:
    for section, text in found.preserved.items():
        if len(text) > PRESERVED_BYTES:
            raise FileUnusable(
                file=found.path,
                detail=f"section {section} has {len(text)} bytes, and at most {PRESERVED_BYTES} can be kept",
            )


async def _fill(client: ImportClient, found: Survey, database: str, progress: ImportProgress) -> ImportReport:
    for changes in schema_changes(found):
        await client.alter_schema(database, changes)
    untyped = 0 < found.info.exporter_version < FIRST_TYPED
    check = LinkCheck(found.resolves, property_types(found.schema.classes), untyped=untyped)
    await _write_records(client, found, database, check, progress)
    await _check_counts(client, found, database)
    await _publish(client, database)
    return _report(found, database, check)


def schema_changes(found: Survey) -> Iterator[list[SchemaChange]]:
    """Yield what to change in an empty database, each list at once.

    Indexes come before the records: each batch keeps them up, and a duplicate key shows with its record.
    """
    changes = [SchemaChange(create_cluster=one) for one in found.clusters]
    changes += [SchemaChange(create_class=one) for one in found.schema.classes]
    changes += [SchemaChange(create_index=one.definition) for one in found.indexes]
    yield changes
    classes = {one.name: one for one in found.schema.classes}
    clusters = {one.id: one for one in found.clusters}
    kept = {
        one.definition.name: msgspec.Raw(one.raw) for one in found.indexes if not same_index(one, classes, clusters)
    }
    preserved = dict(found.preserved)
    if kept:
        preserved["indexes"] = msgspec.json.encode(kept)
    for section, text in sorted(preserved.items()):
        yield [SchemaChange(preserve=PreserveSection(section=section, json=text))]


def _operation(record: ExportedRecord) -> Operation:
    return Operation(
        create=Create(
            cluster=record.cluster,
            kind=record.kind,
            body=record.body,
            position=record.position,
            version=record.version,
        )
    )


def batches(records: Iterable[ExportedRecord]) -> Iterator[list[ExportedRecord]]:
    """Cut records into batches of BATCH_RECORDS and BATCH_BYTES at most; a larger record goes alone."""
    batch: list[ExportedRecord] = []
    size = 0
    for record in records:
        length = len(record.body)
        if length > RECORD_BYTES:
            raise RecordTooLarge(size=length, limit=RECORD_BYTES)
        if batch and (len(batch) >= BATCH_RECORDS or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += length
    if batch:
        yield batch


async def _write_records(
    client: ImportClient, found: Survey, database: str, check: LinkCheck, progress: ImportProgress
) -> None:
    names = {one.id: one.name for one in found.clusters}
    written = 0
    cluster, in_cluster = -1, 0

    async def write(batch: list[ExportedRecord]) -> None:
        nonlocal written
        await client.write(database, [_operation(record) for record in batch], timeout_s=WRITE_TIMEOUT_S)
        written += len(batch)
        progress.written(written, found.records)

    # In a dictionary index the last record of a key counts, so their order must be the file's.
    ordered = any(one.definition.type.startswith("DICTIONARY") for one in found.indexes)
    flight: InFlight[list[ExportedRecord]] = InFlight(1 if ordered else BATCHES_IN_FLIGHT)
    async with flight:
        try:
            with ExportReader(found.path) as reader:
                for part in reader:
                    if not isinstance(part, list):
                        continue
                    records = found.wanted(part)
                    check.look_at(records)
                    for batch in batches(records):
                        await flight.start(write(batch), batch)
                    for record in records:
                        if record.cluster != cluster:
                            if in_cluster:
                                progress.cluster_done(names[cluster], in_cluster)
                            cluster, in_cluster = record.cluster, 0
                        in_cluster += 1
            await flight.finish()
        except DuplicateKey as error:
            await flight.settle()
            raise await _with_both_ids(client, database, found.path, flight.failed, error) from error
    if in_cluster:
        progress.cluster_done(names[cluster], in_cluster)


async def _with_both_ids(
    client: ImportClient, database: str, path: Path, batch: list[ExportedRecord], error: DuplicateKey
) -> DuplicateKeyInExport:
    """Find which record of a refused batch it was, by writing halves: nothing of it was applied, and all will go."""
    while len(batch) > 1:
        half = batch[: len(batch) // 2]
        try:
            await client.write(database, [_operation(record) for record in half], timeout_s=WRITE_TIMEOUT_S)
        except DuplicateKey as again:
            error, batch = again, half
        else:
            batch = batch[len(half) :]
    try:
        await client.write(database, [_operation(batch[0])], timeout_s=WRITE_TIMEOUT_S)
    except DuplicateKey as again:
        error = again
    other = f"#{batch[0].cluster}:{batch[0].position}"
    return DuplicateKeyInExport(**{**error.fields, "file": path, "other": other})


async def _check_counts(client: ImportClient, found: Survey, database: str) -> None:
    actual = {one.id: one.records for one in (await client.database(database)).clusters}
    for one in found.clusters:
        expected = found.counts.get(one.id, 0)
        if actual.get(one.id, 0) != expected:
            raise ImportIncomplete(database=database, cluster=one.name, actual=actual.get(one.id, 0), expected=expected)


async def _publish(client: ImportClient, database: str) -> None:
    try:
        await client.publish_database(database)
    except QuiesceError:
        # The answer may be all that was lost; then the database is there for everyone and must not be dropped.
        if (await client.database(database)).state != DatabaseState.DATABASE_STATE_ONLINE:
            raise


def _report(found: Survey, database: str, check: LinkCheck) -> ImportReport:
    return ImportReport(
        database=database,
        exporter_version=found.info.exporter_version,
        engine_version=found.info.engine_version,
        clusters={one.name: found.counts[one.id] for one in found.clusters if found.counts.get(one.id)},
        classes=len(found.schema.classes),
        indexes=len(found.indexes),
        unmaintained_indexes=[one.definition.name for one in found.indexes if not one.definition.maintained],
        records=found.records,
        engine_records=found.engine_records,
        links=check.resolved,
        dangling=check.dangling,
        dangling_listed=check.listed,
        notes=found.notes,
    )
