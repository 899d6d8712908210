"""What is taken at which level of a disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.config import node_config
from nodes.room.watermark import SMALL_APPEND_BYTES, Watermark, default_reserve, free_bytes, start_bytes
from quiesce.errors import InvalidConfiguration

MEBIBYTE = 1 << 20
RESERVE = 160 * MEBIBYTE


class Disk:
    def __init__(self, free: int) -> None:
        self.free = free

    def __call__(self) -> int:
        if self.free < 0:
            raise OSError
        return self.free


def test_writes_are_taken_above_the_reserve_and_again_some_way_above_it() -> None:
    disk = Disk(RESERVE)
    mark = Watermark(disk, RESERVE)
    assert (mark.full, mark.takes_writes) == (False, True)
    disk.free = RESERVE - 1
    assert mark.look() is True
    assert (mark.full, mark.takes_writes) == (True, False)
    disk.free = RESERVE + 1
    assert mark.look() is False
    assert not mark.takes_writes
    disk.free = RESERVE + RESERVE // 5
    assert mark.look() is True
    assert mark.takes_writes


def test_what_is_under_way_counts_before_it_is_on_the_disk() -> None:
    disk = Disk(RESERVE + 10 * MEBIBYTE)
    mark = Watermark(disk, RESERVE)
    mark.spend(2 * MEBIBYTE)
    assert mark.takes_writes
    mark.spend(1 * MEBIBYTE)
    assert not mark.takes_writes
    # A look says what has become of it.
    assert mark.look() is False
    assert mark.takes_writes


@pytest.mark.parametrize(
    ("free", "large", "small"),
    [(RESERVE // 2, True, True), (RESERVE // 2 - 1, False, True), (RESERVE // 16, False, True), (1000, False, False)],
)
def test_a_follower_takes_less_and_less(free: int, large: bool, small: bool) -> None:
    mark = Watermark(Disk(free), RESERVE)
    assert mark.takes_append(SMALL_APPEND_BYTES + 1) is large
    assert mark.takes_append(SMALL_APPEND_BYTES) is small


def test_a_disk_that_cannot_be_measured_is_as_it_was() -> None:
    disk = Disk(-1)
    mark = Watermark(disk, RESERVE)
    assert mark.takes_writes
    disk.free = 5
    mark.look()
    disk.free = -1
    mark.look()
    assert (mark.free, mark.full) == (5, True)


def test_no_reserve_refuses_nothing() -> None:
    mark = Watermark(Disk(0), 0)
    assert mark.takes_writes
    assert mark.takes_append(1 << 30)
    assert start_bytes(0) == 0


def test_the_reserve_of_a_disk(tmp_path: Path) -> None:
    assert 0 < default_reserve(tmp_path) <= 1 << 30
    assert free_bytes(tmp_path) > 0
    assert start_bytes(1 << 30) == 128 * MEBIBYTE
    assert start_bytes(64 * MEBIBYTE) == 16 * MEBIBYTE
    values = {"node_id": 1, "data": "d"}
    assert node_config(values).disk_reserve is None
    assert node_config({**values, "disk_reserve": "512MiB"}).disk_reserve == 512 * MEBIBYTE
    assert node_config({**values, "disk_reserve": 0}).disk_reserve == 0
    with pytest.raises(InvalidConfiguration, match="disk_reserve: `much`"):
        node_config({**values, "disk_reserve": "much"})
