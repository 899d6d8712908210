"""The checkpoints of this node: directories named for the epoch of the lease under which they were taken."""

from __future__ import annotations

from pathlib import Path

from nodes.store.files import Files
from nodes.store.store import Store


class Checkpoints:
    """`<data>/checkpoints/<epoch>`, each there completely or not at all."""

    def __init__(self, directory: Path, files: Files) -> None:
        self.directory = directory
        self._files = files

    def take(self, store: Store, epoch: int) -> None:
        """Take a checkpoint of the store; a later mark of the same epoch replaces the earlier.

        Raises:
            DiskFailed: the disk answers with an error, or is full.
        """
        final = self.directory / str(epoch)
        self._files.remove_tree(final)
        store.checkpoint(final)

    def epochs(self) -> list[int]:
        """Return the epochs of which there is a checkpoint, ascending."""
        return sorted(int(entry.name) for entry in self._files.directories(self.directory) if entry.name.isdigit())

    def path(self, epoch: int) -> Path:
        """Return where the checkpoint of an epoch is, or would be."""
        return self.directory / str(epoch)

    def remove_others(self, epoch: int | None) -> None:
        """Remove all checkpoints but that of one epoch, and what a crash left of one."""
        for entry in self._files.directories(self.directory):
            if entry.name != str(epoch):
                self._files.remove_tree(entry)
