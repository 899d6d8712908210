"""The directory in which throw-away nodes live: held by one coordinator, and empty between drills."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

from quiesce.errors import DirectoryInUse, FileUnusable, disk_failed

_LOCK = "drills.lock"
# Somebody may have named a directory that holds other things as well.
_PREFIX = "drill-"


class Scratch:
    """See the module. Every method may raise FileUnusable, DirectoryInUse or DiskFailed; all block."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    def clean(self) -> list[str]:
        """Remove what a coordinator that died has left here, and return what that was; makes no directory.

        Raises:
            DirectoryInUse: another coordinator drills here, so that it is not known to be left.
        """
        if not self.path.exists():
            return []
        self._hold()
        return self._remove_left()

    def new(self) -> Path:
        """Make a directory for one drill, and remove what is left of others."""
        self._hold()
        self._remove_left()
        try:
            return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self.path))
        except OSError as error:
            raise disk_failed("mkdir", self.path, error) from error

    def free(self) -> int:
        """Return the bytes that may still be written here."""
        self._hold()
        try:
            found = os.statvfs(self.path)
        except OSError as error:
            raise disk_failed("statvfs", self.path, error) from error
        return found.f_bavail * found.f_frsize

    def remove(self, directory: Path) -> None:
        """Remove the directory of a drill; it may be gone already."""
        try:
            shutil.rmtree(directory)
        except FileNotFoundError:
            return
        except OSError as error:
            raise disk_failed("rmtree", directory, error) from error

    def _remove_left(self) -> list[str]:
        left = sorted(path for path in self.path.glob(f"{_PREFIX}*") if path.is_dir() and not path.is_symlink())
        for path in left:
            self.remove(path)
        return [path.name for path in left]

    def _hold(self) -> None:
        if self._lock is not None:
            return
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Below a directory for everybody somebody else may have made it, to read what is restored.
            status = self.path.lstat()
            if status.st_uid != os.geteuid() or self.path.is_symlink():
                raise FileUnusable(file=self.path, detail="it belongs to another user")
            lock = (self.path / _LOCK).open("a")
        except OSError as error:
            raise FileUnusable(file=self.path, detail=error.strerror or error) from error
        try:
            # Not inherited by children, and gone with this process however it ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise DirectoryInUse(path=self.path, lock=self.path / _LOCK) from None
        except BaseException:
            lock.close()
            raise
        self._lock = lock


def default_scratch(listen: str) -> Path:
    """Return the directory of a coordinator that was told none: below the one for temporary files, by its address."""
    name = listen.replace(":", "-").replace("[", "").replace("]", "")
    return Path(tempfile.gettempdir()) / f"quiesce-drills-{os.geteuid()}-{name}"
