"""Objects as files below a directory: written beside their place, brought to disk, then linked into it."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

from quiesce.errors import QuiesceError, RepositoryFull, RepositoryUnusable
from quiesce.failpoints import reach
from quiesce.repository.objects import ObjectInfo

_PART = ".part"
# Longer than any upload of one object, and than clocks of machines that share a file system differ.
PART_GRACE_S = 24 * 3600.0
_FULL = (errno.ENOSPC, errno.EDQUOT)
# What link(2) answers on file systems without hard links.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


class DirectoryStore:
    """The storage in one directory; safe with many writers, in many processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._durable: set[Path] = set()
        self._parts: set[Path] = set()
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        """The path."""
        return str(self.root)

    def put_new(self, name: str, data: bytes) -> bool:
        """See ObjectStore."""
        path = self.root / name
        part = path.parent / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{_PART}"
        try:
            self._make_directory(path.parent)
            with self._lock:
                self._parts.add(part)
            try:
                _write_durably(part, data)
                reach(f"repository.{name.partition('/')[0]}.written")
                created = _move_new(part, path)
                reach(f"repository.{name.partition('/')[0]}.named")
            finally:
                part.unlink(missing_ok=True)
                with self._lock:
                    self._parts.discard(part)
            # Also where another writer was first: its object counts only once its name is on disk.
            _fsync_directory(path.parent)
        except OSError as error:
            raise self._unusable(error, f"writing {name}") from error
        return created

    def get(self, name: str) -> bytes:
        """See ObjectStore."""
        with self._reading(name):
            return (self.root / name).read_bytes()

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """See ObjectStore."""
        with self._reading(name), (self.root / name).open("rb") as file:
            return os.pread(file.fileno(), length, offset)

    def size(self, name: str) -> int:
        """See ObjectStore."""
        with self._reading(name):
            return (self.root / name).stat().st_size

    def list_objects(self, prefix: str) -> Iterator[ObjectInfo]:
        """See ObjectStore."""
        with self._reading(prefix):
            yield from self._below(self.root / prefix, prefix)

    def _below(self, directory: Path, name: str) -> Iterator[ObjectInfo]:
        try:
            entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from self._below(Path(entry.path), f"{name}/{entry.name}")
                continue
            # Otherwise it was removed meanwhile.
            with contextlib.suppress(FileNotFoundError):
                yield ObjectInfo(f"{name}/{entry.name}", entry.stat().st_size)

    def delete(self, name: str) -> bool:
        """See ObjectStore."""
        path, found = self.root / name, True
        try:
            try:
                path.unlink()
            except FileNotFoundError:
                found = False
            # Also where it was gone: whoever removed it may have died before this.
            with contextlib.suppress(FileNotFoundError):
                _fsync_directory(path.parent)
            reach(f"repository.{name.partition('/')[0]}.deleted")
        except OSError as error:
            raise self._unusable(error, f"removing {name}") from error
        return found

    def clean(self, now_s: float) -> list[str]:
        """See ObjectStore; files are left that were written to within a day of `now_s`."""
        removed = []
        with self._reading("parts"):
            for part in self.root.rglob(f".*{_PART}"):
                with contextlib.suppress(FileNotFoundError):
                    if part.stat().st_mtime < now_s - PART_GRACE_S:
                        part.unlink()
                        removed.append(str(part.relative_to(self.root)))
        return removed

    def abandon(self) -> None:
        """Remove the parts that this process is writing; for a process that is about to end."""
        with self._lock:
            for part in self._parts:
                with contextlib.suppress(OSError):
                    part.unlink(missing_ok=True)

    def _make_directory(self, directory: Path) -> None:
        if directory in self._durable:
            return
        if directory == self.root:
            _make_with_parents(directory)
        else:
            self._make_directory(directory.parent)
            directory.mkdir(exist_ok=True)
            # Another process may have made it, and not yet brought its name to disk.
            _fsync_directory(directory.parent)
        self._durable.add(directory)

    @contextlib.contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._unusable(error, f"reading {name}") from error

    def _unusable(self, error: OSError, doing: str) -> QuiesceError:
        detail = f"{doing}: {error.strerror or error}"
        if error.errno in _FULL:
            return RepositoryFull(repository=self.location, detail=detail)
        return RepositoryUnusable(repository=self.location, detail=detail)


def _write_durably(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move_new(part: Path, path: Path) -> bool:
    """Give `part` the name `path` unless that is taken; rename(2) alone would overwrite."""
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _rename_new(part, path)
    return True


def _rename_new(part: Path, path: Path) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(part), _AT_FDCWD, os.fsencode(path), _RENAME_NOREPLACE) == 0:
        return True
    code = ctypes.get_errno()
    if code == errno.EEXIST:
        return False
    raise OSError(code, f"{os.strerror(code)} (neither hard links nor renames that do not overwrite)")


def _make_with_parents(directory: Path) -> None:
    if directory.is_dir():
        return
    _make_with_parents(directory.parent)
    directory.mkdir(exist_ok=True)
    _fsync_directory(directory.parent)


def _fsync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
