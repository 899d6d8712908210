"""Collects the rows of a page table while the packs they point into are still being filled."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from quiesce.snapshot import DatabaseSummary, PageTable, Row, TableDatabase
from quiesce.v1.database_pb2 import Database


class Place(NamedTuple):
    """Where a segment lies. `pack` is the digest of a pack in the repository, or the number of one of this run."""

    pack: bytes | int
    offset: int
    stored_length: int


class TableBuilder:
    """Rows are added in the order of the table; packs are numbered in the order of their first row.

    So equal content in equal packs makes equal tables, byte for byte.
    """

    def __init__(self) -> None:
        self._packs: dict[bytes | int, int] = {}
        self._rows: list[Row] = []

    def add(
        self,
        page: tuple[int, int, int],
        segment: int,
        content: tuple[bytes, int, int],
        stamp: int,
        place: Place,
    ) -> None:
        """Add a segment: `page` is (database number, cluster, page), `content` (digest, records, raw length)."""
        pack = self._packs.setdefault(place.pack, len(self._packs))
        self._rows.append(Row(*page, segment, *content, pack, place.offset, place.stored_length, stamp))

    def build(self, databases: Iterable[Database], uploaded: list[bytes]) -> PageTable:
        """Return the table; `uploaded` are the digests of the packs of this run, by number."""
        packs = [uploaded[pack] if isinstance(pack, int) else pack for pack in self._packs]
        return PageTable([TableDatabase(database.name, database.id) for database in databases], packs, self._rows)


def database_summaries(table: PageTable) -> list[DatabaseSummary]:
    """Return what each database of a table comes to."""
    sums = [[0, 0, 0] for _ in table.databases]
    for row in table.rows:
        counted = sums[row.database]
        counted[0] += row.records
        counted[1] += 1
        counted[2] += row.raw_length
    return [
        DatabaseSummary(database.name, database.id, *counted)
        for database, counted in zip(table.databases, sums, strict=True)
    ]
