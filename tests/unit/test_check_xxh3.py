"""The hash behind RocksDB's blocks, against the blocks of a table that RocksDB wrote."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from nodes.check.table import block_checksum, check_table
from nodes.check.xxh3 import xxh3
from nodes.store.engine import Engine

# From the tests of xxHash itself.
EMPTY = 0x2D06800538D394C2


def table(directory: Path, rows: int, size: int) -> bytes:
    engine = Engine(directory)
    writer = engine.table_writer(directory.parent / "table.sst")
    rng = random.Random(rows)
    for row in range(rows):
        writer[b"%08d" % row] = rng.randbytes(size)
    writer.finish()
    engine.close()
    return (directory.parent / "table.sst").read_bytes()


def test_nothing_has_the_hash_that_is_known() -> None:
    assert xxh3(b"") == EMPTY


@pytest.mark.parametrize("size", [*range(11, 130, 7), 140, 200, 232, 300, 1100, 5000])
def test_the_first_block_of_a_table_has_the_checksum_that_rocksdb_gave_it(tmp_path: Path, size: int) -> None:
    # One row that does not compress: key, lengths and eight bytes of RocksDB's own, then the value, then a restart.
    data = table(tmp_path / "db", 1, size)
    for length in range(size, size + 40):
        compression = data[length]
        if compression == 0 and data[length + 1 : length + 5] == block_checksum(data[:length], 0).to_bytes(4, "little"):
            return
    pytest.fail(f"no block of about {size} bytes")


def test_a_table_is_sound_and_any_flipped_bit_behind_its_rows_is_found(tmp_path: Path) -> None:
    data = table(tmp_path / "db", 300, 100)
    assert check_table(data) == (3, [])
    missed = 0
    for at in range(len(data) - 1500, len(data)):
        flipped = data[:at] + bytes((data[at] ^ 1 << at % 8,)) + data[at + 1 :]
        missed += not check_table(flipped)[1]
    # The index of its rows, which RocksDB reads; and where that stands.
    assert missed < 200
    assert all(check_table(data[:size])[1] for size in (0, 10, 52, 53, 1000))
