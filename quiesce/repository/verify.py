"""Reads every object of a snapshot and checks that it is what the manifest says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from quiesce.repository import layout
from quiesce.repository.reader import SegmentReader
from quiesce.repository.repository import Repository
from quiesce.snapshot.content import content_id
from quiesce.snapshot.malformed import MalformedObject
from quiesce.snapshot.manifest import Manifest
from quiesce.snapshot.segment import segment_records
from quiesce.snapshot.table import DATABASE_PAGE, PageTable, Row


@dataclass(frozen=True, slots=True)
class VerifyStep:
    """How far a check is; `bytes_read` from the repository."""

    pages_total: int
    pages_done: int
    bytes_read: int


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was checked and found whole."""

    manifest: Manifest
    segments: int
    packs: int
    records: int
    bytes_read: int


def check_table(repository: Repository, manifest: Manifest) -> PageTable:
    """Return the page table of a snapshot, once it and the manifest are known to agree.

    Raises:
        DamagedObject: the table is missing or changed, or does not make the content id.
    """
    table = repository.read_table(manifest)
    name = layout.table(manifest.table.digest)
    if content_id(table) != manifest.content_id:
        raise repository.damaged(name, f"its pages do not make the content id {manifest.content_id}")
    if {pack.digest for pack in manifest.packs} != {pack.hex() for pack in table.packs}:
        raise repository.damaged(name, "it lists other packs than the manifest")
    if [(d.name, d.id) for d in table.databases] != [(d.name, d.id) for d in manifest.databases]:
        raise repository.damaged(name, "it lists other databases than the manifest")
    counted: Counter[int] = Counter()
    for row in table.rows:
        counted[row.database] += row.records
    if [counted[number] for number in range(len(table.databases))] != [d.records for d in manifest.databases]:
        raise repository.damaged(name, "it counts other records than the manifest")
    return table


def verify_snapshot(
    repository: Repository, snapshot_id: str, progress: Callable[[VerifyStep], None] | None = None
) -> VerifyReport:
    """Check a snapshot, or the `latest` one; `progress` is told after each segment and may raise to stop.

    Raises:
        UnknownSnapshot: there is none of that id.
        DamagedObject: a byte of it was changed anywhere, or an object is missing; it is named.
    """
    manifest = repository.find(snapshot_id)
    table = check_table(repository, manifest)
    reader = SegmentReader(repository, manifest, table)
    # Pack by pack, so that each is read once whatever the order of the rows.
    rows = sorted(table.rows, key=lambda row: (row.pack, row.offset))
    for done, row in enumerate(rows, 1):
        raw = reader.read(row)
        if row.cluster != DATABASE_PAGE:
            _check_count(repository, table, row, raw)
        if progress is not None:
            progress(VerifyStep(len(rows), done, reader.bytes_read))
    for number in range(len(table.databases)):
        reader.read_database(number)
    return VerifyReport(manifest, len(rows), len(table.packs), sum(row.records for row in rows), reader.bytes_read)


def _check_count(repository: Repository, table: PageTable, row: Row, raw: bytes) -> None:
    name = layout.pack(table.packs[row.pack].hex())
    try:
        found = segment_records(raw)
    except MalformedObject as error:
        raise repository.damaged(name, f"at byte {row.offset}: {error}") from error
    if found != row.records:
        raise repository.damaged(name, f"the segment at byte {row.offset} holds {found} records, not {row.records}")
