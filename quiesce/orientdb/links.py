"""Finds the links of records, which of them lead nowhere, and lets them follow records whose ids change."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from quiesce._native import KnownRecords
from quiesce.orientdb.escapes import Number, Pairs, pairs, written
from quiesce.orientdb.record_text import ExportedRecord
from quiesce.records.shapes import Shape, parse_shape, types_of
from quiesce.v1.database_pb2 import ClassDefinition
from quiesce.v1.record_pb2 import RecordKind

# Exporters since 2.0 give every link its type, but for link maps.
FIRST_TYPED = 9
LISTED = 1_000

_CANDIDATE = re.compile(rb'"#(-?\d+):(-?\d+)"')
# Characters of a record id that are written as escapes: then its bytes do not show it.
_ESCAPED = re.compile(rb"\\u00[23]")
_fields = msgspec.json.Decoder(dict[str, Any]).decode
_RID = re.compile(r"#(-?\d+):(-?\d+)")
_LINK_CODES = frozenset("xnzmg")
_LINK_TYPES = frozenset({"LINK", "LINKLIST", "LINKSET", "LINKMAP", "LINKBAG"})
_CONTAINERS = frozenset({"EMBEDDED", "EMBEDDEDLIST", "EMBEDDEDSET", "EMBEDDEDMAP", "ANY"})
_DOCUMENT = RecordKind.RECORD_KIND_DOCUMENT

# Whatever is added to it, it is less than none.
_SHAPED = -(1 << 40)

Rid = tuple[int, int]
# Takes where a link stands and its text, returns the text that it is to have.
Visit = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class DanglingLink:
    """A link to a record that the export does not hold. It is imported as it is."""

    record: str
    field: str
    target: str

    def __str__(self) -> str:
        return f"{self.record} {self.field} -> {self.target}"


@dataclass(frozen=True, slots=True)
class LinkWalk:
    """Visits every link of a document.

    Args (of the constructor):
        types: property types by class and name, inherited ones included; see `property_types`.
        untyped: the export is so old that its links carry no type: what looks like a record id counts as link.
    """

    types: Mapping[str, Mapping[str, str]]
    untyped: bool = False

    def document(self, fields: Pairs, visit: Visit, path: str = "") -> Pairs:
        """Return the fields of a document, each link as `visit` returned it."""
        named: dict[str, Any] = dict(fields)
        codes, shapes = types_of(named.get("@fieldTypes", ""), named)
        declared = self.types.get(named.get("@class", ""), {})
        found = Pairs()
        for name, value in named.items():
            kind = declared.get(name)
            if name.startswith("@"):
                followed = value
            elif kind in _LINK_TYPES or codes.get(name) in _LINK_CODES:
                followed = _links(value, visit, path + name)
            elif name in shapes:
                followed = self._shaped(value, parse_shape(shapes[name]), visit, path + name)
            elif kind is None or kind in _CONTAINERS:
                followed = self._inside(value, visit, path + name, known=kind is not None or name in codes)
            else:
                followed = value
            found.append((name, followed))
        return found

    def count(self, fields: dict[str, Any]) -> int:
        """Return how many links with the form of a record id a document has, parsed as JSON usually is.

        Less than none where it has shapes, which this does not look into.
        """
        codes, shapes = types_of(fields.get("@fieldTypes", ""), fields)
        if shapes:
            return _SHAPED
        declared = self.types.get(fields.get("@class", ""), {})
        found = 0
        for name, value in fields.items():
            kind = declared.get(name)
            if name[:1] == "@":
                continue
            if kind in _LINK_TYPES or codes.get(name) in _LINK_CODES:
                found += _count_links(value)
            elif kind is None or kind in _CONTAINERS:
                found += self._count_inside(value, known=kind is not None or name in codes)
        return found

    def _count_inside(self, value: Any, *, known: bool) -> int:
        if isinstance(value, dict):
            if "@type" in value:
                return self.count(value)
            return sum(
                _count_links(item) if isinstance(item, str) and not known else self._count_inside(item, known=known)
                for item in value.values()
            )
        if isinstance(value, list):
            return sum(self._count_inside(item, known=known) for item in value)
        return _count_links(value) if self.untyped and not known and isinstance(value, str) else 0

    def _shaped(self, value: Any, shape: Shape, visit: Visit, path: str) -> Any:
        """Return a value with the links that its shape names."""
        if shape.code in _LINK_CODES:
            return _links(value, visit, path)
        if shape.plain or not isinstance(value, list):
            return self._inside(value, visit, path, known=True)
        if isinstance(value, Pairs):
            return Pairs((key, self._shaped(item, shape.value(key), visit, f"{path}.{key}")) for key, item in value)
        return [self._shaped(item, shape.item(at), visit, f"{path}[{at}]") for at, item in enumerate(value)]

    def _inside(self, value: Any, visit: Visit, path: str, *, known: bool) -> Any:
        """Return a value that is no link itself, with the links inside; `known`: something says what it is."""
        if isinstance(value, Pairs):
            if any(key == "@type" for key, _ in value):
                return self.document(value, visit, path + ".")
            found = Pairs()
            for key, item in value:
                # Every engine leaves link maps without a type.
                link = isinstance(item, str) and not isinstance(item, Number) and not known
                followed = (
                    visit(f"{path}.{key}", item) if link else self._inside(item, visit, f"{path}.{key}", known=known)
                )
                found.append((key, followed))
            return found
        if isinstance(value, list):
            return [self._inside(item, visit, f"{path}[{at}]", known=known) for at, item in enumerate(value)]
        if isinstance(value, str) and not isinstance(value, Number) and self.untyped and not known:
            return visit(path, value)
        return value


def _count_links(value: Any) -> int:
    if isinstance(value, str):
        return _RID.fullmatch(value) is not None
    if isinstance(value, list):
        return sum(map(_count_links, value))
    return sum(map(_count_links, value.values())) if isinstance(value, dict) else 0


def _links(value: Any, visit: Visit, path: str) -> Any:
    if isinstance(value, Pairs):
        return Pairs((key, _links(item, visit, path)) for key, item in value)
    if isinstance(value, list):
        return [_links(item, visit, path) for item in value]
    if isinstance(value, str) and not isinstance(value, Number):
        return visit(path, value)
    return value


@dataclass(slots=True)
class LinkCheck:
    """Looks at every link of the records it is shown.

    Args (of the constructor):
        resolves: whether a record of that id is imported.
        walk: finds the links.
        moved: the new id of a record; None where all ids stay.
        known: the same as `resolves` says, for a quick look; None: every record gets a careful one.
    """

    resolves: Callable[[Rid], bool]
    walk: LinkWalk
    moved: Callable[[Rid], Rid] | None = None
    known: KnownRecords | None = None
    # Values that look like record ids and lead to a record, and links that do not.
    resolved: int = 0
    dangling: int = 0
    # The first LISTED of them.
    listed: list[DanglingLink] = field(default_factory=list)
    # The greatest position to which a dangling link leads, by cluster.
    reach: dict[int, int] = field(default_factory=dict)
    _record: str = ""

    def look_at(self, records: list[ExportedRecord]) -> list[ExportedRecord]:
        """Check the links of records; return these, with their links changed where ids change."""
        if self.known is None:
            return list(map(self._look_closely, records))
        resolved, suspects = self.known.look(records, _DOCUMENT, self.moved is not None)
        self.resolved += resolved
        if not suspects:
            return records
        found = list(records)
        for place in suspects:
            found[place] = self._look_closely(records[place])
        return found

    def _look_closely(self, record: ExportedRecord) -> ExportedRecord:
        body = record.body
        candidates: list[tuple[bytes, bytes]] = _CANDIDATE.findall(body) if record.kind == _DOCUMENT else []
        missing = False
        for cluster, position in candidates:
            if self.resolves((int(cluster), int(position))):
                self.resolved += 1
            else:
                missing = True
        escaped = b"\\u00" in body and record.kind == _DOCUMENT and _ESCAPED.search(body) is not None
        quick = candidates and not missing and not escaped
        if quick and self.moved and self.walk.count(_fields(body)) == len(candidates):
            # All that looks like a record id is a link: it need not be written anew.
            return record._replace(body=_CANDIDATE.sub(self._follow_match, body))
        if missing or escaped or (candidates and self.moved):
            # Only a type tells a link from a text that looks like one; that needs the document.
            self._record = f"#{record.cluster}:{record.position}"
            fields = self.walk.document(pairs(body), self._visit)
            return record._replace(body=written(fields).encode("ascii")) if self.moved else record
        return record

    def _follow_match(self, found: re.Match[bytes]) -> bytes:
        assert self.moved is not None  # noqa: S101 - asked only where ids change
        return b'"#%d:%d"' % self.moved((int(found[1]), int(found[2])))

    def follow(self, text: str) -> str:
        """Return a record id's text as it is after the import."""
        rid = _RID.fullmatch(text)
        if not rid or not self.moved:
            return text
        return "#{}:{}".format(*self.moved((int(rid[1]), int(rid[2]))))

    def _visit(self, name: str, target: str) -> str:
        found = _RID.fullmatch(target)
        if not found:
            return target
        rid = int(found[1]), int(found[2])
        if not self.resolves(rid):
            self.dangling += 1
            if len(self.listed) < LISTED:
                self.listed.append(DanglingLink(self._record, name, target))
            if min(rid) >= 0:
                self.reach[rid[0]] = max(self.reach.get(rid[0], 0), rid[1])
        return "#{}:{}".format(*self.moved(rid)) if self.moved else target


