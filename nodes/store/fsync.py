"""Making directories and what lies in them durable."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from quiesce.errors import disk_failed


def sync_path(path: Path) -> None:
    """Fsync a file or a directory.

    Raises:
        DiskFailed: the disk answers with an error; it is never tried again.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise disk_failed("fsync", path, error) from error


def sync_directory(directory: Path) -> None:
    """Fsync a directory, so that the names in it are durable."""
    sync_path(directory)


def sync_tree(directory: Path) -> None:
    """Fsync every file of a flat directory, then the directory."""
    for path in sorted(directory.iterdir()):
        sync_path(path)
    sync_path(directory)


def write_durably(path: Path, content: bytes) -> None:
    """Replace a small file: after a crash it holds the old content or the new one, never a part."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise disk_failed("writing", path, error) from error
    sync_directory(path.parent)


def remove_tree(directory: Path) -> None:
    """Remove a directory and what is in it, if it is there."""
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise disk_failed("removing", directory, error) from error
