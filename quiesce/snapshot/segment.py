"""Segments: the records of one page, or a part of them, as bytes that depend on the records alone.

Format: docs/formats/snapshot.md, "Segment". Columns rather than rows: both directions then run in C.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from quiesce.snapshot.malformed import MalformedObject

PAGE_POSITIONS = 1024
# A segment is closed before the record that would take it past this many bytes.
SEGMENT_BYTES = 4 << 20
_MAGIC = b"QSG\x01"
_HEADER = struct.Struct(">4sI")
# Position in the page (u16), version (u32), kind (u8), length of the body (u32).
_PER_RECORD = 2 + 4 + 1 + 4
_KINDS = frozenset((1, 2))


class SnapshotRecord(NamedTuple):
    """A record: `kind` is the number of quiesce.v1.RecordKind."""

    position: int
    version: int
    kind: int
    body: bytes


def encode_page(page: int, records: Iterable[tuple[int, int, int, bytes]]) -> Iterator[tuple[bytes, int]]:
    """Yield the segments of a page as (bytes, number of records).

    `records` are (position, version, kind, body) of that page in the order of their positions. None: no segments.

    Raises:
        MalformedObject: a position is outside the page or out of order, or a field is out of its range.
    """
    first = page * PAGE_POSITIONS
    held: list[tuple[int, int, int, bytes]] = []
    size, last = _HEADER.size, -1
    for record in records:
        grown = _PER_RECORD + len(record[3])
        if held and size + grown > SEGMENT_BYTES:
            yield _encode(first, held, last), len(held)
            last = held[-1][0] - first
            held, size = [], _HEADER.size
        held.append(record)
        size += grown
    if held:
        yield _encode(first, held, last), len(held)


def _encode(first: int, records: list[tuple[int, int, int, bytes]], last: int) -> bytes:
    positions, versions, kinds, bodies = zip(*records, strict=True)
    offsets = [position - first for position in positions]
    for offset in offsets:
        if not last < offset < PAGE_POSITIONS:
            raise MalformedObject(f"position {first + offset} is outside the page of {first} or out of order")
        last = offset
    if not _KINDS.issuperset(kinds):
        raise MalformedObject(f"one of the kinds {sorted(set(kinds))} is not known")
    count = len(records)
    try:
        columns = struct.pack(f">{count}H{count}I", *offsets, *versions)
        lengths = struct.pack(f">{count}I", *map(len, bodies))
    except struct.error as error:
        raise MalformedObject(str(error)) from error
    return b"".join((_HEADER.pack(_MAGIC, count), columns, bytes(kinds), lengths, *bodies))


def segment_records(raw: bytes) -> int:
    """Return how many records a segment says it holds.

    Raises:
        MalformedObject: it is not a segment of a version that is known here.
    """
    if len(raw) < _HEADER.size:
        raise MalformedObject(f"a segment of {len(raw)} bytes is too short")
    magic, count = _HEADER.unpack_from(raw)
    if magic != _MAGIC:
        raise MalformedObject(f"a segment begins with {magic.hex()}, not {_MAGIC.hex()}")
    return int(count)


def decode_segment(page: int, raw: bytes) -> list[SnapshotRecord]:
    """Return the records of a segment of page `page`.

    Raises:
        MalformedObject: the bytes are not exactly one segment in its canonical form.
    """
    count = segment_records(raw)
    body = _HEADER.size + count * _PER_RECORD
    if not 0 < count <= PAGE_POSITIONS or len(raw) < body:
        raise MalformedObject(f"a segment of {len(raw)} bytes cannot hold {count} records")
    columns = struct.unpack_from(f">{count}H{count}I{count}B{count}I", raw, _HEADER.size)
    offsets, versions = columns[:count], columns[count : 2 * count]
    kinds, lengths = columns[2 * count : 3 * count], columns[3 * count :]
    if body + sum(lengths) != len(raw):
        raise MalformedObject(f"a segment is {len(raw)} bytes long, not {body + sum(lengths)}")
    if not _KINDS.issuperset(kinds):
        raise MalformedObject(f"one of the kinds {sorted(set(kinds))} is not known")
    if offsets[-1] >= PAGE_POSITIONS or any(a >= b for a, b in pairwise(offsets)):
        raise MalformedObject("positions are outside the page or out of order")
    first = page * PAGE_POSITIONS
    records = []
    for offset, version, kind, length in zip(offsets, versions, kinds, lengths, strict=True):
        records.append(SnapshotRecord(first + offset, version, kind, raw[body : body + length]))
        body += length
    return records
