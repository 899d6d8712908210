"""The effects on a disk that the log and the snapshots need; a test passes one that fails or forgets."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

from quiesce.errors import disk_failed

P = ParamSpec("P")
T = TypeVar("T")


def attempt(operation: str, path: Path, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what `call` returns; an OSError becomes DiskFailed, naming `operation` and `path`."""
    try:
        return call(*args, **kwargs)
    except OSError as error:
        raise disk_failed(operation, path, error) from error


def _glob(directory: Path, pattern: str) -> Sequence[Path]:
    return list(directory.glob(pattern))


def _read_past_memory(path: Path) -> bytes:
    with path.open("rb") as file:
        if sys.platform == "linux":
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return file.read()


class Disk:
    """A disk as the operating system gives it. Every method raises DiskFailed, and none retries.

    After a failed fsync the kernel may have dropped the pages and call the next one a success, so whoever sees
    DiskFailed must end the process (https://www.usenix.org/conference/atc20/presentation/rebello).
    """

    def make_directory(self, path: Path) -> None:
        """Make a directory and those above it where they are missing."""
        attempt("create", path, path.mkdir, parents=True, exist_ok=True)

    def create(self, path: Path) -> int:
        """Create a file that must not exist, and return its descriptor, open for appending."""
        return attempt("create", path, os.open, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)

    def open(self, path: Path) -> int:
        """Open an existing file for appending."""
        return attempt("open", path, os.open, path, os.O_WRONLY | os.O_APPEND)

    def list(self, directory: Path, suffix: str) -> Sequence[Path]:
        """Return the files of a directory whose names end in `suffix`, in order of their names."""
        return sorted(attempt("list", directory, _glob, directory, f"*{suffix}"))

    def read(self, path: Path) -> bytes:
        """Return the content of a file as the disk has it.

        After a failed sync memory holds what the disk does not, and nothing says so: what an earlier life of this node
        could not sync must not count as durable.
        """
        return attempt("read", path, _read_past_memory, path)

    def write(self, descriptor: int, data: bytes, path: Path) -> None:
        """Append all of `data`; what a failure leaves half-written, recovery cuts off."""
        rest = memoryview(data)
        while rest:
            rest = rest[attempt("write", path, os.write, descriptor, rest) :]

    def sync(self, descriptor: int, path: Path) -> None:
        """Return when the content of a file is on the disk."""
        attempt("fdatasync", path, os.fdatasync, descriptor)

    def sync_directory(self, path: Path) -> None:
        """Return when the names in a directory are on the disk."""
        descriptor = attempt("open", path, os.open, path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            attempt("fsync", path, os.fsync, descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name, durably."""
        attempt("rename", source, os.replace, source, target)
        self.sync_directory(target.parent)

    def truncate(self, path: Path, size: int) -> None:
        """Cut a file to `size` bytes, durably."""
        descriptor = self.open(path)
        try:
            attempt("truncate", path, os.ftruncate, descriptor, size)
            attempt("fsync", path, os.fsync, descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: Path) -> None:
        """Remove a file; it may come back after a crash unless its directory is synced."""
        attempt("remove", path, path.unlink, missing_ok=True)

    def remove_tree(self, path: Path) -> None:
        """Remove a directory and what is in it, as far as the system allows it."""
        shutil.rmtree(path, ignore_errors=True)

    def close(self, descriptor: int) -> None:
        """Close a descriptor that was synced already."""
        os.close(descriptor)
