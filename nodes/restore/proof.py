"""Proves a restored store: reads it back and makes its content id anew."""

from __future__ import annotations

from nodes.worker.source import SnapshotSource
from quiesce.snapshot import DATABASE_PAGE, PAGE_POSITIONS, PageTable, Row, TableDatabase, content_id, digest
from quiesce.snapshot.database_page import database_segments
from quiesce.snapshot.segment import encode_page


def content_id_of(source: SnapshotSource) -> str:
    """Return the content id that a snapshot of all databases of a store would have."""
    databases = sorted(source.databases(), key=lambda database: database.name)
    rows: list[Row] = []
    for number, database in enumerate(databases):
        for segment, (raw, _) in enumerate(database_segments(database)):
            rows.append(_row(number, DATABASE_PAGE, 0, segment, raw))
        for cluster, page, _ in source.pages(database.id):
            first = page * PAGE_POSITIONS
            records = source.records_of(database.id, cluster, first, first + PAGE_POSITIONS - 1)
            rows.extend(
                _row(number, cluster, page, segment, raw) for segment, (raw, _) in enumerate(encode_page(page, records))
            )
    return content_id(PageTable([TableDatabase(database.name, 0) for database in databases], [], rows))


def _row(database: int, cluster: int, page: int, segment: int, raw: bytes) -> Row:
    return Row(database, cluster, page, segment, digest(raw), 0, len(raw), 0, 0, 0, 0)
