"""Reading one pinned state of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from rocksdict import RdictIter, Snapshot

from nodes.store import keys, lookup
from nodes.store.engine import INDEXES, META, RECORDS, point, scan
from nodes.store.packing import Packed, pack
from nodes.store.schema import DatabaseSchema
from nodes.store.state import StoreState
from quiesce.errors import (
    AnswerTooLarge,
    DamagedStore,
    DatabaseImporting,
    StoreClosed,
    UnknownDatabase,
    UnknownRecordCluster,
)
from quiesce.indexing.entries import plan_index
from quiesce.records.rid import MAX_CLUSTER_ID, MAX_POSITION
from quiesce.rpc.limits import ANSWER_BYTES
from quiesce.v1.database_pb2 import Database
from quiesce.v1.node_pb2 import RotationLease
from quiesce.v1.record_pb2 import IndexEntry, LookupMatch, Record, RecordId, ScanResponse

LOOKUP_LIMIT = 1000
Step = TypeVar("Step")


class StoreView:
    """Consistent over everything in the store: records, indexes, schema, lease, all of the index `applied`.

    Every method raises UnknownDatabase for a name that is not there, DatabaseImporting for the records of one that is
    being filled, and DamagedStore where a checksum does not match. One scan of records and one of an index may run at a
    time in a view, in any thread.
    """

    def __init__(
        self,
        snapshots: Mapping[str, Snapshot],
        iterators: dict[str, RdictIter],
        state: StoreState,
        directory: Path,
        release: Callable[[dict[str, RdictIter] | None], None],
    ) -> None:
        self._snapshots: Mapping[str, Snapshot] | None = snapshots
        self._iterators = iterators
        self._all_iterators = len(iterators)
        self._state = state
        self._directory = directory
        self._release: Callable[[dict[str, RdictIter] | None], None] | None = release

    def __enter__(self) -> StoreView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the state; a scan that is under way ends with an error."""
        # Nothing of the store is held afterwards, even if the view itself is.
        release, self._release, self._snapshots = self._release, None, None
        iterators, self._iterators = self._iterators, {}
        if release is not None:
            # Those that a scan holds are not given to anyone else.
            release(iterators if len(iterators) == self._all_iterators else None)

    @property
    def applied(self) -> tuple[int, int]:
        """Index and term of the last log entry whose effects are all seen."""
        return self._state.applied

    @property
    def index(self) -> int:
        """The log index that a reader is told: nothing of a later entry is seen.

        A large entry gets into the store in parts, between two of its commands, and a crash may leave it so. Whoever
        has seen a part must not be shown less by another node afterwards.
        """
        return self._state.applied[0] + bool(self._state.commands_done)

    def log_time_ms(self) -> int:
        """Return the log's time."""
        return self._state.log_time_ms

    def lease(self) -> RotationLease | None:
        """Return the rotation lease, if one is held."""
        return self._state.lease

    # --- databases

    def databases(self) -> list[Database]:
        """Return all databases by name, `system` and those being imported among them, with their counts."""
        return [self._counted(schema) for _, schema in sorted(self._state.databases.items())]

    def database(self, name: str) -> Database:
        """Return a database with the counts of its clusters."""
        return self._counted(self.schema(name))

    def schema(self, name: str) -> DatabaseSchema:
        """Return a database's decoded schema; not to be changed."""
        found = self._state.databases.get(name)
        if found is None:
            raise UnknownDatabase(database=name)
        return found

    def class_clusters(self, database: str, class_name: str) -> list[int]:
        """Return the clusters of a class and its sub-classes, ascending.

        Raises:
            UnknownClass: there is none of that name.
        """
        return self._readable(database).class_clusters(class_name)

    # --- records

    def get(
        self, database: str, ids: Iterable[RecordId], most_bytes: int | None = None
    ) -> tuple[list[Record], list[RecordId]]:
        """Return the records of ids, in order, and the ids that have none.

        Raises:
            AnswerTooLarge: they have more than `most_bytes`, by default what goes into one message.
        """
        schema = self._readable(database)
        snapshot = self._family(RECORDS)
        ids = list(ids)
        left = limit_bytes = ANSWER_BYTES if most_bytes is None else most_bytes
        records: list[Record] = []
        missing: list[RecordId] = []
        for rid in ids:
            value = None
            if rid.cluster <= MAX_CLUSTER_ID and not schema.filling(rid.cluster):
                value = point(snapshot, keys.RECORD.pack(schema.id, rid.cluster, rid.position), self._directory)
            if value is None:
                missing.append(rid)
            else:
                records.append(_record(rid.cluster, rid.position, value))
                left -= len(value)
                if left < 0:
                    raise AnswerTooLarge(records=len(ids), limit=limit_bytes)
        return records, missing

    def scan_cluster(self, database: str, cluster: int, after: int | None = None) -> Iterator[list[Record]]:
        """Yield a cluster's records as `scan_packed` does, unpacked."""
        return (list(ScanResponse.FromString(one.wire).records) for one in self.scan_packed(database, cluster, after))

    def scan_packed(
        self, database: str, cluster: int, after: int | None = None, limit: int | None = None
    ) -> Iterator[Packed]:
        """Yield a cluster's records by position, behind `after`, at most `limit`, packed in steps of bounded size.

        Raises:
            UnknownRecordCluster: there is none of that id.
        """
        schema = self._readable(database)
        if schema.cluster(cluster).importing:
            raise UnknownRecordCluster(cluster=cluster, database=database)
        begin, end = keys.cluster_range(schema.id, cluster)
        if after is not None:
            begin = keys.RECORD.pack(schema.id, cluster, min(after, MAX_POSITION) + 1)
        return self._walk(RECORDS, lambda rows: pack(rows, begin, end, self._directory, limit))

    # --- indexes

    def lookup(
        self,
        database: str,
        index_name: str,
        keys_json: Sequence[bytes],
        limit: int,
        most_bytes: int | None = None,
    ) -> list[LookupMatch]:
        """Return the records of each key; a key is a JSON array of one value a field.

        At most `limit` records a key (0: 1,000), and about `most_bytes` in all; where one of them cuts, it says so.

        Raises:
            UnknownIndex, IndexNotMaintained: the index cannot be asked.
            InvalidRequest: a key is not such an array, or its values do not fit the index.
        """
        schema = self._readable(database)
        plan = plan_index(schema.id, schema.index(index_name))
        limit = limit or LOOKUP_LIMIT
        left = ANSWER_BYTES if most_bytes is None else most_bytes
        matches = []
        for text in keys_json:
            match = LookupMatch()
            for count, rid in enumerate(self._ids(plan.unique, lookup.key_of(plan, text))):
                if count == limit or left <= 0:
                    match.truncated = True
                    break
                value = point(self._family(RECORDS), keys.RECORD.pack(schema.id, *rid), self._directory)
                if value is None:
                    raise DamagedStore(path=self._directory, detail=f"index `{index_name}` names {keys.rid_text(*rid)}")
                match.records.append(_record(*rid, value))
                left -= len(value)
            matches.append(match)
        return matches

    def _ids(self, unique: bool, key: bytes) -> Iterator[tuple[int, int]]:
        if unique:
            value = point(self._family(INDEXES), key, self._directory)
            if value is not None:
                yield keys.ENTRY_RID.unpack(value)
            return
        for entry, _ in self._scan(INDEXES, key, keys.after(key)):
            yield keys.ENTRY_RID.unpack(entry[-keys.ENTRY_RID.size :])

    def scan_index(self, database: str, index_name: str, batch: int = 1000) -> Iterator[list[IndexEntry]]:
        """Yield the entries of an index in key order, in lists of at most `batch`.

        Raises:
            UnknownIndex, IndexNotMaintained: the index cannot be asked.
        """
        schema = self._readable(database)
        plan = plan_index(schema.id, schema.index(index_name))
        rows = self._scan(INDEXES, plan.prefix, keys.after(plan.prefix))
        return self._entry_batches(rows, plan.unique, len(plan.prefix), batch)

    def _entry_batches(
        self, rows: Iterator[tuple[bytes, bytes]], unique: bool, prefix: int, batch: int
    ) -> Iterator[list[IndexEntry]]:
        found: list[IndexEntry] = []
        tail = keys.ENTRY_RID.size
        for key, value in rows:
            if unique:
                found.append(IndexEntry(key=key[prefix:], id=_rid(value)))
            else:
                found.append(IndexEntry(key=key[prefix:-tail], id=_rid(key[-tail:])))
            if len(found) >= batch:
                yield found
                found = []
        if found:
            yield found

    # --- below

    def _readable(self, name: str) -> DatabaseSchema:
        schema = self.schema(name)
        if schema.importing:
            raise DatabaseImporting(database=name)
        return schema

    def _counted(self, schema: DatabaseSchema) -> Database:
        message = Database()
        message.CopyFrom(schema.message)
        begin, end = keys.counters_range(schema.id)
        by_id = {cluster.id: cluster for cluster in message.clusters}
        for key, value in self._scan(META, begin, end):
            # A dropped cluster's counters stay, so that its positions are never used again.
            cluster = by_id.get(keys.counters_of(key)[1])
            if cluster is not None:
                cluster.next_position, cluster.records = keys.COUNTERS_VALUE.unpack(value)
        return message

    def _family(self, name: str) -> Snapshot:
        if self._snapshots is None:
            raise StoreClosed
        return self._snapshots[name]

    def _scan(self, family: str, begin: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self._walk(family, lambda rows: scan(rows, begin, end, self._directory))

    def _walk(self, family: str, walk: Callable[[RdictIter], Iterator[Step]]) -> Iterator[Step]:
        """Yield what `walk` makes of a family's iterator, which nobody else has meanwhile."""
        if self._snapshots is None:
            raise StoreClosed
        rows = self._iterators.pop(family, None)
        if rows is None:
            raise RuntimeError(f"a view scans its {family} one at a time")
        try:
            for step in walk(rows):
                yield step
                if self._snapshots is None:
                    raise StoreClosed
        finally:
            if self._snapshots is not None:
                self._iterators[family] = rows


def _record(cluster: int, position: int, value: bytes) -> Record:
    version, kind, body = keys.split_record(value)
    return Record(cluster=cluster, position=position, version=version, kind=kind, body=body)  # type: ignore[arg-type]


def _rid(raw: bytes) -> RecordId:
    cluster, position = keys.ENTRY_RID.unpack(raw)
    return RecordId(cluster=cluster, position=position)
