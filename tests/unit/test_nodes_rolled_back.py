"""A directory that was found to be put back stays marked, however the process ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes import rolled_back
from quiesce.errors import DiskFailed, LogRolledBack

FOUND = LogRolledBack(node_id=3, last=7, acknowledged=19, leader_id=1)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    errors: list[BaseException] = []
    monkeypatch.setattr(rolled_back, "end_process", errors.append)
    return errors


def test_it_is_found_again_at_every_start(tmp_path: Path, ended: list[BaseException]) -> None:
    rolled_back.check_not_rolled_back(tmp_path)
    rolled_back.end_and_mark(tmp_path, FOUND)
    assert ended == [FOUND]
    for _ in range(2):
        with pytest.raises(LogRolledBack) as again:
            rolled_back.check_not_rolled_back(tmp_path)
        assert str(again.value) == str(FOUND)


def test_a_damaged_mark_counts_as_well(tmp_path: Path, ended: list[BaseException]) -> None:
    rolled_back.end_and_mark(tmp_path, FOUND)
    (tmp_path / "rolled-back").write_bytes(b"{")
    with pytest.raises(LogRolledBack):
        rolled_back.check_not_rolled_back(tmp_path)


def test_other_errors_leave_no_mark(tmp_path: Path, ended: list[BaseException]) -> None:
    failed = DiskFailed(operation="write", path=tmp_path, detail="EIO")
    rolled_back.end_and_mark(tmp_path, failed)
    assert ended == [failed]
    rolled_back.check_not_rolled_back(tmp_path)


def test_it_ends_where_it_cannot_be_marked(tmp_path: Path, ended: list[BaseException]) -> None:
    with pytest.raises(OSError, match="No such file"):
        rolled_back.end_and_mark(tmp_path / "gone", FOUND)
    assert ended == [FOUND]
