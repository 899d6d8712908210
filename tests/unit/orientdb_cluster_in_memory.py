"""A cluster in memory with what an import and an export ask of a client; it keeps unique single-field indexes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import msgspec

from quiesce.errors import DatabaseExists, DatabaseImporting, DuplicateKey, InvalidSchemaChange, UnknownDatabase
from quiesce.v1.database_pb2 import Cluster, Database, DatabaseState, SchemaChange
from quiesce.v1.record_pb2 import Create, Operation, Record, RecordKind, ScanResponse, WriteResponse

IMPORTING = DatabaseState.DATABASE_STATE_IMPORTING
ONLINE = DatabaseState.DATABASE_STATE_ONLINE


@dataclass
class Stored:
    definition: Database
    records: dict[tuple[int, int], Record] = field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)


@dataclass
class ClusterInMemory:
    databases: dict[str, Stored] = field(default_factory=dict)
    # The write of this number, counted from 1, fails with this.
    fail_write: tuple[int, BaseException] | None = None
    fail_drop: Exception | None = None
    lose_answer_of_publish: Exception | None = None
    # Records that vanish without a word.
    swallow: set[tuple[int, int]] = field(default_factory=set)
    # Break the scan after the message of this number, so many times.
    break_scan: tuple[int, Exception, int] | None = None
    batch: int = 100
    writes: int = 0
    largest_write: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    calls: list[str] = field(default_factory=list)

    async def list_databases(self, *, all: bool = False) -> list[Database]:  # noqa: A002
        return [one.definition for one in self.databases.values() if all or one.definition.state == ONLINE]

    async def create_database(self, name: str, *, importing: bool = False) -> Database:
        self.calls.append("create")
        if name in self.databases:
            raise DatabaseExists(database=name)
        state = IMPORTING if importing else ONLINE
        self.databases[name] = Stored(Database(name=name, id=1, state=state))
        return self.databases[name].definition

    async def drop_database(self, name: str) -> None:
        self.calls.append("drop")
        if self.fail_drop:
            raise self.fail_drop
        del self._named(name).definition, self.databases[name]

    async def database(self, name: str) -> Database:
        stored = self._named(name)
        counts: dict[int, int] = {}
        for cluster, _ in stored.records:
            counts[cluster] = counts.get(cluster, 0) + 1
        answer = Database()
        answer.CopyFrom(stored.definition)
        for one in answer.clusters:
            one.records = counts.get(one.id, 0)
        return answer

    async def alter_schema(self, name: str, changes: Sequence[SchemaChange]) -> Database:
        database = self._named(name).definition
        for change in changes:
            match change.WhichOneof("change"):
                case "create_cluster":
                    database.clusters.append(change.create_cluster)
                case "create_class":
                    known = {one.name for one in database.classes}
                    if not known.issuperset(change.create_class.super_classes):
                        raise InvalidSchemaChange(database=name, detail="a super-class comes later")
                    if not {one.id for one in database.clusters}.issuperset(change.create_class.cluster_ids):
                        raise InvalidSchemaChange(database=name, detail="a class names an unknown cluster")
                    database.classes.append(change.create_class)
                case "create_index":
                    database.indexes.append(change.create_index)
                    database.indexes[-1].id = len(database.indexes)
                case "preserve":
                    database.preserved[change.preserve.section] = change.preserve.json
                case other:
                    raise AssertionError(other)
        return database

    async def publish_database(self, name: str) -> Database:
        self._named(name).definition.state = ONLINE
        if self.lose_answer_of_publish:
            raise self.lose_answer_of_publish
        return self._named(name).definition

    async def write(
        self, database: str, operations: Sequence[Operation], *, timeout_s: float | None = None
    ) -> WriteResponse:
        stored = self._named(database)
        self.writes += 1
        number = self.writes
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.largest_write = max(self.largest_write, sum(len(one.create.body) for one in operations))
        try:
            await asyncio.sleep(0)
            if self.fail_write and number == self.fail_write[0]:
                raise self.fail_write[1]
            keys = self._new_keys(stored, operations)
        finally:
            self.in_flight -= 1
        stored.keys |= keys
        for one in operations:
            create = one.create
            rid = (create.cluster, create.position)
            assert rid not in stored.records
            if rid not in self.swallow:
                stored.records[rid] = Record(
                    cluster=rid[0], position=rid[1], version=create.version, kind=create.kind, body=create.body
                )
        return WriteResponse(index=self.writes)

    def _new_keys(self, stored: Stored, operations: Sequence[Operation]) -> dict[tuple[str, str], tuple[int, int]]:
        fresh: dict[tuple[str, str], tuple[int, int]] = {}
        for one in operations:
            for index, key in _unique_keys(stored.definition, one.create):
                held = stored.keys.get((index, key)) or fresh.get((index, key))
                if held:
                    raise DuplicateKey(key=key, index=index, rid=f"#{held[0]}:{held[1]}", other="another")
                fresh[index, key] = (one.create.cluster, one.create.position)
        return fresh

    async def scan(self, database: str, *, whole: bool = False) -> AsyncIterator[ScanResponse]:
        assert whole
        stored = self._named(database)
        if stored.definition.state != ONLINE:
            raise DatabaseImporting(database=database)
        records = [stored.records[rid] for rid in sorted(stored.records)]
        definition = await self.database(database)
        yield ScanResponse(index=7, records=records[: self.batch], database=definition)
        for number, at in enumerate(range(self.batch, len(records), self.batch), 2):
            if self.break_scan and number > self.break_scan[0] and self.break_scan[2]:
                self.break_scan = (*self.break_scan[:2], self.break_scan[2] - 1)
                raise self.break_scan[1]
            yield ScanResponse(index=7, records=records[at : at + self.batch])

    def _named(self, name: str) -> Stored:
        if name not in self.databases:
            raise UnknownDatabase(database=name)
        return self.databases[name]

    def add(self, name: str, records: Sequence[Record], clusters: Sequence[Cluster]) -> Stored:
        """Make a database that was never imported."""
        stored = Stored(Database(name=name, id=2, state=ONLINE, clusters=clusters))
        stored.records = {(one.cluster, one.position): one for one in records}
        self.databases[name] = stored
        return stored


def _unique_keys(database: Database, create: Create) -> list[tuple[str, str]]:
    unique = [one for one in database.indexes if one.type.startswith("UNIQUE") and len(one.fields) == 1]
    if create.kind != RecordKind.RECORD_KIND_DOCUMENT or not unique:
        return []
    document = msgspec.json.decode(create.body, type=dict[str, msgspec.Raw])
    class_name = msgspec.json.decode(document.get("@class", b'""'), type=str)
    return [
        (one.name, bytes(document[one.fields[0].name]).decode())
        for one in unique
        if one.class_name == class_name and one.fields[0].name in document
    ]
