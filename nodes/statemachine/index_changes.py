"""The changes of one write request to the indexes, settled together.

Keys are compared before and after the whole request, so records may swap unique keys, and a key that a delete frees
can be given to another record in the same batch, in any order.
"""

from __future__ import annotations

from collections.abc import Iterable

from nodes.statemachine.pending import Changes, Draft
from nodes.store.index_fill import duplicate
from quiesce.errors import BatchTooLarge
from quiesce.indexing.entries import IndexPlan

# An index, keys that come into it, and beside them the ids of their records.
_Added = tuple[IndexPlan, list[bytes], list[bytes]]

# The keys that one request takes out and puts in: a small body may have many in a composite index.
MAX_BYTES = 64 << 20


class IndexChanges:
    """Entries that a request takes out and puts in, by index and record."""

    __slots__ = ("_added", "_bytes", "_touched")

    def __init__(self) -> None:
        self._bytes = 0
        # Index and record id → the plan, the entries that were there before the request, the entries now.
        self._touched: dict[tuple[int, bytes], tuple[IndexPlan, list[bytes], list[bytes]]] = {}
        self._added: list[_Added] = []

    def weigh(self, size: int) -> None:
        """Note how many bytes the keys of one operation have.

        Raises:
            BatchTooLarge: with those of the operations before it they are too many; one alone always may.
        """
        before, self._bytes = self._bytes, self._bytes + size
        if before and self._bytes > MAX_BYTES:
            raise BatchTooLarge(size=self._bytes, unit="bytes of index keys", limit=MAX_BYTES)

    def change(self, index: IndexPlan, rid: bytes, old: list[bytes], new: list[bytes]) -> None:
        """Note that a record's entries in an index were `old` until now."""
        # Taken out and put back at the end: who wrote last takes over the key of a DICTIONARY.
        earlier = self._touched.pop((index.id, rid), None)
        self._touched[index.id, rid] = (index, old if earlier is None else earlier[1], new)

    def add(self, index: IndexPlan, entries: Iterable[tuple[bytes, list[bytes]]]) -> None:
        """Note the entries of many records that had none in an index, beside their ids.

        Raises:
            BatchTooLarge: as `weigh`.
        """
        keys: list[bytes] = []
        rids: list[bytes] = []
        for rid, new in entries:
            self.weigh(sum(map(len, new)))
            keys += new
            rids += [rid] * len(new)
        self._added.append((index, keys, rids))

    def settle(self, draft: Draft) -> None:
        """Put the changes into the draft.

        Raises:
            DuplicateKey: a unique key belongs to another record.
        """
        indexes = draft.indexes
        added = list(self._added)
        for (_, rid), (index, old, new) in self._touched.items():
            for key in _without(old, new):
                if not index.unique or draft.entry(key) == rid:
                    indexes[key] = None
            keys = _without(new, old)
            added.append((index, keys, [rid] * len(keys)))
        for index, keys, rids in _by_index(added):
            if index.unique:
                indexes.update(_taken(draft, index, keys, rids))
            else:
                indexes.update(dict.fromkeys(keys, b""))


def _by_index(added: list[_Added]) -> list[_Added]:
    """Return one item an index, for one look into the store."""
    found: dict[int, _Added] = {}
    for index, keys, rids in added:
        _, all_keys, all_rids = found.setdefault(index.id, (index, [], []))
        all_keys += keys
        all_rids += rids
    return list(found.values())


def _taken(draft: Draft, index: IndexPlan, keys: list[bytes], rids: list[bytes]) -> Changes:
    """Return unique keys with the records that take them. Raises DuplicateKey."""
    held = draft.entries(keys)
    for key, rid in zip(keys, rids, strict=True):
        holder = held[key]
        if holder is not None and holder != rid and not index.takes_over:
            raise duplicate(index, key, holder, rid)
        held[key] = rid
    return held


def _without(entries: list[bytes], others: list[bytes]) -> list[bytes]:
    if not others:
        return entries
    excluded = set(others)
    return [entry for entry in entries if entry not in excluded]
