"""Exports a database as OrientDB's JSON, from one consistent scan."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from quiesce._native import RecordTexts
from quiesce.errors import QuiesceError
from quiesce.orientdb.export_file import ExportFile
from quiesce.orientdb.export_options import ExportOptions
from quiesce.orientdb.layout import STUBS, ExportPlan, Layout
from quiesce.orientdb.record_form import format_record
from quiesce.orientdb.record_text import LARGEST_CLUSTER
from quiesce.v1.record_pb2 import Record, RecordKind, ScanResponse

# A scan that breaks cannot go on elsewhere, where it would see another moment: it begins again.
ATTEMPTS = 3
_DOCUMENT = RecordKind.RECORD_KIND_DOCUMENT
_EVERYTHING = ExportOptions()


class ExportClient(Protocol):
    """What an export, and a comparison with one, need of quiesce.client.AsyncClient."""

    def scan(self, database: str, *, whole: bool = False) -> AsyncIterator[ScanResponse]: ...  # noqa: D102
    def scan_packed(self, database: str) -> AsyncIterator[bytes]: ...  # noqa: D102


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
        FileExists, FileUnusable, UnknownDatabase, UnknownClass, UnknownRecordCluster, ...: there is no file then, or
            the one that was there.
    """
    file = ExportFile(
        path, level=options.level if gzip else None, buffer_bytes=options.buffer_bytes, overwrite=overwrite
    )
    try:
        for attempt in range(1, ATTEMPTS + 1):
            writer = _Writer(file, database, options, progress or ExportProgress())
            try:
                await _write_scan(client.scan_packed(database), writer)
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


async def _write_scan(scan: AsyncIterator[bytes], writer: _Writer) -> None:
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
        self._database = name
        # Known with the first message.
        self._layout: Layout | None = None
        self._texts: RecordTexts | None = None
        self._index = 0
        self._notes: list[str] = []
        self._counts: dict[int, int] = {}
        self._names: dict[int, str] = {}
        self._cluster = -1
        self._records = 0

    def take(self, message: bytes) -> None:
        texts = self._texts or self._begin(ScanResponse.FromString(message))
        try:
            index, text, counts = texts.of(message)
        except ValueError as error:
            raise QuiesceError(detail=f"an answer of the scan cannot be read: {error}") from error
        if index != self._index:
            raise QuiesceError(detail=f"a scan changed from index {self._index} to {index}")
        if counts:
            self._write(text, counts)

    def _write(self, text: bytes, counts: list[tuple[int, int]]) -> None:
        self._file.write(text)
        for cluster, records in counts:
            self._count(cluster, records)
            self._records += records
        self._progress.advanced(self._records)

    def _begin(self, message: ScanResponse) -> RecordTexts:
        self._index = message.index
        self._layout = layout = Layout(message.database, self._options)
        self._names = layout.names
        self._progress.started(layout.plan(self._file.path))
        self._file.write(layout.opening())
        with_records = self._options.records
        if with_records:
            self._file.write(self._separator.join(STUBS.values()))
        wanted = sorted(layout.selection.record_clusters) if layout.filtering else None
        self._texts = RecordTexts(
            # The stubs are in front of the first.
            separator=self._separator,
            apart=list(STUBS) if with_records else [],
            wanted=wanted if with_records else [],
            moved=list(layout.ids.ids.items()),
            careful=partial(self._careful, layout),
        )
        return self._texts

    def _careful(
        self, layout: Layout, cluster: int, position: int, version: int, kind: int, body: bytes
    ) -> bytes | None:
        """Return the text of a record that is not a plain document."""
        if (cluster, position) in STUBS:
            # OrientDB keeps records of its own there; nothing of ours can have these ids.
            self._notes.append(f"record #{cluster}:{position} is not in the file: OrientDB keeps its own there")
            return None
        record = Record(cluster=cluster, position=position, version=version, kind=kind, body=body)  # type: ignore[arg-type]
        return format_record(record, layout.flat, layout.ids)

    def _count(self, cluster: int, records: int) -> None:
        if cluster != self._cluster:
            self._end_clusters(cluster)
        self._counts[cluster] = self._counts.get(cluster, 0) + records

    def _end_clusters(self, following: int) -> None:
        """Tell of the cluster that ended, and of those without records in front of the one that follows."""
        for cluster, name in self._names.items():
            if self._cluster <= cluster < following:
                shown = self._layout.ids.of(cluster) if self._layout else cluster
                self._progress.cluster_done(shown, name, self._counts.get(cluster, 0))
        self._cluster = following

    def end(self) -> ExportReport:
        layout = self._layout
        if layout is None:
            raise QuiesceError(detail=f"the scan of `{self._database}` ended without its definition")
        if self._options.records:
            for cluster, position, body in layout.added:
                record = Record(cluster=cluster, position=position, version=1, kind=_DOCUMENT, body=body)
                text = format_record(record, layout.flat, layout.ids)
                self._write(self._separator + text, [(cluster, 1)])
            self._end_clusters(LARGEST_CLUSTER + 1)
        self._progress.records_done()
        self._file.write(layout.closing())
        plan = layout.plan(self._file.path)
        return ExportReport(
            database=plan.database,
            file=plan.file,
            orientdb_version=self._options.engine.version,
            index=self._index,
            records=self._records,
            clusters={self._names.get(cluster, str(cluster)): n for cluster, n in sorted(self._counts.items())},
            classes=plan.classes,
            indexes=len(plan.indexes),
            bytes_out=0,
            notes=[*self._notes, *layout.notes],
        )
