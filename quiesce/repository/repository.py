"""A repository: snapshots in a storage, usable without any cluster."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable, Collection
from pathlib import Path

from quiesce.errors import DamagedObject, RepositoryUnusable, UnknownSnapshot
from quiesce.repository import layout
from quiesce.repository.directory import DirectoryStore
from quiesce.repository.objects import ObjectStore
from quiesce.repository.publishing import publish
from quiesce.snapshot.identifier import LATEST, is_snapshot_id
from quiesce.snapshot.malformed import MalformedObject
from quiesce.snapshot.manifest import Manifest, decode_manifest, encode_withdrawal, is_withdrawal
from quiesce.snapshot.pack import PackEntry, digest, pack_index
from quiesce.snapshot.sealed import seal, unseal
from quiesce.snapshot.table import PageTable, decode_table, encode_table

FORMAT_VERSION = 1
# What makes an object another one that says the same.
NONCE_BYTES = 16
_FORMAT_NAME = "quiesce-repository"
# What a new file system holds by itself.
_FOREIGN_BUT_HARMLESS = frozenset(("lost+found",))


class Repository:
    """A repository that is open; safe to use from several threads."""

    def __init__(self, objects: ObjectStore, repository_id: str) -> None:
        self.objects = objects
        self.id = repository_id

    @property
    def location(self) -> str:
        """How users call it."""
        return self.objects.location

    def list_snapshots(self, on_damage: Callable[[DamagedObject], None] | None = None) -> list[Manifest]:
        """Return the manifests of all snapshots, the oldest first.

        Raises:
            DamagedObject: a manifest is damaged, and there is no `on_damage` to be told and go on.
        """
        manifests = []
        for found in self.objects.list_objects(layout.SNAPSHOTS):
            snapshot_id = layout.snapshot_of(found.name)
            if snapshot_id is None:
                continue
            try:
                manifests.append(self.read_manifest(snapshot_id))
            except UnknownSnapshot:
                continue  # deleted since it was listed
            except DamagedObject as damage:
                if on_damage is None:
                    raise
                on_damage(damage)
        return sorted(manifests, key=lambda m: (m.started_ms, m.mark.term, m.mark.index, m.snapshot_id))

    def read_manifest(self, snapshot_id: str) -> Manifest:
        """Return the manifest of a snapshot.

        Raises:
            UnknownSnapshot: there is none of that id.
            DamagedObject: it was changed, or is not the manifest of that snapshot.
        """
        return self.read_manifest_bytes(snapshot_id)[0]

    def read_manifest_bytes(self, snapshot_id: str) -> tuple[Manifest, bytes]:
        """Return the manifest of a snapshot, and the bytes in which it lies in the repository.

        Raises:
            UnknownSnapshot: there is none of that id.
            DamagedObject: it was changed, or is not the manifest of that snapshot.
        """
        if not is_snapshot_id(snapshot_id):
            raise UnknownSnapshot(snapshot_id=snapshot_id, repository=self.location)
        name = layout.manifest(snapshot_id)
        try:
            data = self.objects.get(name)
        except FileNotFoundError:
            raise UnknownSnapshot(snapshot_id=snapshot_id, repository=self.location) from None
        try:
            manifest = decode_manifest(data)
        except MalformedObject as error:
            if is_withdrawal(data):
                raise UnknownSnapshot(snapshot_id=snapshot_id, repository=self.location) from None
            raise self.damaged(name, error) from error
        if manifest.snapshot_id != snapshot_id:
            raise self.damaged(name, f"it is the manifest of snapshot {manifest.snapshot_id}")
        return manifest, data

    def find(self, snapshot_id: str) -> Manifest:
        """Return the manifest of a snapshot, or of the newest for `latest`.

        Raises:
            UnknownSnapshot: there is none.
            DamagedObject: it is damaged; for `latest`, any manifest is, because that might be the newest.
        """
        if snapshot_id != LATEST:
            return self.read_manifest(snapshot_id)
        manifests = self.list_snapshots()
        if not manifests:
            raise UnknownSnapshot(snapshot_id=snapshot_id, repository=self.location)
        return manifests[-1]

    def publish_manifest(self, manifest: Manifest) -> None:
        """Make a snapshot exist, all at once; everything it names has to be in the repository before.

        Publishing the very same manifest twice is no error: the first answer may have been lost.

        Raises:
            SnapshotExists: there is another snapshot of that id.
            LeaseLost: it was withdrawn, by who took over from the one that publishes.
            SnapshotObjectGone: something that it names is not there, or about to be removed.
            RepositoryFull: there is no room.
            RepositoryUnusable: it could not be written.
        """
        publish(self, manifest, time.time_ns() // 1_000_000)

    def withdraw(self, snapshot_id: str, why: str) -> bool:
        """See to it that a snapshot is never published any more, whoever tries; return False where it is already.

        Raises:
            RepositoryFull: there is no room.
            RepositoryUnusable: it could not be written.
        """
        name = layout.manifest(snapshot_id)
        return self.objects.put_new(name, encode_withdrawal(snapshot_id, why)) or is_withdrawal(self.objects.get(name))

    def read_table(self, manifest: Manifest) -> PageTable:
        """Return the page table of a snapshot.

        Raises:
            DamagedObject: it is missing or was changed.
        """
        name = layout.table(manifest.table.digest)
        data = self.get_digested(name, manifest.table.digest, manifest.table.size)
        try:
            return decode_table(data)
        except MalformedObject as error:
            raise self.damaged(name, error) from error

    def put_table(self, table: PageTable, avoid: Collection[str] = ()) -> tuple[str, int]:
        """Store a page table, under another name where its own is to be avoided; return its digest and length.

        Raises:
            RepositoryFull: there is no room.
            RepositoryUnusable: it could not be written.
            DamagedObject: an object of that name is there, but its bytes are others.
        """
        data = encode_table(table)
        while layout.table(name_digest := digest(data).hex()) in avoid:
            data = encode_table(table, secrets.token_bytes(NONCE_BYTES))
        self.put_digested(layout.table(name_digest), data)
        return name_digest, len(data)

    def put_pack(self, data: bytes, data_digest: bytes) -> bool:
        """Store a pack; return False where it was there. Raises what `put_table` raises."""
        return self.put_digested(layout.pack(data_digest.hex()), data)

    def put_digested(self, name: str, data: bytes) -> bool:
        """Store an object whose name tells its content; return False where it was there, and whole."""
        if self.objects.put_new(name, data):
            return True
        # A copy that has rotted must not become part of one more snapshot.
        try:
            found = self.objects.get(name)
        except FileNotFoundError:
            raise self.damaged(name, "it vanished while it was compared") from None
        if found != data:
            raise self.damaged(name, "it is there already, with other bytes")
        return False

    def get_digested(self, name: str, expected_digest: str, size: int) -> bytes:
        """Return a whole object whose digest is known.

        Raises:
            DamagedObject: it is missing, or its bytes are others.
        """
        try:
            data = self.objects.get(name)
        except FileNotFoundError:
            raise self.damaged(name, "it is missing") from None
        if len(data) != size:
            raise self.damaged(name, f"it is {len(data)} bytes long, not {size}")
        if digest(data).hex() != expected_digest:
            raise self.damaged(name, "its bytes do not fit its digest")
        return data

    def pack_sizes(self) -> dict[str, int]:
        """Return the digests of all packs that are there, and their lengths in bytes."""
        found = ((layout.pack_of(info.name), info.size) for info in self.objects.list_objects(layout.PACKS))
        return {pack: size for pack, size in found if pack is not None}

    def read_pack_index(self, pack: str, size: int) -> list[PackEntry]:
        """Return what the index at the end of a pack lists; the segments themselves are not checked.

        Raises:
            DamagedObject: the index is damaged, or the pack is gone.
        """
        name, index = layout.pack(pack), pack_index(size, b"") if size else 0
        try:
            while isinstance(index, int):
                index = pack_index(size, self.objects.get_range(name, size - index, index))
        except MalformedObject as error:
            raise self.damaged(name, error) from error
        except FileNotFoundError:
            raise self.damaged(name, "it is missing") from None
        return index

    def damaged(self, name: str, detail: object) -> DamagedObject:
        """Return the error for an object of this repository."""
        return DamagedObject(object=name, repository=self.location, detail=detail)


def open_repository(path: str | Path, *, create: bool = False) -> Repository:
    """Open the repository in a directory; with `create`, an empty or missing directory becomes one first.

    Raises:
        RepositoryUnusable: there is none, it is of an unknown format, or it cannot be reached.
        RepositoryFull: there is no room to create one.
        DamagedObject: its format file was changed.
    """
    root = Path(path).expanduser().absolute()
    objects = DirectoryStore(root)
    try:
        data = objects.get(layout.FORMAT)
    except FileNotFoundError:
        if not create:
            detail = "there is no repository there" if root.is_dir() else "there is no such directory"
            raise RepositoryUnusable(repository=root, detail=detail) from None
        _require_empty(root)
        objects.put_new(
            layout.FORMAT, seal({"format": _FORMAT_NAME, "version": FORMAT_VERSION, "id": uuid.uuid4().hex})
        )
        data = objects.get(layout.FORMAT)
    try:
        found = unseal(data)
    except MalformedObject as error:
        raise DamagedObject(object=layout.FORMAT, repository=root, detail=error) from error
    if found.get("format") != _FORMAT_NAME or found.get("version") != FORMAT_VERSION:
        detail = (
            f"it has format {found.get('format')}, version {found.get('version')}; "
            f"this software knows {_FORMAT_NAME}, version {FORMAT_VERSION}"
        )
        raise RepositoryUnusable(repository=root, detail=detail)
    return Repository(objects, str(found.get("id")))


def _require_empty(root: Path) -> None:
    try:
        names = {entry.name for entry in root.iterdir() if not entry.name.startswith(".")}
    except FileNotFoundError:
        return
    except OSError as error:
        raise RepositoryUnusable(repository=root, detail=error.strerror or error) from error
    # Another process may be creating it at this very moment: what it makes comes after the format file.
    if names - _FOREIGN_BUT_HARMLESS - {layout.FORMAT} and not (root / layout.FORMAT).exists():
        raise RepositoryUnusable(repository=root, detail="it holds other files and is not a repository")
