"""A disk in memory that loses power when it is told to."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path

from nodes.consensus.disk import Disk


class PowerLoss(Exception):
    """The machine is gone in the middle of a step."""


class MemoryDisk(Disk):
    """Files in memory; a crash loses or tears what was not synced."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.files: dict[Path, bytearray] = {}
        self.synced: dict[Path, int] = {}
        self.descriptors: dict[int, Path] = {}
        self._next = itertools.count(3)
        # Calls until the power is lost; None: it is not.
        self.power: int | None = None

    def _consume(self) -> None:
        if self.power is not None:
            self.power -= 1
            if self.power < 0:
                raise PowerLoss

    def make_directory(self, path: Path) -> None:
        pass

    def sync_directory(self, path: Path) -> None:
        pass

    def create(self, path: Path) -> int:
        assert path not in self.files
        self.files[path], self.synced[path] = bytearray(), 0
        return self.open(path)

    def open(self, path: Path) -> int:
        descriptor = next(self._next)
        self.descriptors[descriptor] = path
        return descriptor

    def list(self, directory: Path, suffix: str) -> Sequence[Path]:
        return sorted(path for path in self.files if path.parent == directory and path.suffix == suffix)

    def read(self, path: Path) -> bytes:
        return bytes(self.files[path])

    def write(self, descriptor: int, data: bytes, path: Path) -> None:
        self.files[self.descriptors[descriptor]] += data
        self._consume()

    def sync(self, descriptor: int, path: Path) -> None:
        self._consume()
        opened = self.descriptors[descriptor]
        self.synced[opened] = len(self.files[opened])

    def rename(self, source: Path, target: Path) -> None:
        self._consume()
        self.files[target], self.synced[target] = self.files.pop(source), self.synced.pop(source)

    def truncate(self, path: Path, size: int) -> None:
        del self.files[path][size:]
        self.synced[path] = size

    def remove(self, path: Path) -> None:
        self._consume()
        self.files.pop(path, None)
        self.synced.pop(path, None)

    def close(self, descriptor: int) -> None:
        del self.descriptors[descriptor]

    def durable(self) -> MemoryDisk:
        """Return a disk that holds what would certainly be there after a crash."""
        copy = MemoryDisk(self.rng)
        copy.files = {path: bytearray(data[: self.synced[path]]) for path, data in self.files.items()}
        copy.synced = {path: len(data) for path, data in copy.files.items()}
        return copy

    def crash(self) -> None:
        self.power = None
        self.descriptors.clear()
        for path, data in self.files.items():
            lost = len(data) - self.synced[path]
            kept = self.synced[path] + self.rng.choice((0, lost, self.rng.randint(0, lost)))
            del data[kept:]
            self.synced[path] = kept
