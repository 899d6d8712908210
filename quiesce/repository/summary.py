"""A snapshot as a listing shows it."""

from __future__ import annotations

from quiesce.snapshot.manifest import Manifest
from quiesce.v1 import backup_pb2, node_pb2


def summarise(manifest: Manifest) -> backup_pb2.SnapshotSummary:
    """Return what a listing shows of a snapshot."""
    mark, totals = manifest.mark, manifest.totals
    return backup_pb2.SnapshotSummary(
        id=manifest.snapshot_id,
        content_id=manifest.content_id,
        mark=node_pb2.Mark(term=mark.term, index=mark.index, time_ms=mark.time_ms, epoch=mark.epoch),
        cluster_id=manifest.cluster_id,
        node_id=manifest.node_id,
        started_ms=manifest.started_ms,
        ended_ms=manifest.ended_ms,
        pages=totals.pages,
        pages_uploaded=totals.pages_uploaded,
        records=totals.records,
        bytes_raw=totals.bytes_raw,
        bytes_uploaded=totals.bytes_uploaded,
        databases=[database.name for database in manifest.databases],
    )
