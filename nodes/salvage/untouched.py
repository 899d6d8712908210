"""A disk that is read and never written: to look at a log that somebody may need again as it is."""

from __future__ import annotations

import os
from pathlib import Path

from nodes.consensus.disk import Disk


class UntouchedDisk(Disk):
    """Reads files; whatever would change them does nothing. What recovery cuts off is cut off in memory only."""

    def make_directory(self, path: Path) -> None:
        """Do nothing."""

    def create(self, path: Path) -> int:
        """Return a descriptor that swallows what is written."""
        return self.open(path)

    def open(self, path: Path) -> int:  # noqa: ARG002
        """Return a descriptor that swallows what is written."""
        return os.open(os.devnull, os.O_WRONLY | os.O_APPEND)

    def sync(self, descriptor: int, path: Path) -> None:
        """Do nothing."""

    def sync_directory(self, path: Path) -> None:
        """Do nothing."""

    def rename(self, source: Path, target: Path) -> None:
        """Do nothing."""

    def truncate(self, path: Path, size: int) -> None:
        """Do nothing."""

    def remove(self, path: Path) -> None:
        """Do nothing."""
