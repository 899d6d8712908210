"""A store in memory, as the worker reads it and a restore fills it, and how to make a snapshot of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nodes.rate_limit import RateLimit
from nodes.worker.base import find_known
from nodes.worker.progress import Counts
from nodes.worker.snapshot import SnapshotMaker, SnapshotRequest
from quiesce.repository import Repository, open_repository
from quiesce.repository.pins import clock_ms
from quiesce.repository.writing import Writing
from quiesce.snapshot import PAGE_POSITIONS, Manifest, ManifestMark
from quiesce.v1.database_pb2 import DATABASE_STATE_ONLINE, Cluster, Database


@dataclass
class MemoryStore:
    """Records by (database id, cluster, position); page stamps as the store keeps them."""

    definitions: list[Database] = field(default_factory=list)
    records: dict[tuple[int, int, int], tuple[int, int, bytes]] = field(default_factory=dict)
    stamps: dict[tuple[int, int, int], int] = field(default_factory=dict)
    index: int = 10
    term: int = 2
    pages_read: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def applied(self) -> tuple[int, int]:
        return (self.index, self.term)

    def add_database(self, database: Database) -> int:
        added = Database()
        added.CopyFrom(database)
        added.id = len(self.definitions) + 1
        self.definitions.append(added)
        return added.id

    def put(self, database_id: int, cluster: int, position: int, body: bytes | None, version: int = 1) -> None:
        """Write one record, or delete it, at the next index."""
        self.index += 1
        self.stamps[database_id, cluster, position // PAGE_POSITIONS] = self.index
        if body is None:
            self.records.pop((database_id, cluster, position), None)
        else:
            self.records[database_id, cluster, position] = (version, 1, body)

    def load_records(self, database_id: int, cluster: int, records: Iterable[tuple[int, int, int, bytes]]) -> int:
        for position, version, kind, body in records:
            self.records[database_id, cluster, position] = (version, kind, body)
            self.stamps[database_id, cluster, position // PAGE_POSITIONS] = 1
        return 0

    def databases(self) -> list[Database]:
        return list(self.definitions)

    def pages(self, database_id: int) -> Iterator[tuple[int, int, int]]:
        for (database, cluster, page), stamp in sorted(self.stamps.items()):
            if database == database_id:
                yield cluster, page, stamp

    def records_of(
        self, database_id: int, cluster: int, first_position: int, last_position: int
    ) -> Iterator[tuple[int, int, int, bytes]]:
        self.pages_read.append((database_id, cluster, first_position // PAGE_POSITIONS))
        for position in range(first_position, last_position + 1):
            found = self.records.get((database_id, cluster, position))
            if found is not None:
                yield (position, *found)


def world(pages: int = 4, per_page: int = 20) -> MemoryStore:
    """Two databases with two clusters each, `pages` pages a cluster."""
    store = MemoryStore()
    for name in ("world", "atlas"):
        clusters = [
            Cluster(id=3, name="default", next_position=10_000),
            Cluster(id=9, name="city", next_position=20_000),
        ]
        database_id = store.add_database(Database(name=name, state=DATABASE_STATE_ONLINE, clusters=clusters))
        for cluster in (3, 9):
            for page in range(pages):
                for number in range(per_page):
                    body = b'{"name":"%s %d","n":%d}' % (name.encode() * 3, page, number * cluster)
                    store.put(database_id, cluster, page * PAGE_POSITIONS + number * 7, body, version=number + 1)
    return store


def take(
    store: MemoryStore,
    repository: Repository | Path,
    snapshot_id: str,
    *,
    databases: tuple[str, ...] = (),
    cluster_id: str = "c1",
    node_id: int = 2,
    publish: bool = True,
    warnings: list[str] | None = None,
) -> tuple[Manifest, Counts]:
    """Make a snapshot of the store as it is, as the worker's main function does."""
    opened = repository if isinstance(repository, Repository) else open_repository(repository, create=True)
    mark = ManifestMark(store.term, store.index, 1_700_000_000_000, 5)
    names = databases or tuple(database.name for database in store.databases())
    writing = Writing(opened, snapshot_id, clock_ms)
    known = find_known(opened, cluster_id, mark, names, ([] if warnings is None else warnings).append, writing.avoid)
    maker = SnapshotMaker(store, opened, known, RateLimit(0), lambda counts: None)
    request = SnapshotRequest(snapshot_id, cluster_id, node_id, mark, databases, "test")
    manifest = maker.run(request, started_ms=1_700_000_000_000 + store.index)
    if publish:
        opened.publish_manifest(manifest)
    return manifest, maker.counts
