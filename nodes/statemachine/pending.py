"""What entries have changed that is not in the store yet: many commands share one write to it.

Two layers, because a command that fails must leave no trace: a draft holds one command's changes and is merged into
the pending ones when it succeeds. Reads go through draft, pending changes and store, in that order.
"""

from __future__ import annotations

from collections.abc import Iterable

from nodes.store import keys
from nodes.store.engine import FAMILIES, INDEXES, META, PAGES, RECORDS, Batch, Engine

Changes = dict[bytes, bytes | None]

_UNCHANGED = object()


class Pending:
    """Changes of the entries since the last write to the store."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.families: dict[str, Changes] = {name: {} for name in FAMILIES}
        # What the keys of indexes have together: the size of the entries says little about it.
        self.index_bytes = 0
        self.dropped: list[tuple[str, bytes, bytes]] = []
        # A batch that was begun outside: more than is good to hold as changes here.
        self.begun: Batch | None = None
        # Next position and number of records by database and cluster, as of the last command.
        self.counters: dict[tuple[int, int], tuple[int, int]] = {}
        # What the keys had that were put since `begin`, oldest first; None outside of a command that puts directly.
        self._undo: list[tuple[str, bytes, object]] | None = None

    def begin(self) -> None:
        """Note from here on what `roll_back` needs."""
        self._undo = []

    def end(self) -> None:
        """Let what was put since `begin` stand."""
        self._undo = None

    def roll_back(self) -> None:
        """Take back all since `begin`, or since the last batch if that came later."""
        for family, key, earlier in reversed(self._undo or ()):
            if earlier is _UNCHANGED:
                self.families[family].pop(key, None)
            else:
                self.families[family][key] = earlier  # type: ignore[assignment]
        self._undo = None
        # Ranges and begun batches belong to one command; counters are read again from what was put.
        self.dropped.clear()
        self.begun = None
        self.counters.clear()

    def batch(self) -> Batch:
        """Return all changes as one batch, and forget them."""
        self.index_bytes = 0
        batch, self.begun = self.begun or self.engine.new_batch(), None
        if self._undo is not None:
            self._undo.clear()
        for family, begin, end in self.dropped:
            self.engine.delete_range(batch, family, begin, end)
        self.dropped.clear()
        for family, changes in self.families.items():
            if changes:
                self.engine.target(batch, family)
                for key, value in changes.items():
                    if value is None:
                        del batch[key]
                    else:
                        batch[key] = value
                changes.clear()
        return batch

    def put(self, family: str, key: bytes, value: bytes | None) -> None:
        """Change one key outside of a command that may fail."""
        changes = self.families[family]
        if self._undo is not None:
            self._undo.append((family, key, changes.get(key, _UNCHANGED)))
        changes[key] = value

    def get(self, family: str, key: bytes) -> bytes | None:
        """Return a value as the commands so far have left it."""
        found = self.families[family].get(key, _UNCHANGED)
        return self.engine.get(family, key) if found is _UNCHANGED else found  # type: ignore[return-value]

    def record(self, key: bytes) -> bytes | None:
        """Return a record's value as the commands so far have left it."""
        return self.get(RECORDS, key)

    def counter(self, database: int, cluster: int) -> tuple[int, int]:
        """Return next position and number of records of a cluster."""
        found = self.counters.get((database, cluster))
        if found is None:
            value = self.get(META, keys.counters_key(database, cluster))
            following, count = (0, 0) if value is None else keys.unpacked(keys.COUNTERS_VALUE, value)
            found = following, count
            self.counters[database, cluster] = found
        return found

    def set_counter(self, database: int, cluster: int, counter: tuple[int, int]) -> None:
        """Set next position and number of records of a cluster."""
        self.counters[database, cluster] = counter
        self.put(META, keys.counters_key(database, cluster), keys.COUNTERS_VALUE.pack(*counter))

    def draft(self) -> Draft:
        """Return an empty draft for one command."""
        return Draft(self)


class Draft:
    """Changes of one command; dropped unless `commit` is called."""

    __slots__ = ("counters", "indexes", "pages", "pending", "records")

    def __init__(self, pending: Pending) -> None:
        self.pending = pending
        self.records: Changes = {}
        self.indexes: Changes = {}
        self.pages: Changes = {}
        self.counters: dict[tuple[int, int], tuple[int, int]] = {}

    def record(self, key: bytes) -> bytes | None:
        """Return a record's value as this command sees it."""
        found = self.records.get(key, _UNCHANGED)
        return self.pending.get(RECORDS, key) if found is _UNCHANGED else found  # type: ignore[return-value]

    def entry(self, key: bytes) -> bytes | None:
        """Return the value of an index entry as this command sees it."""
        found = self.indexes.get(key, _UNCHANGED)
        return self.pending.get(INDEXES, key) if found is _UNCHANGED else found  # type: ignore[return-value]

    def entries(self, keys: Iterable[bytes]) -> Changes:
        """Return the values of many index entries as this command sees them."""
        mine, pending = self.indexes, self.pending.families[INDEXES]
        found = {key: mine.get(key, pending.get(key, _UNCHANGED)) for key in keys}
        stored = [key for key, value in found.items() if value is _UNCHANGED]
        found.update(zip(stored, self.pending.engine.get_many(INDEXES, stored), strict=True))
        return found  # type: ignore[return-value]

    def counter(self, database: int, cluster: int) -> tuple[int, int]:
        """Return next position and number of records of a cluster as this command sees it."""
        found = self.counters.get((database, cluster))
        return self.pending.counter(database, cluster) if found is None else found

    def commit(self) -> None:
        """Make the changes part of the pending ones."""
        pending = self.pending
        # All that can fail comes before the first change.
        counters = {keys.counters_key(*place): keys.COUNTERS_VALUE.pack(*it) for place, it in self.counters.items()}
        pending.counters.update(self.counters)
        families = pending.families
        families[META].update(counters)
        families[RECORDS].update(self.records)
        families[INDEXES].update(self.indexes)
        families[PAGES].update(self.pages)
        pending.index_bytes += sum(map(len, self.indexes))
