"""Other cluster ids for an engine whose own clusters cannot move, and every link along with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from quiesce.orientdb.engine_versions import Engine
from quiesce.orientdb.escapes import Number, Pairs, pairs, written
from quiesce.orientdb.links import LinkWalk, property_types
from quiesce.v1.database_pb2 import ClassDefinition, Cluster

_RID = re.compile(r"#(\d+):(\d+)")


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
    """Puts new cluster ids into links: those that a type names, and those of maps, which OrientDB leaves untyped."""

    def __init__(self, ids: Mapping[int, int], classes: Iterable[ClassDefinition] = ()) -> None:
        self.ids = ids
        self._walk = LinkWalk(property_types(classes) if ids else {})
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
        return written(self._walk.document(pairs(body), lambda _, text: self.rid(text))).encode("ascii")

    def everywhere(self, text: bytes) -> bytes:
        """Return the JSON of a section with all that looks like a record id as it is in the file."""
        if self._candidate is None or not self._candidate.search(text):
            return text
        return written(_everywhere(pairs(text), self.rid)).encode("ascii")


def _everywhere(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, Pairs):
        return Pairs((key, _everywhere(item, change)) for key, item in value)
    if isinstance(value, list):
        return [_everywhere(item, change) for item in value]
    return change(value) if isinstance(value, str) and not isinstance(value, Number) else value
