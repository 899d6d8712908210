"""The files of a checkpoint as chunks, and chunks as files again. Blocking; run it in threads."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from nodes.consensus.disk import Disk, attempt
from quiesce.errors import InvalidRequest
from quiesce.v1.peer_pb2 import SnapshotChunk


def list_files(directory: Path) -> list[tuple[str, Path]]:
    """Return (name relative to `directory`, path) of every file below it, in order."""
    found = [path for path in directory.rglob("*") if path.is_file()]
    return sorted((path.relative_to(directory).as_posix(), path) for path in found)


def read_chunks(directory: Path, chunk_bytes: int) -> Iterator[SnapshotChunk]:
    """Yield all files in chunks; the last one of a file carries its checksum, and one more ends them all."""
    for name, path in list_files(directory):
        size, offset, crc = path.stat().st_size, 0, 0
        with path.open("rb") as file:
            while True:
                data = file.read(chunk_bytes)
                crc = zlib.crc32(data, crc)
                chunk = SnapshotChunk(file_name=name, offset=offset, data=data)
                offset += len(data)
                if offset >= size or not data:
                    chunk.file_crc32 = crc
                    yield chunk
                    break
                yield chunk
    yield SnapshotChunk(last=True)


class CheckpointWriter:
    """Writes the files of a checkpoint as their chunks arrive, and makes them durable.

    Raises:
        InvalidRequest: the chunks are out of order, damaged, or do not add up.
        DiskFailed: the disk refused; the caller throws the directory away.
    """

    def __init__(self, directory: Path, total_bytes: int, disk: Disk) -> None:
        self.directory = directory
        self._total = total_bytes
        self._disk = disk
        self._received = 0
        self._file: BinaryIO | None = None
        self._name = ""
        self._offset = 0
        self._crc = 0
        self._directories = {directory, directory.parent}
        self.complete = False
        attempt("create", directory, directory.mkdir, parents=True)

    def write(self, chunk: SnapshotChunk) -> None:
        """Take the next chunk; after the last one everything is on the disk."""
        if chunk.last:
            self._finish()
            return
        if self._file is None:
            self._open(chunk.file_name)
        if chunk.file_name != self._name or chunk.offset != self._offset:
            raise InvalidRequest(detail=f"a chunk of {chunk.file_name} at {chunk.offset} is out of order")
        assert self._file is not None  # noqa: S101 - opened above
        attempt("write", self.directory / self._name, self._file.write, chunk.data)
        self._crc = zlib.crc32(chunk.data, self._crc)
        self._offset += len(chunk.data)
        self._received += len(chunk.data)
        if chunk.HasField("file_crc32"):
            if chunk.file_crc32 != self._crc:
                raise InvalidRequest(detail=f"{self._name} was damaged on its way")
            self._close()

    def abort(self) -> None:
        """Close what is open."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, name: str) -> None:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts:
            raise InvalidRequest(detail=f"`{name}` is not the name of a file in a checkpoint")
        path = self.directory.joinpath(*parts)
        attempt("create", path.parent, path.parent.mkdir, parents=True, exist_ok=True)
        below = path.parent
        while below != self.directory:
            self._directories.add(below)
            below = below.parent
        self._file = attempt("create", path, path.open, "xb")
        self._name, self._offset, self._crc = name, 0, 0

    def _close(self) -> None:
        assert self._file is not None  # noqa: S101 - a file is open while its chunks arrive
        path = self.directory / self._name
        attempt("write", path, self._file.flush)
        attempt("fsync", path, os.fsync, self._file.fileno())
        self._file.close()
        self._file = None

    def _finish(self) -> None:
        if self._file is not None or self._received != self._total:
            raise InvalidRequest(detail=f"{self._received} bytes of a checkpoint of {self._total} arrived")
        for directory in self._directories:
            self._disk.sync_directory(directory)
        self.complete = True
