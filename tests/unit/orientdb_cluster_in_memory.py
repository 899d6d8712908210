"""A cluster in memory with what an import and an export ask of a client; it keeps unique single-field indexes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from quiesce.client.answers import Matches
from quiesce.errors import DatabaseExists, DatabaseImporting, DuplicateKey, InvalidSchemaChange, UnknownDatabase
from quiesce.v1.database_pb2 import Cluster, Database, DatabaseState, SchemaChange
from quiesce.v1.record_pb2 import LookupMatch, Operation, Record, RecordKind, ScanResponse, WriteResponse

IMPORTING = DatabaseState.DATABASE_STATE_IMPORTING
ONLINE = DatabaseState.DATABASE_STATE_ONLINE


@dataclass
class Stored:
    definition: Database
    records: dict[tuple[int, int], Record] = field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    # Lowest next position by cluster.
    reserved: dict[int, int] = field(default_factory=dict)
    next_cluster: int = 0


@dataclass
class ClusterInMemory:
    databases: dict[str, Stored] = field(default_factory=dict)
    # The write of this number, counted from 1, fails with this.
    fail_write: tuple[int, BaseException] | None = None
    fail_drop: Exception | None = None
    lose_answer_of_publish: Exception | None = None
    # The change of a schema of this number, counted from 1, fails, or succeeds and its answer is lost.
    fail_alter: tuple[int, BaseException] | None = None
    lose_answer_of_alter: tuple[int, Exception] | None = None
    altered: int = 0
    # So many records fill the answer of a lookup.
    lookup_most: int = 1_000
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

    async def alter_schema(
        self, name: str, changes: Sequence[SchemaChange], *, timeout_s: float | None = None
    ) -> Database:
        stored = self._named(name)
        self.altered += 1
        if self.fail_alter and self.altered == self.fail_alter[0]:
            raise self.fail_alter[1]
        before = Database()
        before.CopyFrom(stored.definition)
        try:
            self._alter(stored, changes)
            self._fill_unique(stored)
        except Exception:
            stored.definition.CopyFrom(before)
            raise
        if self.lose_answer_of_alter and self.altered == self.lose_answer_of_alter[0]:
            raise self.lose_answer_of_alter[1]
        return await self.database(name)

    def _fill_unique(self, stored: Stored) -> None:
        """Enter what came into classes with unique indexes."""
        if stored.definition.state == IMPORTING:
            return
        owners = {cluster: one.name for one in stored.definition.classes for cluster in one.cluster_ids}
        keys = dict(stored.keys)
        for rid, record in sorted(stored.records.items()):
            if rid[0] not in owners:
                continue
            for index, key in _unique_keys(stored.definition, record):
                held = keys.setdefault((index, key), rid)
                if held != rid:
                    first, other = (f"#{one[0]}:{one[1]}" for one in (held, rid))
                    raise DuplicateKey(key=key, index=index, rid=first, other=other)
        stored.keys = keys

    def _alter(self, stored: Stored, changes: Sequence[SchemaChange]) -> None:  # noqa: C901
        database, name = stored.definition, stored.definition.name
        for change in changes:
            match change.WhichOneof("change"):
                case "create_cluster":
                    made = database.clusters.add()
                    made.CopyFrom(change.create_cluster)
                    if made.name in [one.name for one in database.clusters[:-1]]:
                        raise InvalidSchemaChange(database=name, detail=f"there is a cluster {made.name} already")
                    following = max([stored.next_cluster, *(one.id + 1 for one in database.clusters[:-1])])
                    if made.importing and made.id < following:
                        made.id = following
                    stored.next_cluster = max(stored.next_cluster, made.id + 1)
                case "publish_cluster":
                    _cluster(database, change.publish_cluster).importing = False
                case "drop_cluster" | "discard_cluster":
                    gone = _cluster(database, getattr(change, change.WhichOneof("change")))
                    assert gone.importing
                    stored.records = {rid: one for rid, one in stored.records.items() if rid[0] != gone.id}
                    database.clusters.remove(gone)
                case "add_cluster":
                    [owner] = [one for one in database.classes if one.name == change.add_cluster.class_name]
                    added = _cluster(database, change.add_cluster.cluster)
                    assert not added.importing
                    owner.cluster_ids.append(added.id)
                case "create_property":
                    [owner] = [one for one in database.classes if one.name == change.create_property.class_name]
                    owner.properties.append(change.create_property.property)
                case "reserve_ids":
                    stored.reserved[change.reserve_ids.cluster] = change.reserve_ids.next_position
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

    async def lookup(
        self, database: str, index_name: str, keys: Sequence[Sequence[Any]], *, limit: int = 0
    ) -> list[Matches]:
        stored = self._named(database)
        assert index_name in [one.name for one in stored.definition.indexes]
        found = []
        full = 0
        for key in keys:
            rid = stored.keys.get((index_name, msgspec.json.encode(key[0]).decode()))
            match = LookupMatch()
            if rid is not None and full == self.lookup_most:
                match.truncated = True
            elif rid is not None:
                match.records.append(stored.records[rid])
                full += 1
            found.append(Matches(match))
        return found

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
        self.largest_write = max(self.largest_write, sum(len(one.body) for one in _records(operations)))
        try:
            await asyncio.sleep(0)
            if self.fail_write and number == self.fail_write[0]:
                raise self.fail_write[1]
            records = _records(operations)
            keys = self._new_keys(stored, records)
            hidden = {one.id for one in stored.definition.clusters if one.importing}
            assert stored.definition.state == IMPORTING or {one.cluster for one in records} <= hidden
        finally:
            self.in_flight -= 1
        stored.keys |= keys
        for one in records:
            rid = (one.cluster, one.position)
            assert rid not in stored.records
            if rid not in self.swallow:
                stored.records[rid] = one
        return WriteResponse(index=self.writes)

    def _new_keys(self, stored: Stored, records: Sequence[Record]) -> dict[tuple[str, str], tuple[int, int]]:
        fresh: dict[tuple[str, str], tuple[int, int]] = {}
        if stored.definition.state != IMPORTING:
            return fresh
        for one in records:
            for index, key in _unique_keys(stored.definition, one):
                held = stored.keys.get((index, key)) or fresh.get((index, key))
                if held:
                    raise DuplicateKey(key=key, index=index, rid=f"#{held[0]}:{held[1]}", other=_rid(one))
                fresh[index, key] = (one.cluster, one.position)
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

    async def scan_packed(self, database: str) -> AsyncIterator[bytes]:
        async for message in self.scan(database, whole=True):
            yield message.SerializeToString()

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


def _records(operations: Sequence[Operation]) -> list[Record]:
    return [
        Record(cluster=fill.cluster, position=position, version=version, kind=fill.kind, body=body)
        for fill in (one.fill for one in operations)
        for position, version, body in zip(fill.positions, fill.versions, fill.bodies, strict=True)
    ]


def _rid(record: Record) -> str:
    return f"#{record.cluster}:{record.position}"


def _cluster(database: Database, name: str) -> Cluster:
    [found] = [one for one in database.clusters if one.name == name]
    return found


def _unique_keys(database: Database, record: Record) -> list[tuple[str, str]]:
    unique = [one for one in database.indexes if one.type.startswith("UNIQUE") and len(one.fields) == 1]
    if record.kind != RecordKind.RECORD_KIND_DOCUMENT or not unique:
        return []
    document = msgspec.json.decode(record.body, type=dict[str, msgspec.Raw])
    class_name = msgspec.json.decode(document.get("@class", b'""'), type=str)
    return [
        (one.name, bytes(document[one.fields[0].name]).decode())
        for one in unique
        if one.class_name == class_name and one.fields[0].name in document
    ]
