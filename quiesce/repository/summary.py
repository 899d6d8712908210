"""A snapshot as a listing shows it."""

from __future__ import annotations

from collections.abc import Callable

from quiesce.errors import DamagedObject
from quiesce.repository.drills import verified_times
from quiesce.repository.repository import Repository
from quiesce.snapshot.manifest import Manifest
from quiesce.v1 import backup_pb2, node_pb2


def summarise(manifest: Manifest, verified_ms: int = 0) -> backup_pb2.SnapshotSummary:
    """Return what a listing shows of a snapshot; `verified_ms` 0: no drill has proven it."""
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
        verified_ms=verified_ms,
    )


def summarise_all(
    repository: Repository,
    on_damage: Callable[[DamagedObject], None] | None = None,
    on_damaged_drill: Callable[[DamagedObject], None] = lambda _: None,
) -> list[backup_pb2.SnapshotSummary]:
    """Return all snapshots of a repository, the oldest first; see `Repository.list_snapshots`."""
    manifests = repository.list_snapshots(on_damage)
    verified = verified_times(repository, [manifest.snapshot_id for manifest in manifests], on_damaged_drill)
    return [summarise(manifest, verified.get(manifest.snapshot_id, 0)) for manifest in manifests]
