"""Other cluster ids for an engine whose own clusters cannot move, and every link along with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from quiesce.orientdb.engine_versions import Engine
from quiesce.orientdb.escapes import Number, Pairs, pairs, written
from quiesce.orientdb.links import property_types
from quiesce.records.shapes import MARK, PLAIN, Shape, parse_shape
from quiesce.v1.database_pb2 import ClassDefinition, Cluster

_RID = re.compile(r"#(\d+):(\d+)")
_LINK_CODES = frozenset("xnzmg")
_LINK_TYPES = frozenset({"LINK", "LINKLIST", "LINKSET", "LINKMAP", "LINKBAG"})


def new_ids(clusters: Iterable[Cluster], engine: Engine) -> dict[int, int]:
    """Return the ids of those clusters that must have another one in an export for an engine."""
    named = {one.name.lower(): one.id for one in clusters}
    fixed = dict(engine.fixed_clusters)
    moved = {named[name]: target for name, target in fixed.items() if name in named}
    # Whoever is in the way goes to an id that was left, or behind the last.
    displaced = sorted(cluster for cluster in named.values() if cluster in fixed.values() and cluster not in moved)
    free = sorted(cluster for cluster in moved if cluster not in fixed.values())
    behind = max(named.values(), default=-1) + 1
    free += range(behind, behind + len(displaced))
    moved.update(zip(displaced, free, strict=False))
    return {old: new for old, new in moved.items() if old != new}


class ClusterIds:
    """Puts new cluster ids into links: those that a type names, and those in maps, which OrientDB leaves without one."""

    def __init__(self, ids: Mapping[int, int], classes: Iterable[ClassDefinition] = ()) -> None:
        self.ids = ids
        self._types = property_types(_super_classes_first(classes)) if ids else {}
        alternatives = "|".join(map(str, sorted(ids)))
        self._candidate = re.compile(rf'"#(?:{alternatives}):\d'.encode()) if ids else None

    def of(self, cluster: int) -> int:
        """Return a cluster's id in the file."""
        return self.ids.get(cluster, cluster)

    def rid(self, text: str) -> str:
        """Return a record id as it is in the file."""
        found = _RID.fullmatch(text)
        return f"#{self.of(int(found[1]))}:{found[2]}" if found else text

    def body(self, body: bytes) -> bytes:
        """Return a document's body with its links as they are in the file."""
        if self._candidate is None or not self._candidate.search(body):
            return body
        return written(self._document(pairs(body))).encode("ascii")

    def everywhere(self, text: bytes) -> bytes:
        """Return the JSON of a section with all that looks like a record id as it is in the file."""
        if self._candidate is None or not self._candidate.search(text):
            return text
        return written(self._all(pairs(text))).encode("ascii")

    def _document(self, fields: Pairs) -> Pairs:
        named: dict[str, Any] = dict(fields)
        codes: dict[str, str] = {}
        shapes: dict[str, Shape] = {}
        for entry in str(named.get("@fieldTypes", "")).split(","):
            name, mark, shape = entry.partition(MARK)
            if mark and name in named:
                shapes[name] = parse_shape(shape)
            else:
                name, _, codes[name] = entry.rpartition("=")
        declared = self._types.get(str(named.get("@class", "")), {})
        changed = Pairs()
        for name, value in fields:
            if name.startswith("@"):
                changed.append((name, value))
            elif declared.get(name) in _LINK_TYPES or codes.get(name) in _LINK_CODES:
                changed.append((name, self._all(value)))
            elif name in shapes:
                changed.append((name, self._shaped(value, shapes[name])))
            else:
                changed.append((name, self._inside(value)))
        return changed

    def _all(self, value: Any) -> Any:
        return _each(value, self._all) if isinstance(value, list) else self._text(value)

    def _shaped(self, value: Any, shape: Shape) -> Any:
        if shape.code in _LINK_CODES:
            return self._all(value)
        if shape.plain or not isinstance(value, list):
            return self._inside(value)
        if isinstance(value, Pairs):
            return Pairs((key, self._shaped(item, shape.value(key))) for key, item in value)
        return [self._shaped(item, shape.item(place)) for place, item in enumerate(value)]

    def _inside(self, value: Any) -> Any:
        if isinstance(value, Pairs):
            if any(key == "@type" for key, _ in value):
                return self._document(value)
            # A link map whose type nobody names: only one where every value is a link.
            if value and all(isinstance(item, str) and _RID.fullmatch(item) for _, item in value):
                return self._all(value)
            return Pairs((key, self._shaped(item, PLAIN)) for key, item in value)
        return [self._inside(item) for item in value] if isinstance(value, list) else value

    def _text(self, value: Any) -> Any:
        return self.rid(value) if isinstance(value, str) and not isinstance(value, Number) else value


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, Pairs):
        return Pairs((key, change(item)) for key, item in value)
    return [change(item) for item in value]


def _super_classes_first(classes: Iterable[ClassDefinition]) -> list[ClassDefinition]:
    waiting = {one.name: one for one in classes}
    ordered: list[ClassDefinition] = []
    while waiting:
        ready = [one for one in waiting.values() if not any(name in waiting for name in one.super_classes)]
        ordered += ready
        for one in ready:
            del waiting[one.name]
        if not ready:
            # They extend each other; no database lets that happen.
            return ordered + list(waiting.values())
    return ordered
