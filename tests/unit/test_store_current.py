"""Which RocksDB directory is in use: one wrong bit in the file that says so must not cost a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.store.current import FILE_NAME, directory_in_use, encode_current
from nodes.store.store import Store
from quiesce.errors import DamagedStore


def test_a_name_round_trips(tmp_path: Path) -> None:
    (tmp_path / "store-12").mkdir()
    (tmp_path / FILE_NAME).write_bytes(encode_current("store-12"))
    assert directory_in_use(tmp_path) == tmp_path / "store-12"


def test_any_flipped_bit_is_found_and_removes_nothing(tmp_path: Path) -> None:
    for name in ("store-1", "store-2", "store-3", "store-7"):
        (tmp_path / name).mkdir()
    sound = encode_current("store-3")
    for bit in range(8 * len(sound)):
        flipped = bytearray(sound)
        flipped[bit // 8] ^= 1 << bit % 8
        (tmp_path / FILE_NAME).write_bytes(flipped)
        with pytest.raises(DamagedStore, match="CURRENT"):
            Store(tmp_path)
    assert len(list(tmp_path.iterdir())) == 5


def test_an_older_file_without_a_checksum_is_read(tmp_path: Path) -> None:
    (tmp_path / "store-3").mkdir()
    (tmp_path / FILE_NAME).write_text("store-3")
    assert directory_in_use(tmp_path) == tmp_path / "store-3"
    # One bit away, and a name that is made where nothing is there yet.
    (tmp_path / FILE_NAME).write_text("store-1")
    with pytest.raises(DamagedStore, match="store-1 is missing"):
        Store(tmp_path)
    assert (tmp_path / "store-3").exists()
