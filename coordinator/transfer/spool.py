"""Where files of transfers lie while they are worked on: a directory of one coordinator, with a bound on its bytes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from quiesce.errors import DirectoryInUse, FileUnusable, TransferRefused, disk_failed

_LOCK = "transfers.lock"
_PREFIX = "transfer-"


def default_spool(listen: str) -> Path:
    """Return a directory below that for temporary files that no other coordinator of this machine uses."""
    return Path(tempfile.gettempdir()) / f"quiesce-transfers-{os.geteuid()}-{listen.rpartition(':')[2]}"


class Spool:
    """See the module.

    Args (of the constructor):
        path: the directory; made when it is first used.
        limit: bytes of all transfers together.
        most: transfers at a time.
    """

    def __init__(self, path: Path, *, limit: int, most: int) -> None:
        self.path = path
        self.limit = limit
        self.most = most
        self._used = 0
        self._open = 0
        self._lock: IO[str] | None = None

    @contextlib.contextmanager
    def place(self) -> Iterator[Place]:
        """Return a place for one transfer, which is empty again behind the block.

        Raises:
            TransferRefused: there are too many already.
            FileUnusable, DirectoryInUse, DiskFailed: the directory cannot be used.
        """
        if self._open >= self.most:
            raise TransferRefused(detail=f"{self._open} are under way, and `transfers` allows no more")
        self._hold()
        try:
            directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self.path))
        except OSError as error:
            raise disk_failed("mkdir", self.path, error) from error
        self._open += 1
        place = Place(self, directory)
        try:
            yield place
        finally:
            self._open -= 1
            self._used -= place.size
            shutil.rmtree(directory, ignore_errors=True)

    def take(self, size: int) -> None:
        """Count bytes. Raises TransferRefused where they are too many."""
        if self._used + size > self.limit:
            raise TransferRefused(
                detail=f"the files of all transfers would have more than {self.limit} bytes, its `transfer_limit`"
            )
        self._used += size

    def _hold(self) -> None:
        """Make the directory ready; what is in it was left by one that died."""
        if self._lock is not None:
            return
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.path.lstat().st_uid != os.geteuid() or self.path.is_symlink():
                raise FileUnusable(file=self.path, detail="it belongs to another user")
            lock = (self.path / _LOCK).open("a")
        except OSError as error:
            raise disk_failed("open", self.path, error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise DirectoryInUse(path=self.path, lock=_LOCK) from error
        self._lock = lock
        for left in self.path.glob(f"{_PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)


class Place:
    """The directory of one transfer."""

    def __init__(self, spool: Spool, directory: Path) -> None:
        self._spool = spool
        self.directory = directory
        self.size = 0

    def grow(self, size: int) -> None:
        """Count more bytes. Raises TransferRefused."""
        self._spool.take(size)
        self.size += size

    def grown_to(self, size: int) -> None:
        """Count what somebody else has written. Raises TransferRefused."""
        if size > self.size:
            self.grow(size - self.size)


def append(file: IO[bytes], data: bytes) -> None:
    """Write bytes; blocks. Raises DiskFailed."""
    try:
        file.write(data)
    except OSError as error:
        raise disk_failed("write", Path(file.name), error) from error
