"""Entries that do not follow each other are damage, between two records and inside one."""

from pathlib import Path

import pytest

from nodes.consensus.log import initialise_log
from nodes.consensus.record import HardState, StoredEntry
from nodes.consensus.recovery import recover_log
from quiesce.errors import DamagedLog

HARD = HardState(2, 1, 5)


@pytest.mark.parametrize("records", [[[6, 7], [9]], [[6, 8]], [[6, 7, 7]]])
def test_entries_that_do_not_follow(tmp_path: Path, records: list[list[int]]) -> None:
    initialise_log(tmp_path, voters=[1])
    log = recover_log(tmp_path).log
    for indexes in records:
        log.append(HARD, [StoredEntry(index, 2, b"x") for index in indexes])
    log.close()
    with pytest.raises(DamagedLog, match="does not follow"):
        recover_log(tmp_path)


def test_the_last_hard_state_counts(tmp_path: Path) -> None:
    initialise_log(tmp_path, voters=[1])
    log = recover_log(tmp_path).log
    log.append(HARD, [StoredEntry(6, 2, b"x")])
    log.append(HardState(3, 2, 6), [])
    log.close()
    found = recover_log(tmp_path)
    assert found.log.state.hard_state == HardState(3, 2, 6)
    assert [entry.index for entry in found.entries] == [6]
