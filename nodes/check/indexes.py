"""Index entries against records, both ways: first by sums over all of them, one by one only where those differ."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nodes.store import keys
from nodes.store.engine import INDEXES, RECORDS, Engine
from nodes.store.keys import ENTRY_RID, after
from nodes.store.schema import ClassPlan, DatabaseSchema
from quiesce.errors import QuiesceError
from quiesce.indexing.entries import IndexPlan, entries_of, plan_index
from quiesce.v1.record_pb2 import RecordKind

_PROGRESS_EVERY = 4096
_ID = struct.Struct(">II")
Place = tuple[int, int]
Add = Callable[[str, str], None]


@dataclass(slots=True)
class _Sum:
    """Of all entries of an index, whatever their order: equal sums mean equal entries."""

    count: int = 0
    total: int = 0

    def add(self, key: bytes, value: bytes) -> None:
        self.count += 1
        self.total += hash((key, value))


class IndexExamination:
    """Takes in documents as they are read, then compares what their entries should be with what there is."""

    def __init__(
        self, engine: Engine, schemas: dict[int, DatabaseSchema], add: Add, progress: Callable[[int], None]
    ) -> None:
        self._engine = engine
        self._schemas = schemas
        self._add = add
        self._progress = progress
        self._expected: dict[Place, _Sum] = {}
        self._plans: dict[Place, ClassPlan | None] = {}
        # By database and index.
        self._indexes: dict[Place, IndexPlan] = {}

    def take(self, database: int, cluster: int, position: int, body: bytes) -> str | None:
        """Take a document in, and return what is wrong with it."""
        plan = self._plan(database, cluster)
        if plan is None:
            return None
        try:
            for index, entries, value in _entries(plan, cluster, position, body):
                if not index.takes_over:
                    expected = self._expected.setdefault((database, index.id), _Sum())
                    for key in entries:
                        expected.add(key, value)
        except QuiesceError as error:
            return str(error)
        return None

    def compare(self, next_ids: dict[int, int], note: Callable[[str], None]) -> int:
        """Read all entries, hold them against the documents, and return how many there are.

        Raises:
            DamagedStore, DiskFailed: they cannot be read to the end.
        """
        found: dict[Place, _Sum] = {}
        total = 0
        maintained = {
            (schema.id, index.id) for schema in self._schemas.values() for index in schema.message.indexes
            if index.maintained
        }  # fmt: skip
        for key, value in self._engine.scan(INDEXES, b"", after(b"")):
            total += 1
            if total % _PROGRESS_EVERY == 0:
                self._progress(_PROGRESS_EVERY)
            if len(key) < _ID.size:
                self._add(f"index key {key.hex()}", "it is of no index")
                continue
            place = _ID.unpack_from(key)
            there = found.setdefault(place, _Sum())
            index = self._index(place) if place in maintained else None
            if index is None or not index.takes_over:
                there.add(key, value)
            elif (problem := self._entry_problem(place[0], index, key, value)) is not None:
                self._add(_entry_text(index, key), problem)
        for place in sorted(found.keys() - maintained):
            text = f"index {place[1]} of database {place[0]}"
            if place[1] >= next_ids.get(place[0], 1) and place[0] in self._schemas:
                note(f"{text}: {found[place].count} entries of an index that was not finished")
            else:
                self._add(text, "it has entries, and is not in the schema")
        for place in sorted(maintained):
            index = self._index(place)
            if not index.takes_over and found.get(place, _Sum()) != self._expected.get(place, _Sum()):
                self._compare_one(place, index)
        return total

    def _compare_one(self, place: Place, index: IndexPlan) -> None:
        """Name the entries of an index that differ."""
        database = place[0]
        schema = self._schemas[database]
        for cluster in schema.clusters:
            plan = self._plan(database, cluster)
            if plan is None or index.id not in {other.id for other in plan.indexes}:
                continue
            for row, body in self._engine.scan(RECORDS, *keys.cluster_range(database, cluster)):
                position = keys.RECORD.unpack(row)[2]
                if body[4:5] == bytes((RecordKind.RECORD_KIND_DOCUMENT,)):
                    self._compare_record(index, plan, cluster, position, body[keys.RECORD_HEADER.size :])
        for key, value in self._engine.scan(INDEXES, index.prefix, after(index.prefix)):
            if (problem := self._entry_problem(database, index, key, value)) is not None:
                self._add(_entry_text(index, key), problem)

    def _compare_record(self, index: IndexPlan, plan: ClassPlan, cluster: int, position: int, body: bytes) -> None:
        try:
            for other, entries, value in _entries(plan, cluster, position, body):
                for key in entries if other.id == index.id else ():
                    if self._engine.get(INDEXES, key) != value:
                        text = f"record {keys.rid_text(cluster, position)} has the key, and its entry is missing"
                        self._add(_entry_text(index, key), text)
        except QuiesceError:
            # Found before.
            return

    def _entry_problem(self, database: int, index: IndexPlan, key: bytes, value: bytes) -> str | None:
        tail = value if index.unique else key[-ENTRY_RID.size :]
        if len(tail) != ENTRY_RID.size or (value and not index.unique):
            return "it names no record"
        cluster, position = ENTRY_RID.unpack(tail)
        rid = keys.rid_text(cluster, position)
        record = self._engine.get(RECORDS, keys.RECORD.pack(database, cluster, position))
        if record is None:
            return f"it names {rid}, which is not there"
        try:
            plan = self._plan(database, cluster)
            there = _entries(plan, cluster, position, record[keys.RECORD_HEADER.size :]) if plan else ()
            if any(other.id == index.id and key in entries for other, entries, _ in there):
                return None
        except QuiesceError as error:
            return f"it names {rid}: {error}"
        return f"it names {rid}, which does not have that key"

    def _plan(self, database: int, cluster: int) -> ClassPlan | None:
        """Return what the documents of a cluster have in indexes; None where that is nothing."""
        place = database, cluster
        if place not in self._plans:
            schema = self._schemas.get(database)
            plan = schema.cluster_plan(cluster) if schema and cluster in schema.clusters else None
            self._plans[place] = plan if plan is not None and plan.indexes else None
        return self._plans[place]

    def _index(self, place: Place) -> IndexPlan:
        if place not in self._indexes:
            definition = next(one for one in self._schemas[place[0]].message.indexes if one.id == place[1])
            self._indexes[place] = plan_index(place[0], definition)
        return self._indexes[place]


def _entries(
    plan: ClassPlan, cluster: int, position: int, body: bytes
) -> Iterator[tuple[IndexPlan, list[bytes], bytes]]:
    """Yield index, keys and value of the entries that a document should have; raises InvalidDocument."""
    assert plan.read is not None  # noqa: S101 - a plan with indexes reads their fields
    values = plan.read(body)[1]
    rid = ENTRY_RID.pack(cluster, position)
    for index in plan.indexes:
        yield (
            index,
            entries_of(index, values, plan.places, rid, keys.rid_text(cluster, position)),
            (rid if index.unique else b""),
        )


def _entry_text(index: IndexPlan, key: bytes) -> str:
    try:
        return f"index `{index.name}`, key {index.text(key)}"
    except Exception:  # noqa: BLE001 - a key that is damaged may be anything
        return f"index `{index.name}`, key {key.hex()}"
