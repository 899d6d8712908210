"""Loads the records of a snapshot into a store, and checks every byte on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Protocol

from quiesce.repository import Repository, SegmentReader, layout
from quiesce.repository.verify import check_table
from quiesce.snapshot import DATABASE_PAGE, MalformedObject, Manifest, Row, decode_segment
from quiesce.v1.database_pb2 import Database
from quiesce.v1.node_pb2 import RestoreProgress


class RecordLoader(Protocol):
    """Implemented by nodes.store.StoreLoader."""

    def add_database(self, database: Database) -> int:
        """Make a database with the id it had, and return that."""

    def load_records(self, database_id: int, cluster: int, records: Iterable[tuple[int, int, int, bytes]]) -> object:
        """Store (position, version, kind, body) in the order of positions, with what indexes them."""


class SnapshotLoad:
    """One run. `progress` is told after every segment, and may raise to stop."""

    def __init__(
        self, repository: Repository, manifest: Manifest, progress: Callable[[RestoreProgress], None] | None = None
    ) -> None:
        self._repository = repository
        self._table = check_table(repository, manifest)
        self._reader = SegmentReader(repository, manifest, self._table)
        self._tell = progress
        self.progress = RestoreProgress(pages_total=len(self._table.rows))

    def run(self, loader: RecordLoader) -> None:
        """Give everything to the loader.

        Raises:
            DamagedObject: an object is missing, or a byte of it was changed; what was loaded is of no use.
        """
        for number in range(len(self._table.databases)):
            database = self._reader.read_database(number)
            database.id = self._table.databases[number].id
            database_id = loader.add_database(database)
            rows = [row for row in self._table.rows if row.database == number]
            for cluster, of_cluster in groupby(rows, key=lambda row: row.cluster):
                if cluster == DATABASE_PAGE:
                    self._done(sum(1 for _ in of_cluster))
                else:
                    loader.load_records(database_id, cluster, self._records(of_cluster))
        if self.progress.pages_done != self.progress.pages_total:
            loaded = f"{self.progress.pages_done} of {self.progress.pages_total}"
            raise AssertionError(f"the loader took {loaded} segments")

    def index_entries(self, count: int) -> None:
        """Tell that so many entries of indexes have been built."""
        self.progress.index_entries = count
        if self._tell is not None:
            self._tell(self.progress)

    def _records(self, rows: Iterable[Row]) -> Iterator[tuple[int, int, int, bytes]]:
        for row in rows:
            raw = self._reader.read(row)
            try:
                records = decode_segment(row.page, raw)
            except MalformedObject as error:
                pack = layout.pack(self._table.packs[row.pack].hex())
                raise self._repository.damaged(pack, f"at byte {row.offset}: {error}") from error
            yield from records
            self.progress.records += len(records)
            self._done(1)

    def _done(self, segments: int) -> None:
        self.progress.pages_done += segments
        self.progress.bytes_read = self._reader.bytes_read
        if self._tell is not None:
            self._tell(self.progress)
