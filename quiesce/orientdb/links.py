"""Finds the links of records, and which of them lead nowhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from quiesce.orientdb.escapes import Number, Pairs, pairs
from quiesce.orientdb.record_text import ExportedRecord
from quiesce.v1.database_pb2 import ClassDefinition
from quiesce.v1.record_pb2 import RecordKind

# Exporters since 2.0 give every link its type, but for link maps.
FIRST_TYPED = 9
LISTED = 1_000

_CANDIDATE = re.compile(rb'"#(-?\d+):(-?\d+)"')
_RID = re.compile(r"#(-?\d+):(-?\d+)")
_LINK_CODES = frozenset("xnzmg")
_LINK_TYPES = frozenset({"LINK", "LINKLIST", "LINKSET", "LINKMAP", "LINKBAG"})
_CONTAINERS = frozenset({"EMBEDDED", "EMBEDDEDLIST", "EMBEDDEDSET", "EMBEDDEDMAP", "ANY"})
_DOCUMENT = RecordKind.RECORD_KIND_DOCUMENT


@dataclass(frozen=True, slots=True)
class DanglingLink:
    """A link to a record that the export does not hold. It is imported as it is."""

    record: str
    field: str
    target: str

    def __str__(self) -> str:
        return f"{self.record} {self.field} -> {self.target}"


@dataclass(slots=True)
class LinkCheck:
    """Looks at every link of the records it is shown.

    Args (of the constructor):
        resolves: whether a record of that id is imported.
        types: property types by class and name, inherited ones included; see `property_types`.
        untyped: the export is so old that its links carry no type: what looks like a record id counts as link.
    """

    resolves: Callable[[tuple[int, int]], bool]
    types: Mapping[str, Mapping[str, str]]
    untyped: bool = False
    # Values that look like record ids and lead to a record, and links that do not.
    resolved: int = 0
    dangling: int = 0
    # The first LISTED of them.
    listed: list[DanglingLink] = field(default_factory=list)

    def look_at(self, records: Iterable[ExportedRecord]) -> None:
        """Check the links of records."""
        resolves, find = self.resolves, _CANDIDATE.findall
        for record in records:
            found: list[tuple[bytes, bytes]] = find(record.body) if record.kind == _DOCUMENT else []
            missing = False
            for cluster, position in found:
                if resolves((int(cluster), int(position))):
                    self.resolved += 1
                else:
                    missing = True
            if missing:
                self._look_closely(record)

    def _look_closely(self, record: ExportedRecord) -> None:
        """Only a type tells a link from a text that looks like one; that needs the document."""
        for name, target in self._links(pairs(record.body), ""):
            rid = _RID.fullmatch(target)
            if rid and not self.resolves((int(rid[1]), int(rid[2]))):
                self.dangling += 1
                if len(self.listed) < LISTED:
                    self.listed.append(DanglingLink(f"#{record.cluster}:{record.position}", name, target))

    def _links(self, fields: Pairs, path: str) -> Iterator[tuple[str, str]]:
        named: dict[str, Any] = dict(fields)
        entries = (entry.rpartition("=") for entry in named.get("@fieldTypes", "").split(","))
        codes = {name: code for name, _, code in entries}
        declared = self.types.get(named.get("@class", ""), {})
        for name, value in named.items():
            if name.startswith("@"):
                continue
            kind = declared.get(name)
            if kind in _LINK_TYPES or codes.get(name) in _LINK_CODES:
                yield from ((path + name, target) for target in _strings(value))
            elif kind is None or kind in _CONTAINERS:
                yield from self._inside(value, path + name, known=kind is not None or name in codes)

    def _inside(self, value: Any, path: str, *, known: bool) -> Iterator[tuple[str, str]]:
        """Yield the links inside a value that is no link itself; `known`: something says what it is."""
        if isinstance(value, Pairs):
            if any(key == "@type" for key, _ in value):
                yield from self._links(value, path + ".")
                return
            # Every engine leaves link maps without a type.
            for key, item in value:
                if isinstance(item, str) and not known:
                    yield f"{path}.{key}", item
                else:
                    yield from self._inside(item, f"{path}.{key}", known=known)
        elif isinstance(value, list):
            for at, item in enumerate(value):
                yield from self._inside(item, f"{path}[{at}]", known=known)
        elif isinstance(value, str) and not isinstance(value, Number) and self.untyped and not known:
            yield path, value


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, Pairs):
        for _, item in value:
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, str) and not isinstance(value, Number):
        yield value


def property_types(classes: Iterable[ClassDefinition]) -> dict[str, dict[str, str]]:
    """Return type by property by class, inherited ones included; super-classes must come before their sub-classes."""
    types: dict[str, dict[str, str]] = {}
    for one in classes:
        inherited: dict[str, str] = {}
        for name in one.super_classes:
            inherited |= types.get(name, {})
        types[one.name] = inherited | {prop.name: prop.type for prop in one.properties}
    return types
