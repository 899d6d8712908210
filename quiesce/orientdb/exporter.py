"""Exports a database as OrientDB's JSON, from one consistent scan."""

from __future__ import annotations

import asyncio
from binascii import b2a_base64
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from quiesce.errors import QuiesceError
from quiesce.orientdb import layout
from quiesce.orientdb.escapes import ascii_json, quoted
from quiesce.orientdb.export_file import DEFAULT_LEVEL, ExportFile
from quiesce.orientdb.record_text import LARGEST_CLUSTER
from quiesce.v1.database_pb2 import Database
from quiesce.v1.record_pb2 import Record, RecordKind, ScanResponse

# A scan that breaks cannot go on elsewhere, where it would see another moment: it begins again.
ATTEMPTS = 3
_DOCUMENT = RecordKind.RECORD_KIND_DOCUMENT


class ExportClient(Protocol):
    """What an export needs of quiesce.client.AsyncClient."""

    def scan(self, database: str, *, whole: bool = False) -> AsyncIterator[ScanResponse]: ...  # noqa: D102


class ExportProgress:
    """Told how an export goes on; does nothing. To be overridden."""

    def started(self, database: Database, records: int) -> None:
        """The scan has begun; also when it begins again."""

    def advanced(self, records: int) -> None:
        """So many records are written."""

    def cluster_done(self, name: str, records: int) -> None:
        """A cluster is written."""


@dataclass(slots=True)
class ExportReport:
    """What was exported."""

    database: str
    file: Path
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
    gzip: bool = True,
    level: int = DEFAULT_LEVEL,
    overwrite: bool = False,
    line_feeds: bool = False,
    progress: ExportProgress | None = None,
) -> ExportReport:
    """Write a database as it is at one moment; nothing waits for it, and equal content gives equal bytes.

    Args:
        client: of the cluster.
        database: its name.
        path: the file; see export_file.export_path for how OrientDB names it.
        gzip: compress.
        level: of the compression, 0 to 3.
        overwrite: replace a file of that name.
        line_feeds: each record on a line of its own.
        progress: told how it goes on.

    Raises:
        FileExists, FileUnusable, UnknownDatabase, ...: there is no file then, or the one that was there.
    """
    file = ExportFile(path, gzip=gzip, level=level, overwrite=overwrite)
    try:
        for attempt in range(1, ATTEMPTS + 1):
            writer = _Writer(file, progress or ExportProgress(), b",\n" if line_feeds else b",")
            try:
                await _write_scan(client.scan(database, whole=True), writer)
                report = writer.end(database, path)
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

    def __init__(self, file: ExportFile, progress: ExportProgress, separator: bytes) -> None:
        self._file = file
        self._progress = progress
        self._separator = separator
        self._database: Database | None = None
        self._index = 0
        self._flat: frozenset[str] = frozenset()
        self._first = True
        self._notes: list[str] = []
        self._counts: dict[int, int] = {}
        self._names: dict[int, str] = {}
        self._cluster = -1
        self._records = 0

    def take(self, message: ScanResponse) -> None:
        if self._database is None:
            self._begin(message)
        elif message.index != self._index:
            raise QuiesceError(detail=f"a scan changed from index {self._index} to {message.index}")
        records: Sequence[Record] = message.records
        if records and records[0].cluster == 0:
            records = self._beside_stubs(records)
        if not records:
            return
        self._file.write(self._joined(format_records(records, self._flat)))
        for record in records:
            cluster = record.cluster
            if cluster != self._cluster:
                self._end_clusters(cluster)
            self._counts[cluster] = self._counts.get(cluster, 0) + 1
        self._records += len(records)
        self._progress.advanced(self._records)

    def _begin(self, message: ScanResponse) -> None:
        self._database = database = message.database
        self._index = message.index
        self._flat = layout.flat_records(database)
        self._names = {one.id: one.name for one in sorted(database.clusters, key=lambda one: one.id)}
        self._progress.started(database, sum(one.records for one in database.clusters))
        self._file.write(layout.opening(database))
        self._file.write(self._joined(list(layout.STUBS.values())))

    def _beside_stubs(self, records: Sequence[Record]) -> list[Record]:
        """OrientDB keeps records of its own at the first ids of cluster 0; nothing of ours can have them there."""
        taken = [record for record in records if (record.cluster, record.position) in layout.STUBS]
        self._notes += [f"record #0:{one.position} is not in the file: OrientDB keeps its own there" for one in taken]
        return [record for record in records if record not in taken]

    def _joined(self, texts: list[bytes]) -> bytes:
        joined = self._separator.join(texts)
        if self._first:
            self._first = False
            return joined
        return self._separator + joined

    def _end_clusters(self, following: int) -> None:
        """Tell of the cluster that ended, and of those without records in front of the one that follows."""
        for cluster, name in self._names.items():
            if self._cluster <= cluster < following:
                self._progress.cluster_done(name, self._counts.get(cluster, 0))
        self._cluster = following

    def end(self, name: str, path: Path) -> ExportReport:
        self._end_clusters(LARGEST_CLUSTER + 1)
        database = self._database or Database(name=name)
        self._file.write(layout.closing(database))
        return ExportReport(
            database=name,
            file=path,
            index=self._index,
            records=self._records,
            clusters={self._names.get(cluster, str(cluster)): n for cluster, n in sorted(self._counts.items())},
            classes=len(database.classes),
            indexes=len(database.indexes),
            bytes_out=0,
            notes=self._notes,
        )


def format_records(records: Iterable[Record], flat: frozenset[str] = frozenset()) -> list[bytes]:
    """Return the text of each record as OrientDB's importer takes it."""
    texts = []
    for record in records:
        body = record.body
        if record.kind == _DOCUMENT:
            if not body.isascii() or b"\\" in body or b"\x7f" in body:
                body = ascii_json(body)
            texts.append(
                b'{"@type":"d","@rid":"#%d:%d","@version":%d%b%b'
                % (record.cluster, record.position, record.version, b"," if len(body) > 2 else b"", body[1:])
            )
            continue
        if flat and f"#{record.cluster}:{record.position}" in flat:
            kind, value = b"f", quoted(body.decode()).encode("ascii")
        else:
            kind, value = b"b", b'"' + b2a_base64(body, newline=False) + b'"'
        texts.append(
            b'{"@type":"%b","@rid":"#%d:%d","@version":%d,"value":%b}'
            % (kind, record.cluster, record.position, record.version, value)
        )
    return texts
