"""What has arrived of a checkpoint, in files: kept until it is whole, through any crash. Blocking; for one thread.

`<directory>/<checkpoint id>/NAME.part` is a file on its way. When all of it is there, is what was sent, and is synced,
it becomes NAME. So what bears its name is whole whatever happens; a `.part` may be torn by a crash, which shows in the
checksum of the whole file: then that file begins anew.
"""

from __future__ import annotations

import re
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from nodes.consensus.checkpoint_files import crc_of, list_files, total_bytes
from nodes.consensus.disk import Disk, attempt
from quiesce.errors import InvalidRequest
from quiesce.v1.peer_pb2 import SnapshotChunk, SnapshotOffer, SnapshotReceived

_PART = ".part"
_ID = re.compile(r"[0-9a-f]{32}")
# So much is synced at once: more would hold up the log on the same disk.
_SYNC_BYTES = 8 << 20

# Asks for room for so many bytes more; raises DiskFull.
Room = Callable[[int], None]


class Incoming:
    """The directory in which checkpoints arrive, one at a time.

    Every method may raise DiskFailed; what came in is then to be thrown away (`clear`).
    """

    def __init__(self, directory: Path, disk: Disk, room: Room) -> None:
        self._directory = directory
        self._disk = disk
        self._room = room

    def offer(self, offer: SnapshotOffer) -> SnapshotReceived:
        """Make ready for a checkpoint, and return what is there of it already; nothing else is kept.

        Raises:
            InvalidRequest: it has no proper id.
            DiskFull: there is no room for the rest of it.
        """
        directory = self._path(offer.checkpoint_id)
        if not directory.exists():
            self._adopt(offer, directory)
        self._remove_all_but(directory)
        received = self._received(directory)
        self._room(offer.total_bytes - (total_bytes(directory) if directory.exists() else 0))
        return received

    def writer(self, checkpoint_id: str, total: int) -> CheckpointWriter:
        """Return the writer of what is still to come of a checkpoint that was offered.

        Raises:
            InvalidRequest: it has no proper id.
        """
        return CheckpointWriter(self._path(checkpoint_id), total, self._disk, self._room)

    def clear(self) -> None:
        """Remove everything."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _path(self, checkpoint_id: str) -> Path:
        if not _ID.fullmatch(checkpoint_id):
            raise InvalidRequest(detail=f"`{checkpoint_id}` is not the id of a checkpoint")
        return self._directory / checkpoint_id

    def _adopt(self, offer: SnapshotOffer, directory: Path) -> None:
        """Go on from what is there of an earlier checkpoint, as far as the new one has the same files."""
        for earlier in offer.earlier:
            old = self._path(earlier.checkpoint_id)
            if not old.is_dir():
                continue
            same = frozenset(earlier.same_files)
            for name, path in list_files(old):
                if name.removesuffix(_PART) not in same:
                    self._disk.remove(path)
            # None that was removed may come back after a crash, under a name that says that it is whole.
            _sync_tree(old, self._disk)
            self._disk.rename(old, directory)
            return

    def _remove_all_but(self, directory: Path) -> None:
        if self._directory.exists():
            for entry in self._directory.iterdir():
                if entry != directory:
                    shutil.rmtree(entry, ignore_errors=True)

    def _received(self, directory: Path) -> SnapshotReceived:
        received = SnapshotReceived()
        for name, path in list_files(directory):
            if not name.endswith(_PART):
                received.files.append(name)
            elif not received.file_name:
                received.file_name = name.removesuffix(_PART)
                received.offset = path.stat().st_size
            else:
                self._disk.remove(path)
        return received


class CheckpointWriter:
    """Writes the files of a checkpoint as their chunks arrive.

    Raises:
        InvalidRequest: the chunks are out of order, damaged, or do not add up. What came before stays.
        DiskFull: there is no room.
        DiskFailed: the disk refused.
    """

    def __init__(self, directory: Path, total: int, disk: Disk, room: Room) -> None:
        self.directory = directory
        self.complete = False
        self._total = total
        self._disk = disk
        self._room = room
        self._descriptor: int | None = None
        self._name = ""
        self._offset = 0
        self._unsynced = 0
        self._crc = 0
        disk.make_directory(directory)

    def write(self, chunk: SnapshotChunk) -> None:
        """Take the next chunk; after the last one everything is on the disk."""
        if chunk.last:
            self._finish()
            return
        if self._descriptor is None:
            self._open(chunk.file_name)
        if chunk.file_name != self._name or chunk.offset != self._offset:
            raise InvalidRequest(detail=f"a chunk of {chunk.file_name} at {chunk.offset} is out of order")
        assert self._descriptor is not None  # noqa: S101 - opened above
        self._disk.write(self._descriptor, chunk.data, self._part)
        self._crc = zlib.crc32(chunk.data, self._crc)
        self._offset += len(chunk.data)
        self._unsynced += len(chunk.data)
        if chunk.HasField("file_crc32"):
            self._close_file(chunk.file_crc32)
        elif self._unsynced >= _SYNC_BYTES:
            self._sync()
            self._room(0)

    def abort(self) -> None:
        """Let go of the file that is open; what it holds stays."""
        if self._descriptor is not None:
            self._disk.close(self._descriptor)
            self._descriptor = None

    @property
    def _part(self) -> Path:
        return self.directory / (self._name + _PART)

    def _open(self, name: str) -> None:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or name.endswith(_PART):
            raise InvalidRequest(detail=f"`{name}` is not the name of a file in a checkpoint")
        if (self.directory / name).exists():
            raise InvalidRequest(detail=f"{name} was here already")
        self._name, self._offset, self._crc, self._unsynced = name, 0, 0, 0
        part = self._part
        self._disk.make_directory(part.parent)
        if part.exists():
            self._offset = attempt("read", part, part.stat).st_size
            self._crc = attempt("read", part, crc_of, part, self._offset)
            self._descriptor = self._disk.open(part)
        else:
            self._descriptor = self._disk.create(part)

    def _sync(self) -> None:
        assert self._descriptor is not None  # noqa: S101 - a file is open while its chunks arrive
        self._disk.sync(self._descriptor, self._part)
        self._unsynced = 0

    def _close_file(self, crc: int) -> None:
        if crc != self._crc:
            self.abort()
            self._disk.remove(self._part)
            raise InvalidRequest(detail=f"{self._name} was damaged; it begins anew")
        # Also what an earlier life of the process has written.
        self._sync()
        self.abort()
        self._disk.rename(self._part, self.directory / self._name)

    def _finish(self) -> None:
        files = list_files(self.directory)
        size = sum(path.stat().st_size for _, path in files)
        if self._descriptor is not None or size != self._total or any(name.endswith(_PART) for name, _ in files):
            raise InvalidRequest(detail=f"{size} bytes of a checkpoint of {self._total} arrived")
        _sync_tree(self.directory, self._disk)
        self._disk.sync_directory(self.directory.parent)
        self.complete = True


def _sync_tree(directory: Path, disk: Disk) -> None:
    for below in directory.rglob("*"):
        if below.is_dir():
            disk.sync_directory(below)
    disk.sync_directory(directory)
