"""The files of a checkpoint as chunks. Blocking; run it in threads."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from pathlib import Path

from quiesce.v1.peer_pb2 import SnapshotChunk, SnapshotReceived

# Files that the store writes once and never changes.
_IMMUTABLE = (".sst", ".blob")
_READ_BYTES = 1 << 20


def list_files(directory: Path) -> list[tuple[str, Path]]:
    """Return (name relative to `directory`, path) of every file below it, in order."""
    found = [path for path in directory.rglob("*") if path.is_file()]
    return sorted((path.relative_to(directory).as_posix(), path) for path in found)


def total_bytes(directory: Path) -> int:
    """Return the bytes of all files below `directory`."""
    return sum(path.stat().st_size for _, path in list_files(directory))


def same_files(one: Path, other: Path) -> frozenset[str]:
    """Return the names of the tables that two checkpoints of one store have in common: hard links of one file."""
    found = set()
    for name, path in list_files(one):
        # The other one may be on its way out.
        with contextlib.suppress(FileNotFoundError):
            if path.suffix in _IMMUTABLE and path.samefile(other / name):
                found.add(name)
    return frozenset(found)


def crc_of(path: Path, size: int) -> int:
    """Return the CRC-32 of the first `size` bytes of a file, or of all of it where it has fewer."""
    crc = 0
    with path.open("rb") as file:
        while size > 0 and (data := file.read(min(size, _READ_BYTES))):
            crc = zlib.crc32(data, crc)
            size -= len(data)
    return crc


def read_chunks(directory: Path, chunk_bytes: int, there: SnapshotReceived) -> Iterator[SnapshotChunk]:
    """Yield what is not `there`, in chunks; the last one of a file carries its checksum, and one more ends them all."""
    whole = frozenset(there.files)
    for name, path in list_files(directory):
        if name in whole:
            continue
        size = path.stat().st_size
        offset = min(there.offset, size) if name == there.file_name else 0
        # Of the whole file: what is there already is checked along with what is sent.
        crc = crc_of(path, offset)
        with path.open("rb") as file:
            file.seek(offset)
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
