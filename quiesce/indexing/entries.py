"""From a record to its entries in an index, and what an index is for that."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET

from quiesce.errors import InvalidDocument
from quiesce.indexing.key import KeyField, UnfitKey, encode_key, key_text, one_field_encoder
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
    # Of an index of one field by its value: from that to the key.
    encode_one: Callable[[Any], bytes] | None = field(default=None, compare=False)

    def text(self, entry: bytes) -> str:
        """Return the key of an entry for people."""
        return key_text(self.fields, entry[len(self.prefix) :])


def plan_index(database: int, index: IndexDefinition) -> IndexPlan:
    """Return how an index is maintained."""
    takes_over = index.type.upper().startswith("DICTIONARY")
    fields = tuple(KeyField(one.key_type, one.collate.lower() == "ci") for one in index.fields)
    by_value = len(fields) == 1 and index.fields[0].by <= IndexField.BY_VALUE
    return IndexPlan(
        id=index.id,
        name=index.name,
        prefix=_PREFIX.pack(database, index.id),
        unique=takes_over or index.type.upper().startswith("UNIQUE"),
        takes_over=takes_over,
        names=tuple(one.name for one in index.fields),
        fields=fields,
        by=tuple(one.by for one in index.fields),
        skips_null=tuple(index.nulls_ignored or one.nulls_ignored for one in index.fields),
        encode_one=one_field_encoder(fields[0]) if by_value else None,
    )


def entries_of(
    index: IndexPlan, values: tuple[Any, ...], places: Mapping[str, int], tail: bytes, where: str
) -> list[bytes]:
    """Return the keys that a record has in an index, without repetition; `tail` is its id in bytes.

    Raises:
        InvalidDocument: a value does not fit the type of the key.
    """
    names, encode_one = index.names, index.encode_one
    suffix = b"" if index.unique else tail
    try:
        if encode_one is not None:
            value = values[places[names[0]]]
            if value is UNSET:
                value = None
            if value is None and index.skips_null[0]:
                return []
            return [index.prefix + encode_one(value) + suffix]
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
