"""The snapshot format, without any I/O: see docs/formats/snapshot.md."""

from quiesce.snapshot.content import content_id
from quiesce.snapshot.database_page import database_segments, decode_database_page, encode_database_page
from quiesce.snapshot.identifier import is_snapshot_id, new_snapshot_id
from quiesce.snapshot.malformed import MalformedObject
from quiesce.snapshot.manifest import (
    FORMAT_VERSION,
    DatabaseSummary,
    Manifest,
    ManifestMark,
    PackSummary,
    TableSummary,
    Totals,
    decode_manifest,
    encode_manifest,
)
from quiesce.snapshot.pack import PackBuilder, PackEntry, compress, decompress, digest, pack_index
from quiesce.snapshot.segment import PAGE_POSITIONS, SnapshotRecord, decode_segment, encode_page, segment_records
from quiesce.snapshot.table import DATABASE_PAGE, PageTable, Row, TableDatabase, decode_table, encode_table

__all__ = [
    "DATABASE_PAGE",
    "FORMAT_VERSION",
    "PAGE_POSITIONS",
    "DatabaseSummary",
    "MalformedObject",
    "Manifest",
    "ManifestMark",
    "PackBuilder",
    "PackEntry",
    "PackSummary",
    "PageTable",
    "Row",
    "SnapshotRecord",
    "TableDatabase",
    "TableSummary",
    "Totals",
    "compress",
    "content_id",
    "database_segments",
    "decode_database_page",
    "decode_manifest",
    "decode_segment",
    "decode_table",
    "decompress",
    "digest",
    "encode_database_page",
    "encode_manifest",
    "encode_page",
    "encode_table",
    "is_snapshot_id",
    "new_snapshot_id",
    "pack_index",
    "segment_records",
]
