"""Exports a database as OrientDB's JSON, from one consistent scan."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from quiesce.errors import QuiesceError
from quiesce.orientdb.export_file import ExportFile
from quiesce.orientdb.export_options import ExportOptions
from quiesce.orientdb.layout import STUBS, ExportPlan, Layout
from quiesce.orientdb.record_form import format_records
from quiesce.orientdb.record_text import LARGEST_CLUSTER
from quiesce.v1.database_pb2 import Database
from quiesce.v1.record_pb2 import Record, ScanResponse

# A scan that breaks cannot go on elsewhere, where it would see another moment: it begins again.
ATTEMPTS = 3
_EVERYTHING = ExportOptions()


class ExportClient(Protocol):
    """What an export needs of quiesce.client.AsyncClient."""

    def scan(self, database: str, *, whole: bool = False) -> AsyncIterator[ScanResponse]: ...  # noqa: D102


class ExportProgress:
    """Told how an export goes on; does nothing. To be overridden."""

    def started(self, plan: ExportPlan) -> None:
        """The scan has begun; also when it begins again."""

    def advanced(self, records: int) -> None:
        """So many records are written."""

    def cluster_done(self, cluster: int, name: str, records: int) -> None:
        """A cluster is written."""

    def records_done(self) -> None:
        """All of them are; what follows are the indexes."""


@dataclass(slots=True)
class ExportReport:
    """What was exported."""

    database: str
    file: Path
    # Whose layout the file has.
    orientdb_version: str
    # The index of the log whose state this is.
    index: int
    records: int
    clusters: dict[str, int]
    classes: int
    indexes: int
    bytes_out: int
    notes: list[str] = field(default_factory=list)


async def export_database(
    client: ExportClient,
    database: str,
    path: Path,
    *,
    options: ExportOptions = _EVERYTHING,
    gzip: bool = True,
    overwrite: bool = False,
    progress: ExportProgress | None = None,
) -> ExportReport:
    """Write a database as it is at one moment; nothing waits for it, and equal content gives equal bytes.

    Args:
        client: of the cluster.
        database: its name.
        path: the file; see export_file.export_path for how OrientDB names it.
        options: what goes in, and in which form; parse_export_options reads them as OrientDB's console does.
        gzip: compress.
        overwrite: replace a file of that name.
        progress: told how it goes on.

    Raises:
        FileExists, FileUnusable, UnknownDatabase, UnknownClass, UnknownRecordCluster, ...: there is no file then, or the
            one that was there.
    """
    file = ExportFile(
        path, level=options.level if gzip else None, buffer_bytes=options.buffer_bytes, overwrite=overwrite
    )
    try:
        for attempt in range(1, ATTEMPTS + 1):
            writer = _Writer(file, database, options, progress or ExportProgress())
            try:
                await _write_scan(client.scan(database, whole=True), writer)
                report = writer.end()
                break
            except QuiesceError as error:
                if not error.retryable or attempt == ATTEMPTS:
                    raise
                file.restart()
        await asyncio.to_thread(file.publish)
        report.bytes_out = file.bytes_out
        return report
    finally:
        file.discard()


async def _write_scan(scan: AsyncIterator[ScanResponse], writer: _Writer) -> None:
    try:
        async for message in scan:
            writer.take(message)
    finally:
        # Or the node would go on sending until the garbage collector comes by.
        if isinstance(scan, AsyncGenerator):
            await scan.aclose()


class _Writer:
    """Writes the messages of one scan."""

    def __init__(self, file: ExportFile, name: str, options: ExportOptions, progress: ExportProgress) -> None:
        self._file = file
        self._options = options
        self._progress = progress
        self._separator = b",\n" if options.line_feeds else b","
        # Until the first message tells what there is.
        self._layout = Layout(Database(name=name), options)
        self._index: int | None = None
        self._wanted: frozenset[int] = frozenset()
        self._filtering = False
        self._first = True
        self._notes: list[str] = []
        self._counts: dict[int, int] = {}
        self._names: dict[int, str] = {}
        self._cluster = -1
        self._records = 0

    def take(self, message: ScanResponse) -> None:
        if self._index is None:
            self._begin(message)
        elif message.index != self._index:
            raise QuiesceError(detail=f"a scan changed from index {self._index} to {message.index}")
        records: Sequence[Record] = message.records
        if not records or not self._options.records:
            return
        if records[0].cluster == 0:
            records = self._beside_stubs(records)
        if self._filtering:
            wanted = self._wanted
            records = [record for record in records if record.cluster in wanted]
        if not records:
            return
        self._file.write(self._joined(format_records(records, self._layout.flat, self._layout.ids)))
        self._count(records)
        self._records += len(records)
        self._progress.advanced(self._records)

    def _begin(self, message: ScanResponse) -> None:
        self._index = message.index
        self._layout = layout = Layout(message.database, self._options)
        self._filtering = not layout.selection.everything or len(layout.selection.clusters) < len(
            message.database.clusters
        )
        self._wanted = layout.selection.record_clusters
        kept = (one for one in message.database.clusters if one.id in layout.selection.clusters)
        self._names = {one.id: one.name for one in sorted(kept, key=lambda one: one.id)}
        self._progress.started(layout.plan(self._file.path))
        self._file.write(layout.opening())
        if self._options.records:
            self._file.write(self._joined(list(STUBS.values())))

    def _beside_stubs(self, records: Sequence[Record]) -> list[Record]:
        """OrientDB keeps records of its own at the first ids of cluster 0; nothing of ours can have them there."""
        taken = [record for record in records if (record.cluster, record.position) in STUBS]
        self._notes += [f"record #0:{one.position} is not in the file: OrientDB keeps its own there" for one in taken]
        return [record for record in records if record not in taken]

    def _joined(self, texts: list[bytes]) -> bytes:
        joined = self._separator.join(texts)
        if self._first:
            self._first = False
            return joined
        return self._separator + joined

    def _count(self, records: Sequence[Record]) -> None:
        # They come in the order of their ids, so nearly always all of a message are in one cluster.
        if records[0].cluster == records[-1].cluster:
            self._count_in(records[0].cluster, len(records))
            return
        for record in records:
            self._count_in(record.cluster, 1)

    def _count_in(self, cluster: int, records: int) -> None:
        if cluster != self._cluster:
            self._end_clusters(cluster)
        self._counts[cluster] = self._counts.get(cluster, 0) + records

    def _end_clusters(self, following: int) -> None:
        """Tell of the cluster that ended, and of those without records in front of the one that follows."""
        for cluster, name in self._names.items():
            if self._cluster <= cluster < following:
                self._progress.cluster_done(self._layout.ids.of(cluster), name, self._counts.get(cluster, 0))
        self._cluster = following

    def end(self) -> ExportReport:
        if self._options.records:
            self._end_clusters(LARGEST_CLUSTER + 1)
        self._progress.records_done()
        self._file.write(self._layout.closing())
        plan = self._layout.plan(self._file.path)
        return ExportReport(
            database=plan.database,
            file=plan.file,
            orientdb_version=self._options.engine.version,
            index=self._index or 0,
            records=self._records,
            clusters={self._names.get(cluster, str(cluster)): n for cluster, n in sorted(self._counts.items())},
            classes=plan.classes,
            indexes=len(plan.indexes),
            bytes_out=0,
            notes=[*self._notes, *self._layout.notes],
        )
