"""Removes a snapshot: its manifest, and so the snapshot; what only it needed becomes garbage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from quiesce.errors import (
    LastSnapshot,
    SnapshotBeingRemoved,
    SnapshotPinned,
    UnknownSnapshot,
)
from quiesce.repository import layout, notes
from quiesce.repository.pins import exists, pin_reasons
from quiesce.repository.publishing import first_missing
from quiesce.repository.repository import Repository
from quiesce.snapshot.identifier import is_snapshot_id
from quiesce.snapshot.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Standing:
    """How a repository stands when a snapshot is about to go; those that others are removing are gone already.

    `removed` is None where its manifest cannot be read.
    """

    removed: Manifest | None
    left: list[Manifest]
    pins: dict[str, str]


def remove_snapshot(
    repository: Repository, snapshot_id: str, check: Callable[[Standing], None], *, now_ms: int
) -> bool:
    """Remove a snapshot; False where it was gone. May be repeated after a crash.

    Announce, then look: what `check` sees can change only in the sight of somebody who sees this removal.

    Raises:
        SnapshotPinned: somebody keeps it, or reads it.
        QuiesceError: what `check` raises; then it stays.
    """
    if not is_snapshot_id(snapshot_id):
        raise UnknownSnapshot(snapshot_id=snapshot_id, repository=repository.location)
    removals = notes.removals(repository.objects)
    removal = removals.add(snapshot_id, notes.Removal(snapshot_id, notes.who(), now_ms))
    try:
        found = _look(repository, snapshot_id, check, removal, now_ms)
        repository.objects.delete(layout.manifest(snapshot_id))
        for drill in list(repository.objects.list_objects(f"{layout.DRILLS}/{snapshot_id}")):
            repository.objects.delete(drill.name)
    except Exception:
        removals.remove(removal)
        raise
    # Also those of processes that died on the way here.
    for name, _ in removals.names(snapshot_id):
        removals.remove(name)
    return found


def _look(
    repository: Repository, snapshot_id: str, check: Callable[[Standing], None], removal: str, now_ms: int
) -> bool:
    """Return whether the snapshot is there, and may go; raises why not."""
    pins = pin_reasons(repository, now_ms)
    if snapshot_id in pins:
        raise SnapshotPinned(snapshot_id=snapshot_id, repository=repository.location, reason=pins[snapshot_id])
    if not exists(repository, snapshot_id):
        return False
    check(_standing(repository, snapshot_id, pins))
    if notes.removals(repository.objects).read(removal) is None:
        # Taken for that of a dead process; whoever has pinned the snapshot since does not know of this one.
        raise SnapshotBeingRemoved(snapshot_id=snapshot_id, repository=repository.location, by="another process")
    return True


def _standing(repository: Repository, snapshot_id: str, pins: dict[str, str]) -> Standing:
    going = {about for _, about in notes.removals(repository.objects).names()}
    manifests = repository.list_snapshots(lambda _: None)
    removed = next((one for one in manifests if one.snapshot_id == snapshot_id), None)
    return Standing(removed, [one for one in manifests if one.snapshot_id not in going], pins)


def whole(repository: Repository, manifests: list[Manifest]) -> list[Manifest]:
    """Return the snapshots whose objects are all there, with the right lengths; no byte of them is read."""
    sizes = repository.pack_sizes()
    return [manifest for manifest in manifests if first_missing(repository, manifest, sizes) is None]


def keep_enough(repository: Repository, minimum: int = 1) -> Callable[[Standing], None]:
    """Return a check that a policy keeps so many whole snapshots; it raises LastSnapshot."""

    def check(standing: Standing) -> None:
        removed = standing.removed
        if removed is None or not removed.policy or not whole(repository, [removed]):
            return
        mine = [m for m in standing.left if (m.cluster_id, m.policy) == (removed.cluster_id, removed.policy)]
        left = len(whole(repository, mine))
        if left < minimum:
            raise LastSnapshot(snapshot_id=removed.snapshot_id, policy=removed.policy, left=left, wanted=minimum)

    return check
