"""The files of a store that no process has open, taken over into another directory."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from nodes.store import fsync
from quiesce.errors import disk_failed

_TABLE = ".sst"
# RocksDB's own lock, and what it writes for people.
_LEFT_OUT = ("LOCK", "LOG")


def take_over(source: Path, target: Path) -> None:
    """Make `target`, which must not exist, a RocksDB directory equal to `source`, durably.

    Tables are linked where the file system can: RocksDB never changes one, so neither directory can spoil the other,
    and a disk that is nearly full suffices. Everything else is copied.

    Raises:
        DiskFailed: the disk refused.
    """
    try:
        target.mkdir(parents=True)
        for path in sorted(source.iterdir()):
            if not path.name.startswith(_LEFT_OUT):
                _take(path, target / path.name)
    except OSError as error:
        raise disk_failed("copy", source, error) from error
    fsync.sync_tree(target)
    fsync.sync_directory(target.parent)


def _take(path: Path, target: Path) -> None:
    if path.suffix == _TABLE:
        try:
            os.link(path, target)
            return
        except OSError:
            # Another file system, or one without links.
            target.unlink(missing_ok=True)
    shutil.copyfile(path, target)
