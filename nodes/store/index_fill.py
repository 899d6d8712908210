"""Bringing indexes up to date with a changed schema: filling them from records, and taking entries out.

A new index is filled in the store itself, in bounded batches, before the change of the schema is written: what it puts
in is not seen until then, and if the process dies it is done again, to the same end. What goes out of an index that is
there already, and what comes into it, goes with that change: a key of a DICTIONARY that was taken over and then undone
would be lost to its first holder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from nodes.store import keys
from nodes.store.engine import INDEXES, RECORDS, Batch, Engine
from nodes.store.keys import ENTRY_RID, RECORD, rid_text, split_record
from nodes.store.schema import DatabaseSchema
from quiesce.errors import DuplicateKey
from quiesce.indexing.body import reader
from quiesce.indexing.entries import IndexPlan, entries_of, plan_index
from quiesce.v1.record_pb2 import RecordKind

# Entries a batch: a few MiB.
BATCH_ENTRIES = 20_000
_BATCH_BYTES = 16 << 20

# One index and the clusters whose records come into it, or leave it.
Work = list[tuple[IndexPlan, list[int]]]


def index_work(before: DatabaseSchema, after: DatabaseSchema, surviving: Iterable[int]) -> tuple[Work, Work]:
    """Return which clusters' records come into which indexes, and which leave which.

    `surviving` are the clusters that both schemas have, with the same records.
    """
    kept = {index.id: index for index in after.message.indexes if index.maintained}
    fills: dict[int, list[int]] = {}
    removals: dict[int, list[int]] = {}
    survivors = set(surviving)
    for cluster in sorted(before.clusters):
        were = _index_ids(before, cluster)
        are = _index_ids(after, cluster) if cluster in survivors else set()
        for index in are - were:
            fills.setdefault(index, []).append(cluster)
        # The entries of a dropped index go with its range.
        for index in (were - are) & kept.keys():
            removals.setdefault(index, []).append(cluster)

    def planned(work: dict[int, list[int]]) -> Work:
        return [(plan_index(after.id, kept[index]), clusters) for index, clusters in sorted(work.items())]

    return planned(fills), planned(removals)


def fill(engine: Engine, database: int, index: IndexPlan, clusters: list[int], *, wal: bool = True) -> int:
    """Enter the records of clusters into a new index, and return how many entries that made.

    Raises:
        DuplicateKey: two records have the same key in a unique index.
        InvalidDocument: a record's value does not fit the type of the key.
    """
    total = 0
    pending: dict[bytes, bytes] = {}
    size = 0
    for rid, entries in _entries(engine, database, index, clusters):
        for key in entries:
            if not index.unique:
                pending[key] = b""
                continue
            if not index.takes_over:
                holder = pending.get(key) or engine.get(INDEXES, key)
                if holder is not None and holder != rid:
                    raise duplicate(index, key, holder, rid)
            pending[key] = rid
        size += sum(map(len, entries))
        if len(pending) >= BATCH_ENTRIES or size >= _BATCH_BYTES:
            total += _write(engine, pending, wal=wal)
            size = 0
    return total + _write(engine, pending, wal=wal)


def addition(engine: Engine, batch: Batch, database: int, index: IndexPlan, clusters: list[int]) -> None:
    """Add to a batch what enters the records of clusters into an index that holds others already.

    Raises:
        DuplicateKey, InvalidDocument: as `fill`; the batch is to be dropped.
    """
    engine.target(batch, INDEXES)
    taken: dict[bytes, bytes] = {}
    for rid, entries in _entries(engine, database, index, clusters):
        for key in entries:
            if index.unique and not index.takes_over:
                holder = taken.setdefault(key, rid)
                if holder == rid:
                    holder = engine.get(INDEXES, key) or rid
                if holder != rid:
                    raise duplicate(index, key, holder, rid)
            batch[key] = rid if index.unique else b""


def removal(engine: Engine, batch: Batch, database: int, index: IndexPlan, clusters: list[int]) -> None:
    """Add to a batch what takes the entries of the records of clusters out of an index."""
    engine.target(batch, INDEXES)
    for rid, entries in _entries(engine, database, index, clusters):
        for key in entries:
            if not index.unique or engine.get(INDEXES, key) == rid:
                del batch[key]


def clear(engine: Engine, database: int, index: int) -> None:
    """Remove all entries of an index."""
    batch = engine.new_batch()
    engine.delete_range(batch, INDEXES, *keys.index_range(database, index))
    engine.write(batch)


def duplicate(index: IndexPlan, key: bytes, holder: bytes, other: bytes) -> DuplicateKey:
    """Return the error for a key that one record has and another one was to get."""
    rid, wanted = (rid_text(*ENTRY_RID.unpack(each)) for each in (holder, other))
    return DuplicateKey(key=index.text(key), index=index.name, rid=rid, other=wanted)


def _entries(
    engine: Engine, database: int, index: IndexPlan, clusters: list[int]
) -> Iterator[tuple[bytes, list[bytes]]]:
    names = list(dict.fromkeys(index.names))
    places = {name: place for place, name in enumerate(names)}
    read = reader(names)
    document = RecordKind.RECORD_KIND_DOCUMENT
    for cluster in clusters:
        for key, value in engine.scan(RECORDS, *keys.cluster_range(database, cluster)):
            _, kind, body = split_record(value)
            if kind != document:
                continue
            position = RECORD.unpack(key)[2]
            values: tuple[Any, ...] = read(body)[1]
            rid = ENTRY_RID.pack(cluster, position)
            yield rid, entries_of(index, values, places, rid, rid_text(cluster, position))


def _write(engine: Engine, pending: dict[bytes, bytes], *, wal: bool = True) -> int:
    count = len(pending)
    if count:
        batch = engine.new_batch()
        engine.target(batch, INDEXES)
        for key, value in pending.items():
            batch[key] = value
        engine.write(batch, wal=wal)
        pending.clear()
    return count


def _index_ids(schema: DatabaseSchema, cluster: int) -> set[int]:
    plan = schema.cluster_plan(cluster)
    return set() if plan is None else {index.id for index in plan.indexes}