def property_types(classes: Iterable[ClassDefinition]) -> dict[str, dict[str, str]]:
    """Return type by property by class, inherited ones included.

    A collection that is declared to hold links has the type of such a collection.
    """
    types: dict[str, dict[str, str]] = {}
    for one in super_classes_first(classes):
        inherited: dict[str, str] = {}
        for name in one.super_classes:
            inherited |= types.get(name, {})
        types[one.name] = inherited | {
            prop.name: prop.type.replace("EMBEDDED", "LINK") if prop.linked_type == "LINK" else prop.type
            for prop in one.properties
        }
    return types


def super_classes_first(classes: Iterable[ClassDefinition]) -> list[ClassDefinition]:
    """Return classes in an order in which each comes behind those that it extends, as far as they are here."""
    named = {one.name: one for one in classes}
    ordered: dict[str, ClassDefinition] = {}
    # A stack of our own: a chain of classes may be longer than Python's.
    for first in named:
        path = [] if first in ordered else [first]
        while path:
            one = named[path[-1]]
            # One in the path would extend itself; no database lets that happen.
            waiting = (name for name in one.super_classes if name in named and name not in ordered)
            above = next((name for name in waiting if name not in path), None)
            if above is None:
                ordered[path.pop()] = one
            else:
                path.append(above)
    return list(ordered.values())
