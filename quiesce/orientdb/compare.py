"""Compares two exports, or an export and a database, record by record, class by class, index by index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from google.protobuf.json_format import MessageToDict

from quiesce.errors import InvalidRequest
from quiesce.orientdb.differences import Difference, Differences, definition_differences, record_differences
from quiesce.orientdb.exporter import ExportClient
from quiesce.orientdb.reader import ExportReader
from quiesce.orientdb.record_text import ExportedRecord
from quiesce.orientdb.survey import ENGINE_CLUSTERS, Survey, survey
from quiesce.v1.database_pb2 import ClassDefinition, Database, IndexDefinition


def compare_exports(left: Path, right: Path, *, versions: bool = True, found: Differences | None = None) -> Differences:
    """Compare two export files; the engine's own records are left out.

    The files are read side by side: memory is bounded by their largest record and by their definitions.

    Args:
        left: a file.
        right: another one.
        versions: also compare the records' versions.
        found: what to add the differences to.

    Raises:
        MalformedExport, TruncatedExport, FileUnusable; InvalidRequest where records are not in the order of their ids.
    """
    found = Differences() if found is None else found
    one, other = survey(left), survey(right)
    compare_definitions(found, _definition(one), _definition(other))
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
    flat: frozenset[str] = frozenset()
    first = True
    async for message in client.scan(database, whole=True):
        if first:
            first = False
            compare_definitions(found, _definition(one), message.database)
            flat = frozenset(_kept(message.database, "flatRecords") or [])
        for record in message.records:
            merge.step(
                ExportedRecord(
                    record.cluster,
                    record.position,
                    record.version,
                    record.kind,
                    record.body,
                    byte=0,
                    flat=f"#{record.cluster}:{record.position}" in flat,
                )
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
    with ExportReader(found.path) as reader:
        for part in reader:
            if isinstance(part, list):
                yield from found.wanted(part)


def compare_definitions(found: Differences, left: Database, right: Database) -> None:
    """Add what the clusters, classes, indexes and kept sections of two databases differ in."""
    # An export always has the engine's own clusters, as OrientDB needs them; a database need not.
    ours, theirs = ([one for one in side.clusters if one.name not in ENGINE_CLUSTERS] for side in (left, right))
    _compare_named(found, "cluster", _plain(ours), _plain(theirs))
    _compare_named(found, "class", _plain(left.classes), _plain(right.classes))
    _compare_named(found, "index", _plain(left.indexes), _plain(right.indexes))
    _compare_named(found, "manual index", *(_named(_kept(side, "manualIndexes")) for side in (left, right)))
    for section in sorted(left.preserved.keys() | right.preserved.keys()):
        if section == "brokenRids" or section.startswith("section:"):
            name = section.removeprefix("section:")
            one, other = ({"content": _kept(side, section)} for side in (left, right))
            found.extend(definition_differences("section", name, one, other))


def _compare_named(
    found: Differences, what: str, left: Mapping[str, dict[str, Any]], right: Mapping[str, dict[str, Any]]
) -> None:
    for name in sorted(left.keys() | right.keys()):
        if name not in left or name not in right:
            sides = (msgspec.json.encode(side[name]).decode() if name in side else None for side in (left, right))
            found.add(Difference(what, name, "", *sides))
        else:
            found.extend(definition_differences(what, name, left[name], right[name]))


def _kept(database: Database, section: str) -> Any:
    text = database.preserved.get(section)
    return msgspec.json.decode(text) if text else None


def _named(items: Any) -> dict[str, dict[str, Any]]:
    return {str(one.get("name")): one for one in items or []}


def _plain(messages: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """Return definitions by name, as plain values."""
    return {one.name: _fields(one) for one in messages}


# What is no content: counts, and the numbers that a store gives its indexes.
_LEFT_OUT = {"Cluster": ("records", "next_position"), "IndexDefinition": ("id",)}


def _fields(message: Any) -> dict[str, Any]:
    copy = type(message)()
    copy.CopyFrom(message)
    # Old engines left out what newer ones write always.
    if isinstance(copy, ClassDefinition):
        copy.cluster_selection = copy.cluster_selection or "round-robin"
        for prop in copy.properties:
            prop.collate = prop.collate or "default"
    elif isinstance(copy, IndexDefinition):
        for part in copy.fields:
            part.collate = part.collate or "default"
    fields: dict[str, Any] = MessageToDict(copy, preserving_proto_field_name=True)
    for name in _LEFT_OUT.get(copy.DESCRIPTOR.name, ()):
        fields.pop(name, None)
    if "properties" in fields:
        # Their order is the order of a hash table in some engines.
        fields["properties"] = {one["name"]: one for one in fields["properties"]}
    if isinstance(copy, IndexDefinition) and copy.metadata:
        fields["metadata"] = msgspec.json.decode(copy.metadata)
    return fields


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
            self._only(self._next, "left")
            self._next = self._pull()
        if self._next is None or self._next[:2] != rid:
            self._only(right, "right")
            return
        left, self._next = self._next, self._pull()
        if not self._found.extend(record_differences(left, right, versions=self._versions)):
            self._found.equal_records += 1

    def finish(self) -> None:
        """What is left on the left side has no partner."""
        while self._next is not None:
            self._only(self._next, "left")
            self._next = self._pull()

    def _only(self, record: ExportedRecord, side: str) -> None:
        # A blob is not text.
        text = record.body.decode("utf-8", "replace")
        name = f"#{record.cluster}:{record.position}"
        self._found.add(Difference("record", name, "", *((text, None) if side == "left" else (None, text))))


def _ascending(last: tuple[int, int], record: ExportedRecord) -> tuple[int, int]:
    rid = (record.cluster, record.position)
    if rid <= last:
        raise InvalidRequest(detail=f"records are not in the order of their ids, at #{rid[0]}:{rid[1]}")
    return rid
