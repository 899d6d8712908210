"""A disk in memory, of one node: it loses power between two operations, and with it whatever was not synced.

Names and contents become durable apart from each other, as POSIX has it: a synced file may lose its name, and changes
of names in one directory survive in order, up to some point. What was appended to a file and not synced may be there,
be missing, or read as zeros in some sectors.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from nodes.consensus.disk import Disk
from quiesce.errors import DiskFailed

SECTOR = 512


class PowerLoss(Exception):
    """The node is gone, in the middle of what it did."""


class File:
    """Bytes, and how many of them are certain to survive."""

    def __init__(self, data: bytes = b"", *, synced: bool = False) -> None:
        self.data = bytearray(data)
        self.synced = len(data) if synced else 0

    def lose_power(self, rng: random.Random) -> None:
        """Lose, or tear, what was not synced."""
        size = len(self.data)
        kept = rng.choice((self.synced, size, rng.randint(self.synced, size)))
        del self.data[kept:]
        if rng.random() < 0.5:
            self._lose_sectors(rng)
        self.synced = len(self.data)

    def _lose_sectors(self, rng: random.Random) -> None:
        at = self.synced
        while at < len(self.data):
            end = min((at // SECTOR + 1) * SECTOR, len(self.data))
            if rng.random() < 0.5:
                self.data[at:end] = bytes(end - at)
            at = end


class Directory:
    """A directory; what is in it has names of its own."""

    def lose_power(self, rng: random.Random) -> None:
        """Lose nothing."""

    def process_ended(self) -> None:
        """Be open no more."""

    def begin_removal(self) -> None:
        """Lose a part of what is in it."""


class Thing(Directory):
    """What else may have a name and lose power: the directory of a store, as a whole."""


class _Change(NamedTuple):
    """A change of names: `thing` gets the name `target`, if any, and loses `source`, if any."""

    thing: File | Directory
    source: Path | None
    target: Path | None

    @property
    def directories(self) -> set[Path]:
        return {path.parent for path in (self.source, self.target) if path is not None}

    def apply(self, names: dict[Path, File | Directory]) -> None:
        if self.source is not None:
            names.pop(self.source, None)
        if self.target is not None:
            names[self.target] = self.thing


class SimulatedDisk(Disk):
    """See the module. `costs` gives the microseconds that a sync takes."""

    def __init__(self, root: Path, rng: random.Random, costs: Callable[[], int] = lambda: 0) -> None:
        self.root = root
        self.rng = rng
        self._costs = costs
        self.names: dict[Path, File | Directory] = {root: Directory()}
        self.durable: dict[Path, File | Directory] = dict(self.names)
        self._journal: list[_Change] = []
        self._descriptors: dict[int, File] = {}
        self._next_descriptor = 3
        # Operations until the power is lost, and until one fails; None: not at all.
        self.power: int | None = None
        self.failure: int | None = None
        # Nothing can be written; what is there stays.
        self.full = False
        # Microseconds that operations have taken since this was last set to 0.
        self.elapsed = 0
        # Rises whenever more or less than before would survive a loss of power.
        self.version = 0
        self.operations = 0

    # --- faults

    def operation(self, name: str, path: Path) -> None:
        """Count an operation, which may be the one at which the power is lost, or that fails."""
        self.operations += 1
        if self.power is not None:
            self.power -= 1
            if self.power < 0:
                raise PowerLoss
        if self.failure is not None:
            self.failure -= 1
            if self.failure < 0:
                self.failure = None
                raise DiskFailed(operation=name, path=path, detail="simulated")

    def sync_cost(self) -> None:
        """Take the time of a sync."""
        self.elapsed += self._costs()

    def take_space(self, name: str, path: Path) -> None:
        """Fail where nothing can be written."""
        if self.full:
            raise DiskFailed(operation=name, path=path, detail="simulated: no space left")

    def crash(self, *, power: bool, pages: bool = False) -> None:
        """End the process that used this disk; where `power` is lost, lose what was not synced.

        Where `pages` is set, an error has made the kernel drop what it had not written: contents, but no names.
        """
        self.power = self.failure = None
        self.elapsed = 0
        self._descriptors.clear()
        self.version += 1
        for thing in self.names.values():
            if isinstance(thing, Directory):
                thing.process_ended()
        if not power:
            if pages:
                for thing in self.names.values():
                    thing.lose_power(self.rng)
            return
        names = dict(self.durable)
        cut: set[Path] = set()
        keeps = self.rng.choice((0.0, 0.5, 0.9, 1.0))
        for change in self._journal:
            gone = change.source is not None and change.source not in names
            if gone or cut & change.directories or self.rng.random() >= keeps:
                cut |= change.directories
            else:
                change.apply(names)
        names = {path: thing for path, thing in names.items() if all(above in names for above in self._above(path))}
        for thing in names.values():
            thing.lose_power(self.rng)
        self.names, self.durable, self._journal = names, dict(names), []

    def _above(self, path: Path) -> list[Path]:
        return [] if path == self.root else [above for above in path.parents if above.is_relative_to(self.root)]

    # --- names

    def change(self, thing: File | Directory, *, source: Path | None = None, target: Path | None = None) -> None:
        """Change the name of a thing, not yet durably."""
        change = _Change(thing, source, target)
        assert all(above in self.names for above in change.directories), f"no directory for {target or source}"
        change.apply(self.names)
        self._journal.append(change)

    def make_directory(self, path: Path) -> None:
        for directory in (*reversed(self._above(path)), path):
            if directory not in self.names:
                self.operation("create", directory)
                self.change(Directory(), target=directory)

    def sync_directory(self, path: Path) -> None:
        self.operation("fsync", path)
        self.sync_cost()
        # What a change builds on is durable before it: what came earlier in each directory that it touches.
        wanted, kept, synced = {path}, [], []
        for change in reversed(self._journal):
            if wanted & change.directories:
                wanted |= change.directories
                synced.append(change)
            else:
                kept.append(change)
        for change in reversed(synced):
            change.apply(self.durable)
        self._journal = kept[::-1]
        self.version += 1
        self.operation("fsync", path)

    def list(self, directory: Path, suffix: str) -> Sequence[Path]:
        return sorted(path for path in self.names if path.parent == directory and path.suffix == suffix)

    def rename(self, source: Path, target: Path) -> None:
        self.operation("rename", source)
        self.change(self.names[source], source=source, target=target)
        self.sync_directory(target.parent)

    def remove(self, path: Path) -> None:
        if path in self.names:
            self.operation("remove", path)
            self.change(self.names[path], source=path)

    def remove_tree(self, path: Path) -> None:
        for below in sorted((name for name in self.names if name.is_relative_to(path)), reverse=True):
            thing = self.names[below]
            self.operation("removing", below)
            if isinstance(thing, Directory):
                # From here on some of its files are gone.
                thing.begin_removal()
                self.operation("removing", below)
            self.change(thing, source=below)

    # --- contents

    def create(self, path: Path) -> int:
        assert path not in self.names, f"{path} exists"
        self.operation("create", path)
        self.take_space("create", path)
        self.change(File(), target=path)
        return self.open(path)

    def open(self, path: Path) -> int:
        descriptor, self._next_descriptor = self._next_descriptor, self._next_descriptor + 1
        self._descriptors[descriptor] = self.file(path)
        return descriptor

    def file(self, path: Path) -> File:
        """Return the file of a name."""
        found = self.names[path]
        assert isinstance(found, File)
        return found

    def read(self, path: Path) -> bytes:
        return bytes(self.file(path).data)

    def write(self, descriptor: int, data: bytes, path: Path) -> None:
        file = self._descriptors[descriptor]
        try:
            self.operation("write", path)
            self.take_space("write", path)
        except (PowerLoss, DiskFailed):
            file.data += data[: self.rng.randint(0, len(data))]
            raise
        file.data += data

    def sync(self, descriptor: int, path: Path) -> None:
        self.operation("fdatasync", path)
        self.sync_cost()
        file = self._descriptors[descriptor]
        file.synced = len(file.data)
        self.version += 1
        self.operation("fdatasync", path)

    def truncate(self, path: Path, size: int) -> None:
        self.operation("truncate", path)
        file = self.file(path)
        del file.data[size:]
        file.synced = size
        self.version += 1
        self.operation("fsync", path)

    def close(self, descriptor: int) -> None:
        self._descriptors.pop(descriptor, None)
