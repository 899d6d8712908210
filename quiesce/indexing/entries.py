"""From a record to its entries in an index, and what an index is for that."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET

from quiesce.errors import InvalidDocument
from quiesce.indexing.key import KeyField, UnfitKey, encode_key, key_text
from quiesce.v1.database_pb2 import IndexDefinition, IndexField

# Database and index, as the keys of the column family `indexes` begin; docs/formats/index-key.md.
_PREFIX = struct.Struct(">II")
# An item list times another could be any number of entries for one record.
MAX_ENTRIES = 100_000
# A long item beside many short ones is in all of their entries: a small record could fill the memory of every node.
MAX_ENTRIES_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """One maintained index."""

    id: int
    name: str
    # What its keys begin with: database and index.
    prefix: bytes
    # One record a key; the value of an entry is its id.
    unique: bool
    # DICTIONARY: a later record takes the key over, instead of being refused.
    takes_over: bool
    names: tuple[str, ...]
    fields: tuple[KeyField, ...]
    by: tuple[int, ...]
    skips_null: tuple[bool, ...]

    def text(self, entry: bytes) -> str:
        """Return the key of an entry for people."""
        return key_text(self.fields, entry[len(self.prefix) :])


def plan_index(database: int, index: IndexDefinition) -> IndexPlan:
    """Return how an index is maintained."""
    takes_over = index.type.upper().startswith("DICTIONARY")
    return IndexPlan(
        id=index.id,
        name=index.name,
        prefix=_PREFIX.pack(database, index.id),
        unique=takes_over or index.type.upper().startswith("UNIQUE"),
        takes_over=takes_over,
        names=tuple(field.name for field in index.fields),
        fields=tuple(KeyField(field.key_type, field.collate.lower() == "ci") for field in index.fields),
        by=tuple(field.by for field in index.fields),
        skips_null=tuple(index.nulls_ignored or field.nulls_ignored for field in index.fields),
    )


def entries_of(
    index: IndexPlan, values: tuple[Any, ...], places: Mapping[str, int], tail: bytes, where: str
) -> list[bytes]:
    """Return the keys that a record has in an index, without repetition; `tail` is its id in bytes.

    Raises:
        InvalidDocument: a value does not fit the type of the key.
    """
    names = index.names
    suffix = b"" if index.unique else tail
    try:
        if len(names) == 1 and index.by[0] <= IndexField.BY_VALUE:
            value = values[places[names[0]]]
            if value is UNSET:
                value = None
            if value is None and index.skips_null[0]:
                return []
            return [index.prefix + encode_key(index.fields, (value,)) + suffix]
        columns = []
        for i, name in enumerate(names):
            column = _column(values[places[name]], index.by[i])
            columns.append([item for item in column if item is not None] if index.skips_null[i] else column)
        keys = dict.fromkeys(_bounded(encode_key(index.fields, values) for values in _combinations(columns)))
        return [index.prefix + key + suffix for key in keys]
    except UnfitKey as error:
        raise InvalidDocument(where=where, detail=f"index `{index.name}`: {error}") from None


def _combinations(columns: list[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    if math.prod(map(len, columns)) > MAX_ENTRIES:
        raise UnfitKey(f"it has more than {MAX_ENTRIES} entries")
    return itertools.product(*columns)


def _bounded(keys: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for key in keys:
        size += len(key)
        if size > MAX_ENTRIES_BYTES:
            raise UnfitKey(f"its entries have more than {MAX_ENTRIES_BYTES} bytes together")
        yield key


def _column(value: Any, by: int) -> Sequence[Any]:
    if value is UNSET or value is None:
        return (None,)
    if by == IndexField.BY_ITEM:
        if isinstance(value, list):
            return value
        if isinstance(value, dict):
            return [item for name, item in value.items() if not name.startswith("@")]
        raise UnfitKey("an index by item needs a list or a map")
    if by == IndexField.BY_MAP_KEY:
        if isinstance(value, dict):
            return [name for name in value if not name.startswith("@")]
        raise UnfitKey("an index by map key needs a map")
    return (value,)
