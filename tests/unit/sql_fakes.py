"""A database in memory, to which statements are put without a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from nodes.store.schema import DatabaseSchema
from nodes.store.schema_changes import change_schema, new_database
from quiesce.errors import DuplicateKey, PositionTaken, StaleVersion, UnknownRecord
from quiesce.records import RID, Record, RecordKind, encode_key
from quiesce.sql.catalog import Catalog
from quiesce.sql.changes import Changes
from quiesce.sql.definitions import schema_changes
from quiesce.sql.parsing import parse
from quiesce.sql.planning import LookUp, plan
from quiesce.sql.queries import Queries
from quiesce.sql.rows import Computed, Element, Row
from quiesce.sql.statements import (
    CreateEdge,
    CreateVertex,
    Delete,
    DeleteEdgesBetween,
    Insert,
    Select,
    Truncate,
    Update,
)
from quiesce.v1.record_pb2 import Operation, WriteResponse

__all__ = ["LookUp", "Memory", "plan"]


class Memory:
    """Keeps records in a dictionary; a Reader and a Store at once. `before_write` runs before each transaction."""

    def __init__(self) -> None:
        result = new_database("memory", 1, importing=False)
        self.message = result.message
        self._next = result.next_cluster, result.next_index
        self.records: dict[RID, Record] = {}
        self._following: dict[int, int] = {}
        self.fetches = 0
        self.lookups = 0
        self.writes = 0
        self.before_write = lambda: None

    # --- statements

    def run(self, text: str) -> Any:
        """Carry out a statement; return rows as dictionaries, or a count."""
        statement = parse(text)
        if isinstance(statement, Select):
            return [plain(row) for row in Queries(self, self.catalog()).select(statement)]
        changes = Changes(self)
        run = {
            Insert: changes.insert,
            Update: changes.update,
            Delete: changes.delete,
            DeleteEdgesBetween: changes.delete_between,
            CreateVertex: changes.create_vertex,
            CreateEdge: changes.create_edge,
            Truncate: changes.truncate,
        }.get(type(statement))
        if run is not None:
            found: Any = run(statement)  # type: ignore[operator]
            return found if isinstance(found, int) else [plain(row) for row in found]
        changed = schema_changes(statement, self.catalog())  # type: ignore[arg-type]
        result = change_schema(
            DatabaseSchema(self.message), changed, next_cluster=self._next[0], next_index=self._next[1]
        )
        self.message, self._next = result.message, (result.next_cluster, result.next_index)
        return None

    # --- Store

    def reader(self) -> Memory:
        return self

    def catalog(self) -> Catalog:
        for cluster in self.message.clusters:
            cluster.records = sum(rid.cluster == cluster.id for rid in self.records)
            cluster.next_position = self._following.get(cluster.id, 0)
        return Catalog(self.message)

    def write(self, operations: Sequence[Operation]) -> WriteResponse:
        self.before_write()
        self.writes += 1
        draft, following = dict(self.records), dict(self._following)
        answer = WriteResponse()
        for operation in operations:
            kind = operation.WhichOneof("operation")
            if kind == "create":
                created = operation.create
                cluster = created.cluster
                if created.WhichOneof("place") == "class_name":
                    cluster = self.catalog().definition(created.class_name).default_cluster_id
                position = following.get(cluster, 0)
                if created.HasField("position") and created.position != position:
                    raise PositionTaken(cluster=cluster, expected=created.position, actual=position)
                following[cluster] = position + 1
                draft[RID(cluster, position)] = Record(RID(cluster, position), 1, RecordKind.DOCUMENT, created.body)
                answer.written.add(cluster=cluster, position=position, version=1)
                continue
            change = operation.update if kind == "update" else operation.delete
            rid = RID(change.cluster, change.position)
            if rid not in draft:
                raise UnknownRecord(rid=rid, database="memory")
            if change.HasField("expected_version") and change.expected_version != draft[rid].version:
                raise StaleVersion(rid=rid, actual=draft[rid].version, expected=change.expected_version)
            if kind == "delete":
                del draft[rid]
            else:
                draft[rid] = Record(rid, draft[rid].version + 1, RecordKind.DOCUMENT, operation.update.body)
        self._check_unique(draft)
        self.records, self._following = draft, following
        return answer

    def _check_unique(self, draft: dict[RID, Record]) -> None:
        for index in self.message.indexes:
            if index.type == "UNIQUE":
                seen: dict[bytes, RID] = {}
                for rid, key in self._entries(index.name, draft):
                    if key in seen:
                        raise DuplicateKey(key=key, index=index.name, rid=seen[key], other=rid)
                    seen[key] = rid

    def _entries(self, name: str, records: dict[RID, Record]) -> Iterator[tuple[RID, bytes]]:
        catalog = self.catalog()
        index = catalog.index(name)
        clusters = catalog.class_clusters(index.class_name)
        for rid, record in records.items():
            if rid.cluster in clusters:
                document = record.document()
                yield rid, encode_key([document.get(part.name) for part in index.fields])

    # --- Reader

    def scan(
        self, *, class_name: str | None = None, cluster: int | None = None, limit: int = 0
    ) -> Iterator[list[Record]]:
        clusters = [cluster] if class_name is None else self.catalog().class_clusters(class_name)
        found = [record for rid, record in sorted(self.records.items()) if rid.cluster in clusters]
        found = found[:limit] if limit else found
        for first in range(0, len(found), 3):
            yield found[first : first + 3]

    def get(self, rids: Sequence[RID]) -> list[Record]:
        self.fetches += 1
        return [self.records[rid] for rid in rids if rid in self.records]

    def look_up(self, index: str, keys: Sequence[Sequence[Any]]) -> list[Record] | None:
        self.lookups += 1
        wanted = {encode_key(key) for key in keys}
        return [self.records[rid] for rid, key in self._entries(index, self.records) if key in wanted]

    def entries(self, index: str) -> Iterator[list[tuple[bytes, RID]]]:
        yield []


def plain(row: Row) -> dict[str, Any]:
    """Return a row as a dictionary; of a record with `@rid` and `@version`."""
    fields = dict(row.fields())
    if isinstance(row, Element):
        return {"@rid": row.rid, "@version": row.version, **fields}
    assert isinstance(row, Computed)
    return fields
