"""What a snapshot of a store would hold: its content id, and of each database the records and links."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nodes.check.rocksdb import mirrored
from nodes.restore.proof import content_id_of
from nodes.store import SnapshotReader, keys
from nodes.store.engine import RECORDS, Engine
from quiesce.orientdb.links import LinkCheck, LinkWalk, property_types
from quiesce.orientdb.record_text import LARGEST_CLUSTER, LARGEST_POSITION, ExportedRecord
from quiesce.v1.database_pb2 import Database

_PROGRESS_EVERY = 4096


@dataclass(slots=True)
class DatabaseExtent:
    """How much there is of a database. Links count that lead to a record, and as dangling those that do not."""

    name: str
    records: int = 0
    links: int = 0
    dangling_links: int = 0


@dataclass(frozen=True, slots=True)
class Extent:
    """What a snapshot of all databases would hold."""

    content_id: str
    databases: list[DatabaseExtent]


def extent_of(directory: Path, progress: Callable[[int], None]) -> Extent:
    """Read all records of the store in `directory`, which nobody has open; `progress` is told how many more.

    Raises:
        DamagedStore, DiskFailed: it cannot be read.
    """
    with mirrored(directory, whole=False) as engine:
        source = _Counting(engine, progress)
        content_id = content_id_of(source)
        return Extent(content_id, source.extents())


class _Counting:
    """Passes the records of a store on, and counts them and their links on the way."""

    def __init__(self, engine: Engine, progress: Callable[[int], None]) -> None:
        self._engine = engine
        self._reader = SnapshotReader(engine)
        self._progress = progress
        self._extents: dict[int, DatabaseExtent] = {}
        self._links: dict[int, LinkCheck] = {}

    @property
    def applied(self) -> tuple[int, int]:
        return self._reader.applied

    def databases(self) -> list[Database]:
        found = self._reader.databases()
        for database in found:
            self._extents[database.id] = DatabaseExtent(database.name)
            types = property_types(database.classes)
            self._links[database.id] = LinkCheck(self._resolves(database.id), LinkWalk(types))
        return found

    def pages(self, database_id: int) -> Iterable[tuple[int, int, int]]:
        return self._reader.pages(database_id)

    def records_of(
        self, database_id: int, cluster: int, first_position: int, last_position: int
    ) -> Iterator[tuple[int, int, int, bytes]]:
        extent, links = self._extents[database_id], self._links[database_id]
        for record in self._reader.records_of(database_id, cluster, first_position, last_position):
            position, version, kind, body = record
            links.look_at([ExportedRecord(cluster, position, version, kind, body, byte=0)])  # type: ignore[arg-type]
            extent.records += 1
            if extent.records % _PROGRESS_EVERY == 0:
                self._progress(_PROGRESS_EVERY)
            yield record

    def extents(self) -> list[DatabaseExtent]:
        """Return what was counted."""
        for database_id, extent in self._extents.items():
            extent.links = self._links[database_id].resolved
            extent.dangling_links = self._links[database_id].dangling
        return list(self._extents.values())

    def _resolves(self, database_id: int) -> Callable[[tuple[int, int]], bool]:
        def resolves(rid: tuple[int, int]) -> bool:
            cluster, position = rid
            if not (0 <= cluster <= LARGEST_CLUSTER and 0 <= position <= LARGEST_POSITION):
                return False
            return self._engine.get(RECORDS, keys.RECORD.pack(database_id, cluster, position)) is not None

        return resolves
