"""Databases in memory, as far as the coordinator keeps its state in them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence

from quiesce import errors
from quiesce.records import RID, Record
from quiesce.v1 import record_pb2
from quiesce.v1.database_pb2 import ClassDefinition, Database, SchemaChange


class FakeDocuments:
    """`fail[name]` holds errors that calls of that name raise, one after another."""

    def __init__(self) -> None:
        self.fail: dict[str, list[errors.QuiesceError]] = {}
        self.calls: list[str] = []
        self.databases: dict[str, Database] = {}
        self.documents: dict[RID, Record] = {}
        self.positions = 0
        # By class: the field whose values are unique.
        self.unique: dict[str, str] = {}

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.fail.get(name):
            raise self.fail[name].pop(0)

    async def database(self, name: str) -> Database:
        self._called("database")
        if name not in self.databases:
            raise errors.UnknownDatabase(database=name)
        return self.databases[name]

    async def create_database(self, name: str, *, importing: bool = False) -> Database:
        self._called("create_database")
        if name in self.databases:
            raise errors.DatabaseExists(database=name)
        self.databases[name] = Database(name=name)
        return self.databases[name]

    async def alter_schema(self, name: str, changes: Sequence[SchemaChange]) -> Database:
        self._called("alter_schema")
        database = self.databases[name]
        for change in changes:
            if change.HasField("create_class"):
                if any(known.name == change.create_class.name for known in database.classes):
                    raise errors.InvalidSchemaChange(database=name, detail="the class exists")
                database.classes.append(ClassDefinition(name=change.create_class.name))
            elif change.HasField("create_index"):
                self.unique[change.create_index.class_name] = change.create_index.fields[0].name
        return database

    async def write(
        self, database: str, operations: Sequence[record_pb2.Operation], *, timeout_s: float | None = None
    ) -> record_pb2.WriteResponse:
        self._called("write")
        if database not in self.databases:
            raise errors.UnknownDatabase(database=database)
        before = dict(self.documents)
        try:
            written = [self._write(operation) for operation in operations]
        except errors.QuiesceError:
            self.documents = before
            raise
        self._called("write_answer")
        return record_pb2.WriteResponse(index=1, written=written)

    def _write(self, operation: record_pb2.Operation) -> record_pb2.Record:
        match operation.WhichOneof("operation"):
            case "create":
                self._check_unique(operation.create)
                rid, version, body = RID(9, self.positions), 1, operation.create.body
                self.positions += 1
            case "update":
                rid, body = RID(operation.update.cluster, operation.update.position), operation.update.body
                version = self._expect(rid, operation.update) + 1
            case _:
                rid = RID(operation.delete.cluster, operation.delete.position)
                version, body = self._expect(rid, operation.delete), b""
        message = record_pb2.Record(
            cluster=rid.cluster, position=rid.position, version=version, kind=record_pb2.RECORD_KIND_DOCUMENT, body=body
        )
        if body:
            self.documents[rid] = Record.of(message)
        else:
            del self.documents[rid]
        return message

    def _check_unique(self, create: record_pb2.Create) -> None:
        key = self.unique.get(create.class_name)
        if key is None:
            return
        value = json.loads(create.body)[key]
        for rid, record in self.documents.items():
            known = record.document()
            if known.get("@class") == create.class_name and known.get(key) == value:
                raise errors.DuplicateKey(index=f"{create.class_name}.{key}", key=value, rid=rid, other=rid)

    def _expect(self, rid: RID, change: record_pb2.Update | record_pb2.Delete) -> int:
        if rid not in self.documents:
            raise errors.UnknownRecord(rid=rid)
        version = self.documents[rid].version
        if change.HasField("expected_version") and version != change.expected_version:
            raise errors.StaleVersion(rid=rid, actual=version, expected=change.expected_version)
        return version

    async def get(
        self, database: str, ids: Iterable[RID], *, stale: bool = False, timeout_s: float | None = None
    ) -> dict[RID, Record]:
        self._called("get")
        return {rid: self.documents[rid] for rid in ids if rid in self.documents}

    async def scan(self, database: str, *, class_name: str | None = None) -> AsyncIterator[record_pb2.ScanResponse]:
        self._called("scan")
        found = [
            record_pb2.Record(
                cluster=rid.cluster, position=rid.position, version=r.version, kind=int(r.kind), body=r.body
            )
            for rid, r in self.documents.items()
            if class_name is None or r.document().get("@class") == class_name
        ]
        yield record_pb2.ScanResponse(index=1, records=found)
