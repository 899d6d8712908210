import contextlib
import os
import random
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.consensus.disk import Disk
from nodes.consensus.log import INITIAL_INDEX, initialise_log
from nodes.consensus.record import HardState, LogState, Point, StoredEntry, decode_append, encode_append
from nodes.consensus.recovery import fit_to_store, recover_log
from quiesce.errors import DamagedLog, DamagedStore, DirectoryNotEmpty
from tests.simulation.disk import SimulatedDisk
from tests.unit.durable_logs import entry, recover, write

RAFT = Path("/in-memory/raft")
numbers = st.integers(0, (1 << 64) - 1)
entries_of = st.lists(st.builds(StoredEntry, numbers, numbers, st.binary(max_size=50)), max_size=5)


@pytest.fixture
def raft(tmp_path: Path) -> Path:
    initialise_log(tmp_path / "raft", voters=[1, 2, 3], learners=[4])
    return tmp_path / "raft"


@given(numbers, numbers, numbers, entries_of)
def test_an_append_record_holds_what_was_put_in(term, vote, commit, entries):
    hard_state = HardState(term, vote, commit)
    assert decode_append(encode_append(hard_state, entries)) == (hard_state, entries)


@given(st.binary(max_size=200))
def test_any_payload_is_read_or_refused(payload):
    for decode in (decode_append, LogState.decode):
        with contextlib.suppress(ValueError):
            decode(payload)


def test_a_new_log_is_empty_behind_its_base(raft):
    recovered = recover(raft)
    assert recovered.entries == []
    state = recovered.log.state
    assert (state.base, state.voters, state.learners) == (Point(5, 1), (1, 2, 3), (4,))
    assert state.hard_state == HardState(1, 0, 5)


def test_a_log_is_not_initialised_twice(raft):
    with pytest.raises(DirectoryNotEmpty):
        initialise_log(raft, voters=[1])


def test_what_was_appended_is_there_again(raft):
    recovered = recover_log(raft, segment_bytes=300)
    write(recovered.log, 6, 40)
    recovered.log.close()
    assert len(list(raft.glob("*.log"))) > 3
    again = recover(raft)
    assert again.entries == [entry(index) for index in range(6, 41)]
    assert again.log.state.hard_state == HardState(1, 1, 39)
    assert again.last == Point(40, 1)


def test_a_later_record_replaces_a_conflicting_suffix(raft):
    log = recover_log(raft).log
    write(log, 6, 12)
    log.append(HardState(2, 3, 8), [entry(9, 2), entry(10, 2)])
    log.close()
    recovered = recover(raft)
    assert [(one.index, one.term) for one in recovered.entries] == [(6, 1), (7, 1), (8, 1), (9, 2), (10, 2)]
    assert recovered.term_at(9) == 2
    assert recovered.term_at(11) is None


def in_memory() -> SimulatedDisk:
    disk = SimulatedDisk(RAFT.parent, random.Random(0))
    initialise_log(RAFT, voters=[1, 2, 3], disk=disk)
    return disk


def test_a_tail_torn_at_any_byte_is_cut_off():
    disk = in_memory()
    log = recover_log(RAFT, disk=disk).log
    write(log, 6, 9)
    path = log.active_path
    whole = len(disk.file(path).data)
    log.append(HardState(7, 2, 9), [entry(10, 7), entry(11, 7)])
    data = disk.read(path)
    for end in range(whole, len(data)):
        disk.file(path).data[:] = data[:end]
        recovered = recover_log(RAFT, disk=disk)
        assert recovered.last == Point(9, 1)
        assert recovered.log.state.hard_state == HardState(1, 1, 8)
        assert len(disk.file(path).data) == whole
        # What comes next must be readable again.
        recovered.log.append(HardState(8, 0, 9), [entry(10, 8)])
        assert recover_log(RAFT, disk=disk).last == Point(10, 8)


