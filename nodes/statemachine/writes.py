"""One write request: a batch of creates, updates and deletes, all of it or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nodes.statemachine.filling import records_of
from nodes.statemachine.index_changes import IndexChanges
from nodes.statemachine.pending import Draft
from nodes.store import keys
from nodes.store.constraints import check, check_unchanged
from nodes.store.engine import INDEXES
from nodes.store.keys import ENTRY_RID, PAGE_SHIFT, RECORD, RECORD_HEADER, rid_text, split_record
from nodes.store.lookup import key_of
from nodes.store.schema import ClassPlan, DatabaseSchema
from quiesce.errors import (
    DatabaseImporting,
    DatabaseNotImporting,
    DuplicateKey,
    InvalidDocument,
    InvalidRequest,
    PositionTaken,
    StaleVersion,
    UnknownClass,
    UnknownRecord,
    UnknownRecordCluster,
)
from quiesce.indexing.body import class_of
from quiesce.indexing.entries import entries_of, plan_index
from quiesce.records.rid import MAX_POSITION
from quiesce.v1.record_pb2 import Create, Delete, Expect, Fill, RecordKind, Update, WriteRequest, WriteResponse

_DOCUMENT = RecordKind.RECORD_KIND_DOCUMENT
_BLOB = RecordKind.RECORD_KIND_BLOB


def write(draft: Draft, schema: DatabaseSchema, request: WriteRequest, index: int) -> WriteResponse:
    """Apply a request to a draft and commit it; on an error the draft is to be dropped.

    Raises:
        QuiesceError: one of UnknownClass, UnknownRecordCluster, UnknownRecord, UnknownIndex, IndexNotMaintained,
            StaleVersion, PositionTaken, DuplicateKey, InvalidDocument, InvalidRequest, ConstraintViolated,
            DatabaseImporting, DatabaseNotImporting, BatchTooLarge.
    """
    writer = _Writer(draft, schema, index)
    for operation in request.operations:
        kind = operation.WhichOneof("operation")
        if kind == "create":
            writer.create(operation.create)
        elif kind == "update":
            writer.update(operation.update)
        elif kind == "delete":
            writer.delete(operation.delete)
        elif kind == "expect":
            writer.expect(operation.expect)
        elif kind == "fill":
            writer.fill(operation.fill)
        else:
            raise InvalidRequest(detail="an operation is empty")
    writer.indexes.settle(draft)
    draft.commit()
    return writer.response


class _Writer:
    def __init__(self, draft: Draft, schema: DatabaseSchema, index: int) -> None:
        self.draft = draft
        self.schema = schema
        self.stamp = keys.STAMP.pack(index)
        self.response = WriteResponse(index=index)
        self.indexes = IndexChanges()

    def create(self, create: Create) -> None:
        schema, draft = self.schema, self.draft
        body, kind = create.body, create.kind
        if schema.importing:
            raise DatabaseImporting(database=schema.name)
        if create.HasField("cluster") and schema.filling(create.cluster):
            raise UnknownRecordCluster(cluster=create.cluster, database=schema.name)
        cluster, plan = self._place(create)
        position, count = draft.counter(schema.id, cluster)
        if create.HasField("position") and create.position != position:
            raise PositionTaken(cluster=cluster, expected=create.position, actual=position)
        if position > MAX_POSITION:
            raise InvalidRequest(detail=f"position {position} is over the limit of {MAX_POSITION}")
        self.response.written.add(cluster=cluster, position=position, version=1, kind=kind)
        if plan is not None and plan.read is not None and kind == _DOCUMENT:
            where = f"a new record in class `{plan.name}`"
            _, values = plan.read(body)
            check(plan.constraints, values, plan.places)
            if plan.indexes:
                self._index(plan, cluster, position, None, values, where)
        draft.records[RECORD.pack(schema.id, cluster, position)] = RECORD_HEADER.pack(1, kind) + body
        draft.counters[schema.id, cluster] = (position + 1, count + 1)
        self._touch(cluster, position)

    def fill(self, fill: Fill) -> None:
        """Take in records of an import as they were, among them perhaps some that are there already."""
        schema, draft, cluster = self.schema, self.draft, fill.cluster
        plan = schema.cluster_plan(cluster)
        if not schema.filling(cluster):
            raise DatabaseNotImporting(database=schema.name)
        positions, bodies, records = records_of(schema.id, fill)
        following, count = draft.counter(schema.id, cluster)
        there = self._there_already(records) if positions[0] < following else ()
        fresh = list(zip(positions, bodies, strict=True))
        if there:
            fresh = [one for key, one in zip(records, fresh, strict=True) if key not in there]
        if plan is not None and fill.kind == _DOCUMENT:
            self._index_new(plan, cluster, fresh)
        draft.records.update(records)
        draft.counters[schema.id, cluster] = (max(following, positions[-1] + 1), count + len(fresh))
        for page in dict.fromkeys(position >> PAGE_SHIFT for position, _ in fresh):
            self._touch(cluster, page << PAGE_SHIFT)
        self.response.written.add(cluster=cluster, position=positions[-1], version=fill.versions[-1], kind=fill.kind)

    def _index_new(self, plan: ClassPlan, cluster: int, records: Sequence[tuple[int, bytes]]) -> None:
        """Index records of a database that is being imported, which has no constraints yet."""
        read, where = plan.read, f"a new record in class `{plan.name}`"
        if read is None:
            return
        rows = [(ENTRY_RID.pack(cluster, position), read(body)[1]) for position, body in records]
        for index in plan.indexes:
            self.indexes.add(index, ((rid, entries_of(index, values, plan.places, rid, where)) for rid, values in rows))

    def _there_already(self, records: Mapping[bytes, bytes]) -> set[bytes]:
        """Return the keys of the records that are there.

        Raises:
            InvalidRequest: there is another one.
        """
        found = set()
        for key, value in records.items():
            there = self.draft.record(key)
            if there is None:
                continue
            if there != value:
                _, cluster, position = RECORD.unpack(key)
                raise InvalidRequest(detail=f"there is another record {rid_text(cluster, position)} already")
            found.add(key)
        return found

    def update(self, update: Update) -> None:
        cluster, position = update.cluster, update.position
        expected = update.expected_version if update.HasField("expected_version") else None
        key, version, kind, before = self._existing(cluster, position, expected)
        body = update.body
        if kind == _DOCUMENT:
            where = rid_text(cluster, position)
            class_name = class_of(body, where)
            plan = self.schema.cluster_plan(cluster)
            if not _same_class(class_name, plan) and class_name != class_of(before, where):
                raise self._misplaced(class_name, plan, cluster, where)
            if plan is not None and plan.read is not None:
                _, values = plan.read(body)
                _, values_before = plan.read(before)
                check(plan.constraints, values, plan.places)
                check_unchanged(plan.constraints, values_before, values, plan.places)
                if plan.indexes:
                    self._index(plan, cluster, position, values_before, values, where)
        if version >= keys.MAX_VERSION:
            raise InvalidRequest(detail=f"record {rid_text(cluster, position)} is at its last version")
        self.draft.records[key] = RECORD_HEADER.pack(version + 1, kind) + body
        self._touch(cluster, position)
        self.response.written.add(cluster=cluster, position=position, version=version + 1, kind=kind)

    def delete(self, delete: Delete) -> None:
        cluster, position = delete.cluster, delete.position
        expected = delete.expected_version if delete.HasField("expected_version") else None
        key, version, kind, before = self._existing(cluster, position, expected)
        plan = self.schema.cluster_plan(cluster)
        if kind == _DOCUMENT and plan is not None and plan.indexes and plan.read is not None:
            _, values = plan.read(before)
            self._index(plan, cluster, position, values, None, rid_text(cluster, position))
        self.draft.records[key] = None
        following, count = self.draft.counter(self.schema.id, cluster)
        self.draft.counters[self.schema.id, cluster] = (following, count - 1)
        self._touch(cluster, position)
        self.response.written.add(cluster=cluster, position=position, version=version, kind=kind)

    def expect(self, expect: Expect) -> None:
        """Check what the batch expects to find before it, whatever the operations before this one do."""
        pending = self.draft.pending
        if expect.WhichOneof("what") == "record":
            wanted = expect.record
            version = wanted.version if wanted.HasField("version") else None
            _, found, kind, _ = self._existing(wanted.cluster, wanted.position, version, pending.record)
            self.response.written.add(cluster=wanted.cluster, position=wanted.position, version=found, kind=kind)
            return
        if expect.WhichOneof("what") != "free_key":
            raise InvalidRequest(detail="an expectation is empty")
        if self.schema.importing:
            raise DatabaseImporting(database=self.schema.name)
        plan = plan_index(self.schema.id, self.schema.index(expect.free_key.index_name))
        if not plan.unique:
            raise InvalidRequest(detail=f"index `{plan.name}` is not unique: whether a key is free cannot be expected")
        key = key_of(plan, expect.free_key.key)
        holder = pending.get(INDEXES, key)
        if holder is not None:
            rid = rid_text(*ENTRY_RID.unpack(holder))
            raise DuplicateKey(key=plan.text(key), index=plan.name, rid=rid, other="nobody")
        self.response.written.add()

    def _place(self, create: Create) -> tuple[int, ClassPlan | None]:
        """Return the cluster for a new record and its class's plan."""
        schema = self.schema
        by_class = create.WhichOneof("place") == "class_name"
        if create.kind == _BLOB:
            if by_class:
                raise InvalidRequest(detail="a blob has no class: name a cluster for it")
            plan = schema.cluster_plan(create.cluster)
            if plan is not None:
                raise InvalidRequest(detail=f"cluster {create.cluster} is for documents of class `{plan.name}`")
            return create.cluster, plan
        if create.kind != _DOCUMENT:
            raise InvalidRequest(detail="a record is either a document or a blob")
        if by_class:
            wanted = create.class_name
            class_name = class_of(create.body, f"a new record in class `{wanted}`")
            plan = schema.plan(wanted)
            if not _same_class(class_name, plan):
                raise InvalidDocument(
                    where=f"a new record in class `{wanted}`", detail=f"its @class is {class_name or 'absent'}"
                )
            if plan.default_cluster is None:
                raise InvalidRequest(detail=f"class `{plan.name}` is abstract and holds no records")
            return plan.default_cluster, plan
        cluster = create.cluster
        where = f"a new record in cluster {cluster}"
        class_name = class_of(create.body, where)
        plan = schema.cluster_plan(cluster)
        if not _same_class(class_name, plan):
            raise self._misplaced(class_name, plan, cluster, where)
        return cluster, plan

    def _misplaced(
        self, class_name: str | None, plan: ClassPlan | None, cluster: int, where: str
    ) -> InvalidDocument | UnknownClass:
        if class_name is not None and class_name.lower() not in self.schema.classes:
            return UnknownClass(class_name=class_name, database=self.schema.name)
        owner = "no class" if plan is None else f"class `{plan.name}`"
        given = "it has no @class" if class_name is None else f"its @class is {class_name}"
        return InvalidDocument(where=where, detail=f"{given}, but cluster {cluster} belongs to {owner}")

    def _existing(
        self, cluster: int, position: int, expected: int | None, read: Callable[[bytes], bytes | None] | None = None
    ) -> tuple[bytes, int, int, bytes]:
        """Return key, version, kind and body of a record, by default as the operations so far have left it."""
        if self.schema.importing:
            raise DatabaseImporting(database=self.schema.name)
        if self.schema.cluster(cluster).importing:
            raise UnknownRecordCluster(cluster=cluster, database=self.schema.name)
        key = RECORD.pack(self.schema.id, cluster, position)
        value = (read or self.draft.record)(key)
        if value is None:
            raise UnknownRecord(rid=rid_text(cluster, position), database=self.schema.name)
        version, kind, body = split_record(value)
        if expected is not None and expected != version:
            raise StaleVersion(rid=rid_text(cluster, position), actual=version, expected=expected)
        return key, version, kind, body

    def _index(
        self,
        plan: ClassPlan,
        cluster: int,
        position: int,
        before: tuple[Any, ...] | None,
        values: tuple[Any, ...] | None,
        where: str,
    ) -> None:
        tail = ENTRY_RID.pack(cluster, position)
        places = plan.places
        size = 0
        for index in plan.indexes:
            old = [] if before is None else entries_of(index, before, places, tail, where)
            new = [] if values is None else entries_of(index, values, places, tail, where)
            size += sum(map(len, old)) + sum(map(len, new))
            self.indexes.change(index, tail, old, new)
        self.indexes.weigh(size)

    def _touch(self, cluster: int, position: int) -> None:
        self.draft.pages[RECORD.pack(self.schema.id, cluster, position >> PAGE_SHIFT)] = self.stamp


def _same_class(class_name: str | None, plan: ClassPlan | None) -> bool:
    if class_name is None or plan is None:
        return class_name is None and plan is None
    return class_name == plan.name or class_name.lower() == plan.name.lower()
