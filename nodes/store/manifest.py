"""RocksDB's list of its files is looked at before RocksDB is: what it would take in silence for the end of the list."""

from __future__ import annotations

import re
from pathlib import Path

from nodes.store.rocksdb_log import LogEnd, read_log
from quiesce.errors import DamagedStore, disk_failed

_CURRENT = "CURRENT"
_NAME = re.compile(rb"(MANIFEST-[0-9]{6,20})\n")


def manifest_of(directory: Path) -> Path | None:
    """Return the MANIFEST in use, or None where nothing was ever written here.

    Raises:
        DamagedStore: CURRENT is missing, damaged, or names a file that is.
        DiskFailed: the disk refused.
    """
    try:
        found = (directory / _CURRENT).read_bytes()
    except FileNotFoundError:
        if any(directory.glob("*.sst")):
            # RocksDB would begin an empty store here.
            raise DamagedStore(path=directory, detail=f"{_CURRENT} is missing") from None
        return None
    except OSError as error:
        raise disk_failed("read", directory / _CURRENT, error) from error
    match = _NAME.fullmatch(found)
    if match is None:
        raise DamagedStore(path=directory / _CURRENT, detail=f"it names {found[:40]!r}")
    manifest = directory / match[1].decode()
    if not manifest.exists():
        raise DamagedStore(path=directory / _CURRENT, detail=f"it names {manifest.name}, which is not there")
    return manifest


def check_manifest(directory: Path) -> LogEnd | None:
    """Check the MANIFEST of a RocksDB directory, and say how far it goes; None where nothing was ever written here.

    Raises:
        DamagedStore: it is damaged. One that a crash has cut short is not: nothing counted on its last record.
        DiskFailed: the disk refused.
    """
    manifest = manifest_of(directory)
    if manifest is None:
        return None
    try:
        end = read_log(manifest.read_bytes())
    except OSError as error:
        raise disk_failed("read", manifest, error) from error
    if end.damage is not None:
        raise DamagedStore(path=manifest, detail=f"at byte {end.at}: {end.damage}")
    return end
