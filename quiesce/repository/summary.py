"""A snapshot as a listing shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from quiesce.errors import DamagedObject
from quiesce.repository.drills import verified_times
from quiesce.repository.pins import clock_ms, pin_reasons
from quiesce.repository.repository import Repository
from quiesce.snapshot.manifest import Manifest
from quiesce.v1 import backup_pb2, node_pb2


def _summary(manifest: Manifest, verified_ms: int, pinned: str) -> backup_pb2.SnapshotSummary:
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
        policy=manifest.policy,
        pinned=pinned,
    )


def summarise(
    repository: Repository,
    manifests: Sequence[Manifest],
    on_damaged_drill: Callable[[DamagedObject], None] = lambda _: None,
) -> list[backup_pb2.SnapshotSummary]:
    """Return what a listing shows of snapshots of a repository."""
    verified = verified_times(repository, [manifest.snapshot_id for manifest in manifests], on_damaged_drill)
    pinned = pin_reasons(repository, clock_ms())
    return [
        _summary(manifest, verified.get(manifest.snapshot_id, 0), pinned.get(manifest.snapshot_id, ""))
        for manifest in manifests
    ]


def summarise_all(
    repository: Repository,
    on_damage: Callable[[DamagedObject], None] | None = None,
    on_damaged_drill: Callable[[DamagedObject], None] = lambda _: None,
) -> list[backup_pb2.SnapshotSummary]:
    """Return all snapshots of a repository, the oldest first; see `Repository.list_snapshots`."""
    return summarise(repository, repository.list_snapshots(on_damage), on_damaged_drill)
