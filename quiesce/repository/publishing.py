"""The last step of making a snapshot: its manifest, only where all that it names is there and stays.

Announce, then look: the claim is written first, then the sweeps are read. A collector writes its sweep first, then
reads the claims and manifests. So at least one of two sees the other, however long either stands still in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quiesce.errors import LeaseLost, SnapshotExists, SnapshotObjectGone
from quiesce.repository import layout, notes
from quiesce.snapshot.manifest import Manifest, encode_manifest, is_withdrawal

if TYPE_CHECKING:
    from quiesce.repository.repository import Repository


def objects_of(manifest: Manifest) -> list[str]:
    """Return the names of all objects that a snapshot needs besides its manifest."""
    return [layout.table(manifest.table.digest), *(layout.pack(pack.digest) for pack in manifest.packs)]


def publish(repository: Repository, manifest: Manifest, now_ms: int) -> None:
    """Make a snapshot exist, all at once. See `Repository.publish_manifest`."""
    objects, named = repository.objects, objects_of(manifest)
    name, data = layout.manifest(manifest.snapshot_id), encode_manifest(manifest)
    claims, writers = notes.claims(objects), notes.writers(objects)
    claim = claims.add(manifest.snapshot_id, notes.Claim(manifest.snapshot_id, notes.who(), now_ms, named))
    try:
        gone = first_gone(repository, manifest)
        if gone is None:
            if not objects.put_new(name, data) and (found := objects.get(name)) != data:
                if is_withdrawal(found):
                    raise LeaseLost(epoch=manifest.mark.epoch)
                raise SnapshotExists(snapshot_id=manifest.snapshot_id, repository=repository.location)
            if claims.read(claim) is None and (gone := first_gone(repository, manifest)) is not None:
                # It stood still for so long that the claim was taken for that of the dead, and has published too late.
                objects.delete(name)
        if gone is not None:
            raise SnapshotObjectGone(snapshot_id=manifest.snapshot_id, object=gone, repository=repository.location)
    finally:
        claims.remove(claim)
    for writer, _ in writers.names(manifest.snapshot_id):
        writers.remove(writer)


def first_gone(repository: Repository, manifest: Manifest) -> str | None:
    """Return an object that the snapshot needs and that is not there whole, or is being removed; None: all stay."""
    # The sweeps first: what one of them has removed is missing by the time it is gone itself.
    swept = {name for sweep in notes.sweeps(repository.objects).all() for name in sweep.value.objects}
    for name in objects_of(manifest):
        if name in swept:
            return name
    return first_missing(repository, manifest, repository.pack_sizes())


def first_missing(repository: Repository, manifest: Manifest, sizes: dict[str, int]) -> str | None:
    """Return an object that the snapshot needs and that is missing or has another length; `sizes` are the packs'."""
    table = layout.table(manifest.table.digest)
    try:
        if repository.objects.size(table) != manifest.table.size:
            return table
    except FileNotFoundError:
        return table
    return next((layout.pack(p.digest) for p in manifest.packs if sizes.get(p.digest) != p.size), None)
