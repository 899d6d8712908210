"""The page table: where each segment of a snapshot lies. Format: docs/formats/snapshot.md, "Page table"."""

from __future__ import annotations

import struct
from itertools import pairwise

import lz4.frame
import msgspec

from quiesce.snapshot.malformed import MalformedObject

# In place of a cluster: the page of the database itself. Sorts before its records.
DATABASE_PAGE = -1
_MAGIC = b"QPT\x01"
_SKIPPED = struct.Struct("<II")
_SKIPPED_MAGIC = 0x184D2A50


class TableDatabase(msgspec.Struct, frozen=True, array_like=True):
    """A database of the table; `id` is what the cluster called it, a hint for the next snapshot."""

    name: str
    id: int


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One segment. `database` and `pack` count into the table's lists; `stamp` is the page's, a log index."""

    database: int
    cluster: int
    page: int
    segment: int
    digest: bytes
    records: int
    raw_length: int
    pack: int
    offset: int
    stored_length: int
    stamp: int

    @property
    def place(self) -> tuple[int, int, int, int]:
        """What rows are sorted by."""
        return (self.database, self.cluster, self.page, self.segment)


class PageTable(msgspec.Struct, frozen=True, array_like=True):
    """Databases by name, the digests of the packs, and one row a segment, sorted by place."""

    databases: list[TableDatabase]
    packs: list[bytes]
    rows: list[Row]


def _check(table: PageTable) -> None:
    names = [database.name for database in table.databases]
    if any(a >= b for a, b in pairwise(names)):
        raise MalformedObject("the databases of a page table are not in order")
    if any(len(pack) != 32 for pack in table.packs) or len(set(table.packs)) != len(table.packs):
        raise MalformedObject("the packs of a page table are not distinct digests")
    if any(a.place >= b.place for a, b in pairwise(table.rows)):
        raise MalformedObject("the rows of a page table are not in order")
    databases, packs = len(names), len(table.packs)
    for row in table.rows:
        if not 0 <= row.database < databases or not 0 <= row.pack < packs or len(row.digest) != 32:
            raise MalformedObject(f"the row of {row.place} names a database or pack that is not in the table")
        if row.cluster < DATABASE_PAGE or min(row.page, row.segment, row.records, row.offset, row.stamp) < 0:
            raise MalformedObject(f"the row of {row.place} has a number below 0")
        if row.stored_length <= 0 or row.raw_length <= 0:
            raise MalformedObject(f"the row of {row.place} is of an empty segment")


def encode_table(table: PageTable, nonce: bytes = b"") -> bytes:
    """Return the object of a page table: magic, then one LZ4 frame of MessagePack.

    A `nonce` makes it another object that says the same: it follows in a frame that LZ4 skips.

    Raises:
        MalformedObject: rows are out of order or point nowhere.
    """
    _check(table)
    packed = msgspec.msgpack.encode(table)
    frame: bytes = lz4.frame.compress(packed, content_checksum=True, store_size=True)
    skipped = _SKIPPED.pack(_SKIPPED_MAGIC, len(nonce)) + nonce if nonce else b""
    return _MAGIC + frame + skipped


def decode_table(data: bytes) -> PageTable:
    """Return the page table in an object.

    Raises:
        MalformedObject: it is none of a version known here, or its rows are out of order or point nowhere.
    """
    if data[: len(_MAGIC)] != _MAGIC:
        raise MalformedObject(f"a page table begins with {data[:4].hex()}, not {_MAGIC.hex()}")
    try:
        table = msgspec.msgpack.decode(lz4.frame.decompress(data[len(_MAGIC) :]), type=PageTable)
    except (RuntimeError, ValueError, MemoryError) as error:
        raise MalformedObject(f"a page table cannot be read: {error}") from error
    _check(table)
    return table
