"""The file that names the RocksDB directory in use, with a checksum: a wrong name would lose a store."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from nodes.store.files import Files
from quiesce.errors import DamagedStore

FILE_NAME = "CURRENT"
FIRST = "store-1"
# Written by older versions: without a checksum.
_BARE = re.compile(r"store-[1-9][0-9]*")
_SEALED = re.compile(r"(store-[1-9][0-9]*) ([0-9a-f]{8})\n")


def encode_current(name: str) -> bytes:
    """Return the content of the file that names `name`."""
    return f"{name} {zlib.crc32(name.encode()):08x}\n".encode()


def directory_in_use(directory: Path, files: Files | None = None) -> Path | None:
    """Return the RocksDB directory that a store's CURRENT names, and change nothing; None where no store was made.

    Raises:
        DamagedStore: CURRENT is missing or damaged, or names what is not there.
    """
    files, current = files or Files(), directory / FILE_NAME
    there = [entry.name for entry in files.directories(directory)]
    if not files.exists(current):
        if any(name != FIRST for name in there):
            raise DamagedStore(path=directory, detail=f"{FILE_NAME} is missing")
        return None
    try:
        name = _named(files.read_text(current))
    except ValueError as error:
        raise DamagedStore(path=current, detail=str(error)) from error
    # The first one is named before it is made.
    if name not in there and (there or name != FIRST):
        raise DamagedStore(path=directory, detail=f"{name} is missing")
    return directory / name


def _named(text: str) -> str:
    if found := _SEALED.fullmatch(text):
        if zlib.crc32(found[1].encode()) != int(found[2], 16):
            raise ValueError(f"its checksum does not fit `{found[1]}`")
        return found[1]
    if not _BARE.fullmatch(text):
        raise ValueError(f"it names `{text}`")
    return text
