"""Finds the records of an export that share a key of a unique index, in 8 bytes a key."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from quiesce.indexing.body import Reader, class_of, reader
from quiesce.indexing.definition import complete
from quiesce.indexing.entries import IndexPlan, entries_of, plan_index
from quiesce.indexing.key import decode_key
from quiesce.orientdb.record_text import ExportedRecord
from quiesce.v1.database_pb2 import ClassDefinition, IndexDefinition
from quiesce.v1.record_pb2 import RecordKind

# Each is sorted out by itself, so that only a small part of the keys is in a set at any time.
_PARTS = 64
_DOCUMENT = RecordKind.RECORD_KIND_DOCUMENT

Rid = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SharedKey:
    """A key of a unique index that two records have."""

    index: str
    # For people, as JSON.
    key: str
    # The record that has it first, and the one that is to be imported behind it.
    rid: str
    other: str
    # Where the other one begins in the unpacked file.
    byte: int

    def __str__(self) -> str:
        return f"index {self.index}, key {self.key}: {self.rid} and {self.other}"


@dataclass(frozen=True, slots=True)
class ClusterKeys:
    """What the records of one cluster have in indexes."""

    plans: tuple[IndexPlan, ...]
    read: Reader
    places: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Question:
    """A key of which a database that is there may have a record already."""

    index: str
    values: list[Any]
    text: str
    rid: str
    record: ExportedRecord


def plans_by_cluster(classes: Iterable[ClassDefinition], indexes: Iterable[IndexDefinition]) -> dict[int, ClusterKeys]:
    """Return what to do with a record, by its cluster; clusters without indexes are not in it."""
    named = {one.name.lower(): one for one in classes}
    maintained = [(one, plan_index(0, _completed(one, named))) for one in indexes if one.maintained]
    found: dict[int, ClusterKeys] = {}
    for definition in named.values():
        lineage = _lineage(definition.name, named)
        plans = tuple(plan for one, plan in maintained if one.class_name.lower() in lineage)
        if plans:
            names = dict.fromkeys(name for plan in plans for name in plan.names)
            places = {name: place for place, name in enumerate(names)}
            keys = ClusterKeys(plans, reader(list(names)), places)
            found |= dict.fromkeys(definition.cluster_ids, keys)
    return found


def _lineage(name: str, named: Mapping[str, ClassDefinition]) -> dict[str, None]:
    found: dict[str, None] = {}
    waiting = [name.lower()]
    while waiting:
        current = waiting.pop(0)
        if current in named and current not in found:
            found[current] = None
            waiting += map(str.lower, named[current].super_classes)
    return found


def _completed(index: IndexDefinition, named: Mapping[str, ClassDefinition]) -> IndexDefinition:
    """Return an index as nodes complete its definition."""
    completed = IndexDefinition()
    completed.CopyFrom(index)
    declared = {
        prop.name: prop for name in reversed(_lineage(index.class_name, named)) for prop in named[name].properties
    }
    for part in completed.fields:
        complete(part, declared.get(part.name))
    return completed


@dataclass(slots=True)
class _Hashes:
    parts: list[array[int]] = field(default_factory=lambda: [array("q") for _ in range(_PARTS)])

    def add(self, key: bytes) -> None:
        number = hash(key)
        self.parts[number & _PARTS - 1].append(number)


class UniqueKeys:
    """First all records are shown to `add`. Where `count` is not 0 then, `shared` finds them, in a second pass.

    Args (of the constructor):
        keys: what the records of a cluster have in indexes, by the cluster's id in the file.
        placed: the id that a record gets.
        there: names of indexes that a database has already, in which others may have a key.
    """

    def __init__(
        self,
        keys: Mapping[int, ClusterKeys],
        placed: Callable[[ExportedRecord], Rid],
        there: frozenset[str] = frozenset(),
    ) -> None:
        self._keys = keys
        self._placed = placed
        self._there = there
        self._hashes: dict[str, _Hashes] = {}
        self._first: dict[bytes, Rid] = {}

    def entries(self, record: ExportedRecord) -> list[tuple[IndexPlan, list[bytes]]]:
        """Return the keys that a record has in indexes.

        Raises:
            InvalidDocument: nodes would not take it.
        """
        if record.kind != _DOCUMENT:
            return []
        where = f"record #{record.cluster}:{record.position}"
        class_of(record.body, where)
        keys = self._keys.get(record.cluster)
        if keys is None:
            return []
        values = keys.read(record.body)[1]
        return [(plan, entries_of(plan, values, keys.places, b"", where)) for plan in keys.plans]

    def add(self, record: ExportedRecord) -> list[Question]:
        """Note the keys of a record; return those that a database may have already.

        Raises:
            InvalidDocument: nodes would not take it.
        """
        questions = []
        for plan, entries in self.entries(record):
            if not plan.unique or plan.takes_over:
                continue
            hashes = self._hashes.setdefault(plan.name, _Hashes())
            for entry in entries:
                hashes.add(entry)
                if plan.name in self._there:
                    values, _ = decode_key(plan.fields, entry[len(plan.prefix) :])
                    rid = "#{}:{}".format(*self._placed(record))
                    questions.append(Question(plan.name, values, plan.text(entry), rid, record))
        return questions

    @property
    def count(self) -> int:
        """How many keys are there twice (a key of three records counts two), but for one in 2^60 or so."""
        return sum(len(part) - len(set(part)) for one in self._hashes.values() for part in one.parts)

    def suspects(self, limit: int | None = None) -> dict[str, frozenset[int]]:
        """Return the hashes of keys that are there twice, by index; `limit`: no more than so many of them."""
        found = {}
        for name, one in self._hashes.items():
            twice: list[int] = []
            for part in one.parts:
                if len(set(part)) < len(part) and (limit is None or len(twice) < limit):
                    twice += [number for number, times in Counter(part).items() if times > 1]
            if twice:
                found[name] = frozenset(twice[:limit])
        return found

    def shared(self, record: ExportedRecord, suspects: Mapping[str, frozenset[int]]) -> list[SharedKey]:
        """Return the keys that a record shares with one that was shown here before; then it does not hold any.

        To be asked of all records in their order. Raises InvalidDocument.
        """
        mine: list[bytes] = []
        found = []
        rid = self._placed(record)
        for plan, entries in self.entries(record):
            hashes = suspects.get(plan.name, frozenset())
            for entry in entries:
                if hash(entry) not in hashes:
                    continue
                holder = self._first.get(plan.name.encode() + b"\0" + entry)
                if holder is None:
                    mine.append(plan.name.encode() + b"\0" + entry)
                else:
                    first, other = ("#{}:{}".format(*one) for one in (holder, rid))
                    found.append(SharedKey(plan.name, plan.text(entry), first, other, record.byte))
        if not found:
            self._first |= dict.fromkeys(mine, rid)
        return found
