"""Building a store from the records of a snapshot.

Records come in the order of their keys, so they are written as table files that RocksDB takes in as they are, past
its log and its memtables. Nothing of it counts before `finish`: a store without its format mark is an empty one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from nodes.store import fsync, keys
from nodes.store.engine import META, PAGES, RECORDS, SCHEMA
from nodes.store.index_fill import fill
from nodes.store.schema import DatabaseSchema
from nodes.store.state import STORE_FORMAT, encoded_database
from nodes.store.store import Store
from quiesce.errors import DirectoryNotEmpty, InvalidRequest
from quiesce.indexing.entries import plan_index
from quiesce.v1.database_pb2 import Database

# One table file.
TABLE_BYTES = 64 << 20

Loaded = tuple[int, int, int, bytes]


class StoreLoader:
    """Loads a store in a new directory (the node's `store`).

    Raises:
        DirectoryNotEmpty: something is there already.
        DiskFailed: the disk answers with an error, or is full.
    """

    def __init__(self, directory: Path) -> None:
        if directory.exists() and any(directory.iterdir()):
            raise DirectoryNotEmpty(path=directory)
        self._store = Store(directory)
        self._engine = self._store.engine
        self._tables = directory / "store-loading"
        self._tables.mkdir()
        self._databases: dict[int, DatabaseSchema] = {}
        # Next position and count by database and cluster.
        self._counters: dict[tuple[int, int], tuple[int, int]] = {}
        self._pages: set[bytes] = set()
        self._table = 0

    def add_database(self, database: Database) -> int:
        """Add a database with its schema, and return its id, which is the one it had.

        Raises:
            InvalidRequest: it has no id, or one that another has.
        """
        if not database.id or database.id in self._databases:
            raise InvalidRequest(detail=f"database `{database.name}` has the id {database.id}, which cannot be")
        message = Database()
        message.CopyFrom(database)
        for cluster in message.clusters:
            self._counters[message.id, cluster.id] = (cluster.next_position, 0)
            cluster.ClearField("next_position")
            cluster.ClearField("records")
        self._databases[message.id] = DatabaseSchema(message)
        return message.id

    def load_records(self, database_id: int, cluster: int, records: Iterable[Loaded]) -> int:
        """Load position, version, kind and body of records, by ascending position, and return how many there were.

        A cluster may come in several calls, each behind the one before.

        Raises:
            InvalidRequest: they are not in order.
            UnknownRecordCluster: the database has no such cluster.
        """
        self._databases[database_id].cluster(cluster)
        following, count = self._counters[database_id, cluster]
        tables: list[Path] = []
        writer = None
        size = loaded = 0
        last = -1
        pack, header = keys.RECORD.pack, keys.RECORD_HEADER.pack
        for position, version, kind, body in records:
            if position <= last:
                raise InvalidRequest(detail=f"position {position} of cluster {cluster} comes after {last}")
            last = position
            if writer is None:
                tables.append(self._next_table())
                writer = self._engine.table_writer(tables[-1])
            with self._engine.errors("writing"):
                writer[pack(database_id, cluster, position)] = header(version, kind) + body
            self._pages.add(pack(database_id, cluster, position >> keys.PAGE_SHIFT))
            loaded += 1
            size += len(body)
            if size >= TABLE_BYTES:
                with self._engine.errors("writing"):
                    writer.finish()
                writer, size = None, 0
        if writer is not None:
            with self._engine.errors("writing"):
                writer.finish()
        if tables:
            self._engine.ingest(RECORDS, tables)
            self._counters[database_id, cluster] = (max(following, last + 1), count + loaded)
        return loaded

    def finish(self, index: int, term: int, progress: Callable[[int], None] = lambda _: None) -> int:
        """Build the indexes, make everything durable as of a log index and term, and close; return index entries.

        Raises:
            DuplicateKey, InvalidDocument: the records do not fit the indexes of their database.
        """
        entries = 0
        for database_id, schema in sorted(self._databases.items()):
            for definition in sorted(schema.message.indexes, key=lambda definition: definition.id):
                if definition.maintained:
                    clusters = schema.class_clusters(definition.class_name)
                    plan = plan_index(database_id, definition)
                    entries += fill(self._engine, database_id, plan, clusters, wal=False)
                    progress(entries)
        self._load_pages(index)
        self._engine.flush()
        batch = self._engine.new_batch()
        self._engine.target(batch, SCHEMA)
        for database_id, schema in sorted(self._databases.items()):
            batch[keys.DATABASE.pack(database_id)] = encoded_database(schema.message)
        self._engine.target(batch, META)
        for (database_id, cluster), counter in sorted(self._counters.items()):
            if any(counter):
                batch[keys.counters_key(database_id, cluster)] = keys.COUNTERS_VALUE.pack(*counter)
        for database_id, schema in self._databases.items():
            lowest = (max(schema.clusters, default=-1) + 1, max((i.id for i in schema.message.indexes), default=0) + 1)
            batch[keys.allocation_key(database_id)] = keys.ALLOCATION_VALUE.pack(*lowest)
        batch[keys.APPLIED] = keys.APPLIED_VALUE.pack(index, term, 0)
        batch[keys.CLOCK] = bytes(8)
        batch[keys.NEXT_DATABASE] = (max(self._databases, default=0) + 1).to_bytes(4, "big")
        batch[keys.FORMAT] = STORE_FORMAT
        self._store.commit(batch, replace(self._store.state, applied=(index, term)))
        self._engine.flush()
        fsync.remove_tree(self._tables)
        self._store.close()
        return entries

    def _load_pages(self, index: int) -> None:
        stamp = keys.STAMP.pack(index)
        if not self._pages:
            return
        table = self._next_table()
        writer = self._engine.table_writer(table)
        with self._engine.errors("writing"):
            for key in sorted(self._pages):
                writer[key] = stamp
            writer.finish()
        self._engine.ingest(PAGES, [table])

    def _next_table(self) -> Path:
        self._table += 1
        return self._tables / f"{self._table}.sst"
