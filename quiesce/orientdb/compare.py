"""Compares two exports, or an export and a database, record by record, class by class, index by index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from quiesce.errors import InvalidRequest
from quiesce.orientdb.dates import DateTexts, time_zone
from quiesce.orientdb.escapes import Number, Pairs, pairs
from quiesce.orientdb.exporter import ExportClient
from quiesce.orientdb.links import property_types
from quiesce.orientdb.reader import ExportReader
from quiesce.orientdb.record_text import ExportedRecord
from quiesce.orientdb.survey import ENGINE_CLUSTERS, Survey, survey
from quiesce.v1.database_pb2 import ClassDefinition, Database, IndexDefinition
from quiesce.v1.record_pb2 import RecordKind

LISTED = 100
_UNORDERED = frozenset("ne")
_DOCUMENT = RecordKind.RECORD_KIND_DOCUMENT


@dataclass(slots=True)
class Differences:
    """What two databases differ in."""

    # Records that are equal.
    equal_records: int = 0
    count: int = 0
    # The first LISTED of them, in words.
    listed: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.count > 0

    def add(self, text: str) -> None:
        """Note a difference."""
        self.count += 1
        if len(self.listed) < LISTED:
            self.listed.append(text)


def compare_exports(left: Path, right: Path, *, versions: bool = True) -> Differences:
    """Compare two export files; the engine's own records are left out.

    Args:
        left: a file.
        right: another one.
        versions: also compare the records' versions.

    Raises:
        MalformedExport, TruncatedExport, FileUnusable; InvalidRequest where records are not in the order of their ids.
    """
    found = Differences()
    one, other = survey(left), survey(right)
    _compare_definitions(found, _definition(one), _definition(other))
    merge = _Merge(found, _records(one), versions=versions)
    for record in _records(other):
        merge.step(record)
    merge.finish()
    return found


async def compare_with_database(path: Path, client: ExportClient, database: str) -> Differences:
    """Compare an export file with a database as it is now, from one consistent scan. Raises as compare_exports does."""
    found = Differences()
    one = survey(path)
    merge = _Merge(found, _records(one), versions=True)
    first = True
    async for message in client.scan(database, whole=True):
        if first:
            first = False
            _compare_definitions(found, _definition(one), message.database)
        for record in message.records:
            merge.step(
                ExportedRecord(record.cluster, record.position, record.version, record.kind, record.body, byte=0)
            )
    merge.finish()
    return found


def _definition(found: Survey) -> Database:
    return Database(
        clusters=found.clusters,
        classes=found.schema.classes,
        indexes=[one.definition for one in found.indexes],
        preserved=found.preserved,
    )


def _records(found: Survey) -> Iterator[ExportedRecord]:
    # A date is the same as text and as number, as an import turns one into the other.
    dates = DateTexts(property_types(found.schema.classes), time_zone("UTC"), found.info.exporter_version)
    with ExportReader(found.path) as reader:
        for part in reader:
            if isinstance(part, list):
                yield from dates.turn(found.wanted(part))


def _compare_definitions(found: Differences, left: Database, right: Database) -> None:
    # An export always has the engine's own clusters, as OrientDB needs them; a database need not.
    ours, theirs = ([one for one in side.clusters if one.name not in ENGINE_CLUSTERS] for side in (left, right))
    _compare_named(found, "cluster", ours, theirs, leave_out=("records", "next_position"))
    _compare_named(found, "class", left.classes, right.classes)
    _compare_named(found, "index", left.indexes, right.indexes, leave_out=("id",))


def _compare_named(
    found: Differences, what: str, left: Iterable[Any], right: Iterable[Any], *, leave_out: tuple[str, ...] = ()
) -> None:
    ours, theirs = ({one.name: one for one in side} for side in (left, right))
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in ours or name not in theirs:
            found.add(f"{what} {name} is only on the {'left' if name in ours else 'right'}")
        elif (a := _without(ours[name], leave_out)) != (b := _without(theirs[name], leave_out)):
            found.add(f"{what} {name} differs: {_one_line(a)} | {_one_line(b)}")


def _without(message: Any, leave_out: tuple[str, ...]) -> Message:
    copy = type(message)()
    copy.CopyFrom(message)
    for name in leave_out:
        copy.ClearField(name)
    if isinstance(copy, ClassDefinition):
        # Old engines left out what newer ones write always.
        copy.cluster_selection = copy.cluster_selection or "round-robin"
        for prop in copy.properties:
            prop.collate = prop.collate or "default"
        # Their order is the order of a hash table in some engines.
        copy.properties.sort(key=lambda one: one.name)
    if isinstance(copy, IndexDefinition):
        for part in copy.fields:
            part.collate = part.collate or "default"
    return copy  # type: ignore[no-any-return]


def _one_line(message: Message) -> str:
    return " ".join(str(message).split())


class _Merge:
    """Walks two sequences of records side by side, both in the order of their ids."""

    def __init__(self, found: Differences, left: Iterator[ExportedRecord], *, versions: bool) -> None:
        self._found = found
        self._left = left
        self._versions = versions
        self._last = (-1, -1)
        self._last_left = (-1, -1)
        self._next = self._pull()

    def _pull(self) -> ExportedRecord | None:
        record = next(self._left, None)
        if record is not None:
            self._last_left = _ascending(self._last_left, record)
        return record

    def step(self, right: ExportedRecord) -> None:
        """Take the next record of the right side."""
        self._last = rid = _ascending(self._last, right)
        while self._next is not None and self._next[:2] < rid:
            self._only_left(self._next)
            self._next = self._pull()
        if self._next is None or self._next[:2] != rid:
            self._found.add(f"record #{rid[0]}:{rid[1]} is only on the right")
            return
        left, self._next = self._next, self._pull()
        difference = record_difference(left, right, versions=self._versions)
        if difference:
            self._found.add(f"record #{rid[0]}:{rid[1]}: {difference}")
        else:
            self._found.equal_records += 1

    def finish(self) -> None:
        """What is left on the left side has no partner."""
        while self._next is not None:
            self._only_left(self._next)
            self._next = self._pull()

    def _only_left(self, record: ExportedRecord) -> None:
        self._found.add(f"record #{record.cluster}:{record.position} is only on the left")


def _ascending(last: tuple[int, int], record: ExportedRecord) -> tuple[int, int]:
    rid = (record.cluster, record.position)
    if rid <= last:
        raise InvalidRequest(detail=f"records are not in the order of their ids, at #{rid[0]}:{rid[1]}")
    return rid


def record_difference(left: ExportedRecord, right: ExportedRecord, *, versions: bool = True) -> str:
    """Return in words what two records differ in; "" where they are the same.

    Numbers are compared by their digits, sets without order, and the order of fields does not count.
    """
    if versions and left.version != right.version:
        return f"version {left.version} | {right.version}"
    if left.kind != right.kind:
        return "one is a document, the other a blob"
    if left.body == right.body:
        return ""
    if left.kind != _DOCUMENT:
        return f"blobs of {len(left.body)} | {len(right.body)} bytes differ"
    ours, theirs = _comparable(pairs(left.body)), _comparable(pairs(right.body))
    if ours == theirs:
        return ""
    names = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    return "; ".join(f"{name}: {_short(ours.get(name))} | {_short(theirs.get(name))}" for name in names)


def _short(value: Any) -> str:
    text = "(nothing)" if value is None else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _comparable(value: Any, code: str = "") -> Any:
    if isinstance(value, Pairs):
        named: dict[str, Any] = dict(value)
        entries = named.get("@fieldTypes", "")
        codes = {name: kind for name, _, kind in (entry.rpartition("=") for entry in entries.split(",")) if name}
        fields = {name: _comparable(item, codes.get(name, "")) for name, item in named.items() if name != "@fieldTypes"}
        return fields | ({"@fieldTypes": codes} if codes else {})
    if isinstance(value, list):
        items = [_comparable(item) for item in value]
        return sorted(items, key=repr) if code in _UNORDERED else items
    # A number's text must not equal a string's.
    return ("number", str(value)) if isinstance(value, Number) else value
