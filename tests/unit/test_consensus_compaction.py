"""Which segments of a log go, and that nothing goes with them that counts."""

from pathlib import Path

import pytest

from nodes.consensus.disk import Disk
from nodes.consensus.log import INITIAL_INDEX, initialise_log
from nodes.consensus.record import HardState, LogState, Point
from nodes.consensus.recovery import recover_log
from tests.unit.durable_logs import entry, recover, write


@pytest.fixture
def raft(tmp_path: Path) -> Path:
    initialise_log(tmp_path / "raft", voters=[1, 2, 3], learners=[4])
    return tmp_path / "raft"


def test_compaction_drops_whole_segments_and_keeps_the_rest(raft):
    log = recover_log(raft, segment_bytes=400).log
    write(log, 6, 60)
    size = log.size
    index = log.compactable(40, 500)
    assert INITIAL_INDEX < index <= 40
    log.compact(Point(index, 1))
    assert log.size < size
    assert log.compactable(index, 500) == 0
    write(log, 61, 65)
    log.close()
    recovered = recover(raft, segment_bytes=400)
    assert recovered.log.state.base == Point(index, 1)
    assert recovered.entries == [entry(one) for one in range(index + 1, 66)]
    assert recovered.term_at(index) == 1


def test_compaction_keeps_a_tail_for_slow_followers(raft):
    log = recover_log(raft, segment_bytes=400).log
    write(log, 6, 60)
    log.compact(Point(log.compactable(60, 1000), 1))
    assert log.size >= 1000
    log.close()


class Forgetful(Disk):
    """Removes no segment, like a crash just before."""

    def remove(self, path: Path) -> None:
        if path.suffix == ".new":
            super().remove(path)


def test_compaction_up_to_an_index_whose_commit_was_never_written(raft):
    log = recover_log(raft, segment_bytes=400).log
    for index in range(6, 41):
        log.append(HardState(1, 1, 5), [entry(index)])
    index = log.compactable(30, 500)
    assert index > 5
    log.compact(Point(index, 1))
    log.close()
    assert recover(raft, segment_bytes=400).log.state.hard_state.commit == index


def test_a_suffix_replaced_from_before_what_is_left_of_the_old_one(raft):
    log = recover_log(raft, segment_bytes=400).log
    write(log, 6, 30)
    log.append(HardState(2, 0, 9), [entry(10, 2)])
    for index in range(11, 31):
        log.append(HardState(2, 0, index - 1), [entry(index, 2)])
    log.compact(Point(log.compactable(28, 400), 2))
    base = log.state.base
    log.close()
    assert base.index > 10
    recovered = recover(raft, segment_bytes=400)
    assert [(one.index, one.term) for one in recovered.entries] == [(index, 2) for index in range(base.index + 1, 31)]


@pytest.mark.parametrize("restarted", [False, True])
def test_segments_of_what_was_replaced_do_not_wait_for_the_log_to_get_there_again(raft, restarted):
    disk = Forgetful() if restarted else Disk()
    log = recover_log(raft, segment_bytes=400, disk=disk).log
    write(log, 6, 60)
    log.compact(Point(log.compactable(20, 0), 1))
    base, long = log.state.base.index, log.size
    for index in range(base + 1, base + 3):
        log.append(HardState(2, 0, base), [entry(index, 2)])
    if restarted:
        log.close()
        log = recover_log(raft, segment_bytes=400).log
    assert log.size < long / 3
    log.close()
    assert recover(raft).entries == [entry(base + 1, 2), entry(base + 2, 2)]


def test_a_segment_of_which_only_the_tail_was_replaced_stays(raft):
    log = recover_log(raft, segment_bytes=400).log
    write(log, 6, 60)
    # The first segment holds 6, 7 and 8.
    log.append(HardState(2, 0, 7), [entry(8, 2)])
    assert log.compactable(8, 0) == 7
    log.close()
    assert [(one.index, one.term) for one in recover(raft).entries] == [(6, 1), (7, 1), (8, 2)]


def test_a_crash_between_compaction_and_removal_loses_nothing(raft):
    log = recover_log(raft, segment_bytes=400, disk=Forgetful()).log
    write(log, 6, 60)
    before = sorted(raft.glob("*.log"))
    index = log.compactable(40, 500)
    log.compact(Point(index, 1))
    log.close()
    assert sorted(raft.glob("*.log")) == before
    recovered = recover(raft)
    assert recovered.log.state.base == Point(index, 1)
    assert recovered.entries[0].index == index + 1
    assert len(sorted(raft.glob("*.log"))) < len(before)


def test_a_reset_forgets_what_was_before(raft):
    log = recover_log(raft).log
    write(log, 6, 20)
    log.reset(LogState(HardState(3, 0, 100), Point(100, 3), (1, 2, 3, 5)))
    log.append(HardState(3, 0, 100), [entry(101, 3)])
    log.close()
    assert len(list(raft.glob("*.log"))) == 1
    recovered = recover(raft)
    assert recovered.entries == [entry(101, 3)]
    assert recovered.log.state.voters == (1, 2, 3, 5)


def test_a_crash_between_reset_and_removal_brings_no_old_entry_back(raft):
    log = recover_log(raft, disk=Forgetful()).log
    write(log, 6, 20)
    log.reset(LogState(HardState(3, 0, 10), Point(10, 3), (1, 2, 3)))
    log.close()
    assert len(list(raft.glob("*.log"))) == 2
    assert recover(raft).last == Point(10, 3)
    assert len(list(raft.glob("*.log"))) == 1
