"""A node's data directory: where what lies, and the lock that keeps a second daemon out."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

from nodes.identity import FILE_NAME, fsync_directory
from quiesce.errors import DirectoryInUse, DirectoryNotEmpty, disk_failed
from quiesce.snapshot import MalformedObject
from quiesce.snapshot.sealed import seal, unseal
from quiesce.v1 import node_pb2

_LOCK = "lock"
_UNFINISHED = "bootstrap.unfinished"
# What a bootstrap or a restore makes and may throw away again when it begins anew. The identity first: what a crash in
# between leaves must not pass for a node.
_MADE = (
    FILE_NAME,
    "raft",
    "store",
    "checkpoints",
    "mark",
    "mark.part",
    "founding",
    "founding.part",
    FILE_NAME + ".part",
)
# A file system's own entry at a mount point.
_NOT_OURS = ("lost+found",)


class DataDirectory:
    """The paths in a node's data directory; `lock` before anything else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.raft = path / "raft"
        self.store = path / "store"
        self.checkpoints = path / "checkpoints"
        self._mark = path / "mark"
        self._lock: int | None = None

    def lock(self) -> None:
        """Make the directory where it is missing, and hold it until `unlock` or the end of the process.

        Raises:
            DirectoryInUse: another process holds it.
            DiskFailed: it cannot be made or opened.
        """
        lock = self.path / _LOCK
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise disk_failed("open", self.path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise DirectoryInUse(path=self.path, lock=lock) from error
        self._lock = descriptor

    def unlock(self) -> None:
        """Let go of the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def check_fillable(self) -> None:
        """Check that a new node may be made here: there is nothing but what an unfinished begin has left.

        Raises:
            DirectoryNotEmpty: there is something else.
            DiskFailed: it cannot be read.
        """
        try:
            found = {entry.name for entry in self.path.iterdir()} if self.path.exists() else set()
        except OSError as error:
            raise disk_failed("reading", self.path, error) from error
        if _UNFINISHED not in found and found - {_LOCK, *_NOT_OURS}:
            raise DirectoryNotEmpty(path=self.path)

    def begin(self) -> None:
        """Begin to fill a new node; a begin that was not finished by a crash is thrown away first.

        Raises:
            DirectoryNotEmpty: there are files that no unfinished begin has made.
            DiskFailed: the disk refused.
        """
        self.check_fillable()
        try:
            (self.path / _UNFINISHED).touch()
            fsync_directory(self.path)
            for name in _MADE:
                made = self.path / name
                if made.is_dir():
                    shutil.rmtree(made)
                else:
                    made.unlink(missing_ok=True)
        except OSError as error:
            raise disk_failed("bootstrap", self.path, error) from error

    def discard(self) -> None:
        """Empty the directory of a node that never took part in anything; a crash leaves one that begins anew.

        Raises:
            DiskFailed: the disk refused.
        """
        try:
            (self.path / _UNFINISHED).touch()
            fsync_directory(self.path)
        except OSError as error:
            raise disk_failed("discard", self.path, error) from error
        self.begin()
        self.finished()

    def finished(self) -> None:
        """Note that the node is whole: its identity has been written.

        Raises:
            DiskFailed: the disk refused.
        """
        try:
            (self.path / _UNFINISHED).unlink(missing_ok=True)
            fsync_directory(self.path)
        except OSError as error:
            raise disk_failed("fsync", self.path, error) from error

    def checkpoint_epochs(self) -> list[int]:
        """Return the epochs of the checkpoints that lie here, in order."""
        try:
            return sorted(int(entry.name) for entry in self.checkpoints.iterdir() if entry.name.isdigit())
        except FileNotFoundError:
            return []

    def remove_checkpoint(self, epoch: int) -> None:
        """Remove the checkpoint of an epoch, if it is here; those of leases that ended the state itself removes."""
        shutil.rmtree(self.checkpoints / str(epoch), ignore_errors=True)

    def checkpoint(self, epoch: int) -> tuple[Path, node_pb2.Mark] | None:
        """Return the checkpoint of an epoch and its mark, or None where it is not here."""
        path = self.checkpoints / str(epoch)
        try:
            mark = self.read_mark()
        except MalformedObject:
            # Whoever asks makes another.
            return None
        return (path, mark) if mark is not None and path.is_dir() and mark.epoch == epoch else None

    def read_mark(self) -> node_pb2.Mark | None:
        """Return the mark of the last checkpoint that was taken, or None where none is written down.

        Raises:
            MalformedObject: it is damaged.
        """
        try:
            found = unseal(self._mark.read_bytes())
        except OSError:
            return None
        try:
            return node_pb2.Mark(**found)
        except (TypeError, ValueError) as error:
            raise MalformedObject(str(error)) from error

    def note_mark(self, mark: node_pb2.Mark) -> None:
        """Write down the mark of the checkpoint that has just been taken; any thread.

        Raises:
            DiskFailed: the disk refused.
        """
        part = self._mark.with_suffix(".part")
        try:
            with part.open("wb") as file:
                file.write(seal({field.name: getattr(mark, field.name) for field in mark.DESCRIPTOR.fields}))
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._mark)
        except OSError as error:
            raise disk_failed("write", self._mark, error) from error
