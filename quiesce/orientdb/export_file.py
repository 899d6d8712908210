"""The file an export is written to: it appears whole, or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import zlib
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from isal import isal_zlib

from quiesce.errors import FileExists, FileUnusable

# isal's levels with zlib's meaning: each is faster than zlib's fastest. Further ones are zlib's own.
_FAST: Final = (1, 2, 3)
_DEFAULT_BUFFER_BYTES: Final = 1 << 20
# What a compressor writes depends on how it is fed, so it gets blocks of one size: equal content gives equal bytes,
# however many writes it came in.
_BLOCK_BYTES: Final = 256 << 10


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def export_path(name: str, database: str, *, gzip: bool = True) -> Path:
    """Return where an export goes, named as OrientDB names it: `.json` where there is no dot, then `.gz`.

    Quotes around the name are taken off, as its console does.
    """
    if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'":
        name = name[1:-1]
    path = Path(name or database)
    if "." not in path.name:
        path = path.with_name(path.name + ".json")
    if gzip and path.suffix != ".gz":
        path = path.with_name(path.name + ".gz")
    return path


class ExportFile:
    """Writes `<path>.tmp`, and gives it its name when it is complete and on the disk.

    Raises FileExists where the name is taken and `overwrite` is not given, FileUnusable where it cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        level: int | None = 1,
        buffer_bytes: int = _DEFAULT_BUFFER_BYTES,
        overwrite: bool = False,
    ) -> None:
        """Open the file under its other name.

        Args:
            path: its name at the end.
            level: of the compression, 0 to 9; None: not compressed.
            buffer_bytes: how much is written at once.
            overwrite: replace a file of that name.
        """
        self.path = path
        self._partial = path.with_name(path.name + ".tmp")
        self._overwrite = overwrite
        self._level = level
        self._buffer_bytes = buffer_bytes
        if not overwrite and path.exists():
            raise FileExists(file=path)
        if path.is_dir():
            raise FileUnusable(file=path, detail="it is a directory")
        try:
            self._file = self._open()
        except OSError as error:
            raise self._unusable(error) from error
        self._compressor = self._new_compressor()
        self._waiting = bytearray()
        self.bytes_out = 0

    def _open(self) -> BinaryIO:
        descriptor = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            # Two exports to one name must not mix; what a dead one left behind is taken over.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise FileUnusable(file=self.path, detail="another export is being written to it") from None
        os.ftruncate(descriptor, 0)
        return os.fdopen(descriptor, "wb", buffering=self._buffer_bytes)

    def _unusable(self, error: OSError) -> FileUnusable:
        full = "; the disk is full" if error.errno == errno.ENOSPC else ""
        return FileUnusable(file=self.path, detail=f"{error.strerror or error}{full}")

    def _new_compressor(self) -> _Compressor | None:
        # The header of this kind has no time and no name in it: equal content gives equal bytes.
        if self._level is None:
            return None
        if self._level in _FAST:
            compressor: _Compressor = isal_zlib.compressobj(self._level, isal_zlib.DEFLATED, 31)
            return compressor
        return zlib.compressobj(self._level, zlib.DEFLATED, 31)

    def write(self, data: bytes) -> None:
        """Append to the content."""
        try:
            if self._compressor is None:
                self._put(data)
                return
            self._waiting += data
            whole = len(self._waiting) // _BLOCK_BYTES * _BLOCK_BYTES
            for at in range(0, whole, _BLOCK_BYTES):
                self._put(self._compressor.compress(bytes(self._waiting[at : at + _BLOCK_BYTES])))
            del self._waiting[:whole]
        except OSError as error:
            raise self._unusable(error) from error

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self.bytes_out += len(data)

    def restart(self) -> None:
        """Throw away what was written, and begin again."""
        try:
            self._file.flush()
            self._file.seek(0)
            self._file.truncate()
        except OSError as error:
            raise self._unusable(error) from error
        self._compressor = self._new_compressor()
        self._waiting.clear()
        self.bytes_out = 0

    def publish(self) -> None:
        """Make the content durable and give the file its name. Blocks on the disk."""
        try:
            if self._compressor:
                self._put(self._compressor.compress(bytes(self._waiting)))
                self._put(self._compressor.flush())
            self._file.flush()
            os.fsync(self._file.fileno())
            if self._overwrite:
                self._partial.replace(self.path)
            else:
                self._publish_new()
            directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise self._unusable(error) from error
        self._file.close()

    def _publish_new(self) -> None:
        try:
            # Unlike a rename, a link never replaces what appeared meanwhile.
            os.link(self._partial, self.path)
        except FileExistsError:
            raise FileExists(file=self.path) from None
        except OSError:
            # A file system without hard links.
            if self.path.exists():
                raise FileExists(file=self.path) from None
            self._partial.replace(self.path)
        else:
            self._partial.unlink()

    def discard(self) -> None:
        """Remove what was written, unless it was published. Never raises."""
        if not self._file.closed:
            try:
                self._partial.unlink(missing_ok=True)
                self._file.close()
            except OSError:
                pass
