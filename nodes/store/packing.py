"""Scans of records as they travel: packed into the wire form of ScanResponse, without an object for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rocksdict import RdictIter

from nodes.store.engine import translated
from quiesce._native import pack_records
from quiesce.errors import DamagedStore

# Packed at once, and with that without a chance for other threads: some blocks of a table.
STEP_RECORDS = 250
STEP_BYTES = 64 << 10


class Packed(NamedTuple):
    """Records as they stand in a ScanResponse: what is behind it in a message adds to the same message."""

    records: int
    wire: bytes


def pack(rows: RdictIter, begin: bytes, end: bytes, where: Path, limit: int | None) -> Iterator[Packed]:
    """Yield the records of an iterator from `begin` to before `end`, at most `limit`, packed in steps.

    Raises:
        DamagedStore: a block does not match its checksum, or a row is no record.
    """
    left = limit
    try:
        rows.seek(begin)
        more = True
        while more and left != 0:
            most = STEP_RECORDS if left is None else min(STEP_RECORDS, left)
            wire, count, more = pack_records(rows, end, most, STEP_BYTES)
            if left is not None:
                left -= count
            if not more:
                rows.status()
            if count:
                yield Packed(count, wire)
    except ValueError as error:
        raise DamagedStore(path="records", detail=error) from error
    except Exception as error:
        raise translated(error, "reading", where) from error
