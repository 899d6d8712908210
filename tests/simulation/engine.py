"""RocksDB as nodes/store/engine.py shows it, in memory: every write is all or nothing, and a loss of power keeps some
of the writes since the last sync, from the oldest on."""

from __future__ import annotations

import bisect
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nodes.store.engine import FAMILIES, META, Engine
from nodes.store.keys import APPLIED, APPLIED_VALUE
from quiesce.errors import DamagedStore, DirectoryInUse
from tests.simulation.disk import SimulatedDisk, Thing

_MOST_VERSIONS = 64


class Table:
    """A column family at one moment; never changed."""

    __slots__ = ("_keys", "digest", "rows")

    def __init__(self, rows: dict[bytes, bytes], digest: int) -> None:
        self.rows = rows
        # Of all rows, whatever their order.
        self.digest = digest
        self._keys: list[bytes] | None = None

    def __getitem__(self, key: bytes) -> bytes:
        try:
            return self.rows[key]
        except KeyError:
            # As rocksdict's Snapshot says it.
            raise Exception("key not found") from None  # noqa: TRY002

    @property
    def keys(self) -> list[bytes]:
        """All keys in order."""
        if self._keys is None:
            self._keys = sorted(self.rows)
        return self._keys


Tables = dict[str, Table]


def applied_of(tables: Tables) -> tuple[int, int]:
    """Return index and term of what a store has applied."""
    return _progress(tables)[:2]


def is_between_entries(tables: Tables) -> bool:
    """Return whether nothing of the entry after that is in."""
    return not _progress(tables)[2]


def _progress(tables: Tables) -> tuple[int, int, int]:
    value = tables[META].rows.get(APPLIED)
    return (0, 0, 0) if value is None else APPLIED_VALUE.unpack(value)


class Image(Thing):
    """The directory of a store: what it holds now, and what it would hold after a loss of power."""

    def __init__(self, tables: Tables | None = None, *, synced: bool = True) -> None:
        # The first is durable, the last is the newest.
        self.versions: list[Tables] = [tables or {name: Table({}, 0) for name in FAMILIES}]
        # False: files of it may be missing after a loss of power.
        self.synced = synced
        self.damaged = False
        self.opened = False

    @property
    def newest(self) -> Tables:
        """What a reader finds."""
        return self.versions[-1]

    @property
    def certain(self) -> Tables:
        """What a loss of power leaves in any case."""
        return self.versions[0]

    def sync(self) -> None:
        """Make everything durable."""
        del self.versions[:-1]

    def process_ended(self) -> None:
        self.opened = False

    def begin_removal(self) -> None:
        self.damaged = True

    def lose_power(self, rng: random.Random) -> None:
        """Keep some of the writes since the last sync."""
        if not self.synced:
            self.damaged = True
        last = len(self.versions) - 1
        kept = rng.choice((0, last, rng.randint(0, last)))
        self.versions = [self.versions[kept]]


class Rows:
    """As rocksdict's RdictIter."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._at = 0

    def seek(self, key: bytes) -> None:
        self._at = bisect.bisect_left(self._table.keys, key)

    def valid(self) -> bool:
        return self._at < len(self._table.keys)

    def key(self) -> bytes | None:
        return self._table.keys[self._at] if self.valid() else None

    def value(self) -> bytes:
        return self._table.rows[self._table.keys[self._at]]

    def next(self) -> None:
        self._at += 1

    def status(self) -> None:
        """Report no error."""


class _Batch:
    """As rocksdict's WriteBatch."""

    def __init__(self) -> None:
        self.family = ""
        # Family, key, and the value; or a range, and no value.
        self.changes: list[tuple[str, bytes, bytes | None, bytes | None]] = []

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.changes.append((self.family, key, value, None))

    def __delitem__(self, key: bytes) -> None:
        self.changes.append((self.family, key, None, None))


class SimulatedEngine(Engine):
    """An open store directory of a simulated disk."""

    def __init__(self, disk: SimulatedDisk, directory: Path) -> None:
        self.directory = directory
        self._disk = disk
        image = disk.names.get(directory)
        if image is None:
            disk.operation("create", directory)
            image = Image()
            disk.change(image, target=directory)
        if not isinstance(image, Image) or image.damaged:
            raise DamagedStore(path=directory, detail="files of it are missing")
        if image.opened:
            raise DirectoryInUse(path=directory, lock=directory / "LOCK")
        image.opened = True
        self.image = image
        self._sequence = 0

    def get(self, family: str, key: bytes) -> bytes | None:
        return self.image.newest[family].rows.get(key)

    def get_many(self, family: str, keys: list[bytes]) -> list[bytes | None]:
        return list(map(self.image.newest[family].rows.get, keys))

    def scan(self, family: str, begin: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        table = self.image.newest[family]
        for key in table.keys[bisect.bisect_left(table.keys, begin) : bisect.bisect_left(table.keys, end)]:
            yield key, table.rows[key]

    def snapshots(self) -> Mapping[str, Any]:
        return self.image.newest

    def iterators(self) -> dict[str, Any]:
        return {name: Rows(table) for name, table in self.image.newest.items()}

    def sequence(self) -> int:
        return self._sequence

    def new_batch(self) -> Any:
        return _Batch()

    def target(self, batch: Any, family: str) -> None:
        batch.family = family

    def delete_range(self, batch: Any, family: str, begin: bytes, end: bytes) -> None:
        batch.changes.append((family, begin, None, end))

    def write(self, batch: Any, *, wal: bool = True) -> None:
        self._disk.operation("writing", self.directory)
        self._disk.take_space("writing", self.directory)
        image = self.image
        tables = dict(image.newest)
        changed: dict[str, tuple[dict[bytes, bytes], list[int]]] = {}
        for family, key, value, end in batch.changes:
            if family not in changed:
                changed[family] = dict(tables[family].rows), [tables[family].digest]
            rows, digest = changed[family]
            for one in [key] if end is None else [found for found in rows if key <= found < end]:
                if one in rows:
                    digest[0] ^= hash((family, one, rows.pop(one)))
                if value is not None:
                    rows[one] = value
                    digest[0] ^= hash((family, one, value))
        for family, (rows, digest) in changed.items():
            tables[family] = Table(rows, digest[0])
        image.versions.append(tables)
        if len(image.versions) > _MOST_VERSIONS:
            del image.versions[1]
        self._sequence += len(batch.changes)
        if self._disk.rng.random() < 0.02:
            # RocksDB syncs, or flushes its memtables, when it sees fit.
            image.sync()
        self._disk.version += 1
        self._disk.operation("writing", self.directory)

    def sync(self) -> None:
        self._disk.operation("fsync", self.directory)
        self._disk.sync_cost()
        self.image.sync()
        self._disk.version += 1

    def flush(self) -> None:
        self.sync()

    def checkpoint(self, directory: Path) -> None:
        self._disk.operation("checkpoint", directory)
        assert directory not in self._disk.names, f"{directory} exists"
        self._disk.change(Image(self.image.newest), target=directory)
        self._disk.operation("checkpoint", directory)
        self._disk.sync_directory(directory.parent)

    def close(self) -> None:
        self.image.opened = False
