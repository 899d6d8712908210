"""Keeps the ids to which dangling links lead out of use, so that such a link never meets a record that is not meant."""

from __future__ import annotations

from collections.abc import Mapping

from quiesce.orientdb.plan import ImportPlan
from quiesce.records.rid import MAX_CLUSTER_ID
from quiesce.v1.database_pb2 import ReserveIds, SchemaChange

# Positions beyond cannot be reserved without an end of the cluster coming near; no cluster gets there by itself.
MOST_RESERVED = 1 << 62


def reservations(plan: ImportPlan, reach: Mapping[int, int]) -> list[SchemaChange]:
    """Return the changes that reserve all ids up to those of dangling links.

    Args:
        plan: of the import.
        reach: the greatest position to which such a link leads, by the file's cluster id.
    """
    changes = []
    for cluster, position in sorted(reach.items()):
        number, place = plan.map[cluster, position] if plan.options.migrate_links else (cluster, position)
        if number <= MAX_CLUSTER_ID and place < MOST_RESERVED:
            changes.append(SchemaChange(reserve_ids=ReserveIds(cluster=number, next_position=place + 1)))
    return changes
