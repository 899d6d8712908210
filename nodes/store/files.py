"""The effects on a file system that the store needs; a simulation passes one that loses power."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from nodes.store import fsync
from nodes.store.engine import Engine
from quiesce.errors import disk_failed


class Files:
    """The file system as the operating system gives it, and RocksDB in it. What fails for the disk is DiskFailed."""

    def open_engine(self, directory: Path, *, whole: bool = False) -> Engine:
        """Open a RocksDB directory, made where it is missing; see Engine, also for what it raises."""
        return Engine(directory, whole=whole)

    def make_directory(self, directory: Path) -> None:
        """Make a directory and those above it where they are missing."""
        directory.mkdir(parents=True, exist_ok=True)

    def exists(self, path: Path) -> bool:
        """Return whether there is anything of that name."""
        return path.exists()

    def directories(self, directory: Path) -> list[Path]:
        """Return the directories in a directory, by name; none where it does not exist."""
        return sorted(entry for entry in directory.iterdir() if entry.is_dir()) if directory.exists() else []

    def read_text(self, path: Path) -> str:
        """Return what a small file holds."""
        return path.read_text()

    def write_durably(self, path: Path, content: bytes) -> None:
        """Replace a small file: after a crash it holds the old content or the new one, never a part."""
        fsync.write_durably(path, content)

    def move(self, source: Path, target: Path) -> None:
        """Give a directory another name, which is free, perhaps in another file system; not yet durably."""
        try:
            # shutil.move would put it inside of what is there.
            if target.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            shutil.move(source, target)
        except OSError as error:
            raise disk_failed("moving", source, error) from error

    def sync_directory(self, directory: Path) -> None:
        """Return when the names in a directory are on the disk."""
        fsync.sync_directory(directory)

    def sync_tree(self, directory: Path) -> None:
        """Return when a flat directory and the files in it are on the disk."""
        fsync.sync_tree(directory)

    def remove_tree(self, directory: Path) -> None:
        """Remove a directory and what is in it, if it is there."""
        fsync.remove_tree(directory)
