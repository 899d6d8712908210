"""What a fill says: records of an import as they go into the store."""

from __future__ import annotations

import operator

from nodes.store import keys
from quiesce._native import doubtful_bodies, stored_records
from quiesce.errors import InvalidRequest
from quiesce.indexing.body import class_of
from quiesce.records.rid import MAX_POSITION
from quiesce.v1.record_pb2 import Fill, RecordKind

_DOCUMENT = RecordKind.RECORD_KIND_DOCUMENT
_BLOB = RecordKind.RECORD_KIND_BLOB


def records_of(database: int, fill: Fill) -> tuple[list[int], list[bytes], dict[bytes, bytes]]:
    """Return positions, bodies, and keys and values as the store has them, all in the order of the fill.

    Raises:
        InvalidRequest: its parts do not belong together, or a position or version is too large.
        InvalidDocument: a body is none.
    """
    positions, versions, bodies = list(fill.positions), list(fill.versions), list(fill.bodies)
    if fill.kind not in (_DOCUMENT, _BLOB):
        raise InvalidRequest(detail="a record is either a document or a blob")
    if not positions or not len(positions) == len(versions) == len(bodies):
        raise InvalidRequest(detail="a fill has one position, one version and one body for each record")
    if any(map(operator.ge, positions, positions[1:])):
        raise InvalidRequest(detail="the positions of a fill ascend")
    if positions[-1] > MAX_POSITION:
        raise InvalidRequest(detail=f"position {positions[-1]} is over the limit of {MAX_POSITION}")
    if max(versions) > keys.MAX_VERSION:
        raise InvalidRequest(detail=f"version {max(versions)} is over the limit of {keys.MAX_VERSION}")
    if fill.kind == _DOCUMENT:
        where = f"a new record in cluster {fill.cluster}"
        for place in doubtful_bodies(bodies):
            class_of(bodies[place], where)
    cluster = keys.CLUSTER.pack(database, fill.cluster)
    return positions, bodies, stored_records(cluster, fill.kind, positions, versions, bodies)