def test_a_tail_whose_sectors_never_reached_the_disk_is_cut_off(raft):
    log = recover_log(raft).log
    write(log, 6, 9)
    whole = log.active_path.stat().st_size
    log.append(HardState(1, 1, 9), [entry(10, size=3000)])
    log.close()
    data = bytearray(log.active_path.read_bytes())
    for sector in range(whole // 512 + 1, len(data) // 512):
        torn = bytearray(data)
        torn[sector * 512 : (sector + 1) * 512] = bytes(512)
        log.active_path.write_bytes(torn)
        assert recover(raft).last == Point(9, 1)
    log.active_path.write_bytes(data[:whole] + bytes(len(data) - whole))
    assert recover(raft).last == Point(9, 1)


def test_a_byte_that_was_flipped_anywhere_is_damage():
    disk = in_memory()
    log = recover_log(RAFT, segment_bytes=400, disk=disk).log
    write(log, 6, 20, size=37)
    paths = disk.list(RAFT, ".log")
    assert len(paths) > 3
    for path in paths:
        for at in range(len(disk.file(path).data)):
            disk.file(path).data[at] ^= 0x10
            with pytest.raises(DamagedLog) as caught:
                recover_log(RAFT, disk=disk)
            assert caught.value.fields["file"] == str(path)
            assert int(caught.value.fields["byte"]) <= at
            disk.file(path).data[at] ^= 0x10
    assert recover_log(RAFT, disk=disk).last.index == 20


def test_a_segment_that_is_missing_or_cut_is_damage(raft):
    log = recover_log(raft, segment_bytes=300).log
    write(log, 6, 30)
    log.close()
    paths = sorted(raft.glob("*.log"))
    assert len(paths) > 3
    middle = paths[1].read_bytes()
    paths[1].unlink()
    with pytest.raises(DamagedLog):
        recover(raft)
    paths[1].write_bytes(middle[:-1])
    with pytest.raises(DamagedLog):
        recover(raft)
    paths[1].write_bytes(middle)
    first = paths[0].read_bytes()
    paths[0].unlink()
    with pytest.raises(DamagedLog):
        recover(raft)
    paths[0].write_bytes(first)
    recover(raft)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory cannot be left out")
def test_a_log_is_read_from_the_disk_and_not_from_memory(raft, monkeypatch):
    dropped = []
    monkeypatch.setattr("os.posix_fadvise", lambda *what: dropped.append(what[1:]), raising=False)
    recover(raft)
    assert dropped == [(0, 0, os.POSIX_FADV_DONTNEED)]


def test_a_flipped_bit_of_a_last_record_with_sectors_of_zeros_is_damage_and_not_a_torn_tail(raft):
    log = recover_log(raft).log
    before = log.active_path.stat().st_size
    log.append(HardState(2, 1, 5), [StoredEntry(6, 2, b"head" + bytes(3000) + b"tail")])
    log.close()
    sound = log.active_path.read_bytes()
    for bit in [*range(8 * before, 8 * before + 8 * 80), *range(8 * before + 800, 8 * len(sound), 97)]:
        flipped = bytearray(sound)
        flipped[bit // 8] ^= 1 << bit % 8
        log.active_path.write_bytes(flipped)
        with pytest.raises(DamagedLog, match="one bit"):
            recover(raft)
    # What a crash loses is still told from that.
    log.active_path.write_bytes(sound[:before] + bytes(512) + sound[before + 512 :])
    assert recover(raft).entries == []


def test_zeros_in_the_middle_of_the_last_segment_are_damage(raft):
    log = recover_log(raft).log
    write(log, 6, 40, size=200)
    log.close()
    data = bytearray(log.active_path.read_bytes())
    data[1024:1536] = bytes(512)
    log.active_path.write_bytes(data)
    with pytest.raises(DamagedLog):
        recover(raft)


def test_a_users_bytes_cannot_pass_for_a_record(raft, tmp_path):
    # A record of another log, in the body of an entry whose own head never reached the disk.
    initialise_log(tmp_path / "other", voters=[1])
    foreign = recover(tmp_path / "other").log.active_path.read_bytes()
    log = recover_log(raft).log
    write(log, 6, 7)
    log.append(HardState(1, 1, 7), [StoredEntry(8, 1, bytes(1024) + foreign)])
    log.close()
    data = log.active_path.read_bytes()
    head = data.rindex(b"\xf5rec", 0, len(data) - len(foreign))
    log.active_path.write_bytes(data[:head] + bytes(len(data) - head - len(foreign)) + foreign)
    assert recover(raft).last == Point(7, 1)


class RecordingDisk(Disk):
    """Counts what was written and not synced."""

    def __init__(self) -> None:
        self.unsynced = 0
        self.syncs = 0

    def write(self, descriptor: int, data: bytes, path: Path) -> None:
        super().write(descriptor, data, path)
        self.unsynced += len(data)

    def sync(self, descriptor: int, path: Path) -> None:
        super().sync(descriptor, path)
        self.unsynced = 0
        self.syncs += 1


def test_every_append_is_on_the_disk_when_it_returns_with_one_sync(raft):
    disk = RecordingDisk()
    log = recover_log(raft, disk=disk).log
    for index in range(6, 12):
        log.append(HardState(1, 1, 5), [entry(index)])
        assert disk.unsynced == 0
        # The first was of recovery.
        assert disk.syncs == index - 4
    log.append(HardState(2, 1, 5), [])
    assert disk.unsynced == 0
    log.close()


def test_a_store_level_with_the_log_changes_nothing(raft):
    log = recover_log(raft).log
    write(log, 6, 20)
    log.close()
    recovered = recover_log(raft)
    assert fit_to_store(recovered, (12, 1), "store") == 12
    assert recovered.last == Point(20, 1)
    assert fit_to_store(recovered, (0, 0), "store") == INITIAL_INDEX
    # What the store has applied is committed, whatever the last hard state on the disk says.
    assert fit_to_store(recovered, (20, 1), "store") == 20
    assert recovered.log.state.hard_state.commit == 20
    recovered.log.close()


@pytest.mark.parametrize("applied", [(100, 4), (15, 4)])
def test_a_store_ahead_of_the_log_makes_it_start_anew(raft, applied):
    log = recover_log(raft).log
    for index in range(6, 16):
        log.append(HardState(2, 3, 8), [entry(index, 2)])
    log.close()
    recovered = recover_log(raft)
    assert fit_to_store(recovered, applied, "store") == applied[0]
    assert recovered.entries == []
    recovered.log.close()
    again = recover(raft).log.state
    assert again.base == Point(*applied)
    assert again.hard_state == HardState(4, 0, applied[0])


def test_a_vote_survives_when_the_log_starts_anew(raft):
    log = recover_log(raft).log
    log.append(HardState(9, 3, 5), [])
    log.close()
    recovered = recover_log(raft)
    fit_to_store(recovered, (100, 4), "store")
    recovered.log.close()
    assert recover(raft).log.state.hard_state == HardState(9, 3, 100)


def test_a_store_that_contradicts_the_committed_log_is_refused(raft):
    log = recover_log(raft).log
    write(log, 6, 20)
    log.close()
    with pytest.raises(DamagedLog):
        fit_to_store(recover(raft), (10, 2), "store")


def test_a_store_older_than_the_log_is_refused(tmp_path):
    initialise_log(tmp_path / "raft", index=1_000_000_100, term=8, voters=[1])
    with pytest.raises(DamagedStore):
        fit_to_store(recover(tmp_path / "raft"), (0, 0), "store")
