import contextlib
import random
from pathlib import Path

from nodes.consensus.log import initialise_log
from nodes.consensus.record import HardState, LogState, Point, StoredEntry
from nodes.consensus.recovery import recover_log
from tests.simulation.disk import PowerLoss, SimulatedDisk

RAFT = Path("/in-memory/raft")


def entry(index: int) -> StoredEntry:
    return StoredEntry(index, 1, bytes([index]) * 20)


def in_memory(seed: int) -> SimulatedDisk:
    disk = SimulatedDisk(RAFT.parent, random.Random(seed))
    initialise_log(RAFT, voters=[1, 2, 3], disk=disk)
    return disk


def test_whenever_the_power_is_lost_all_that_was_acknowledged_is_there_again():
    finished = False
    for power in range(120):
        disk = in_memory(power)
        acknowledged, base = 5, 5
        log = recover_log(RAFT, segment_bytes=300, disk=disk).log
        disk.power = power
        try:
            for index in range(6, 22):
                log.append(HardState(1, 1, index - 1), [entry(index)])
                acknowledged = index
            compacted = log.compactable(15, 300)
            log.compact(Point(compacted, 1))
            base = compacted
            log.reset(LogState(HardState(2, 0, 50), Point(50, 2), (1,)))
            acknowledged, base, finished = 50, 50, True
        except PowerLoss:
            disk.crash(power=True)
        disk.power = None
        recovered = recover_log(RAFT, segment_bytes=300, disk=disk)
        found = recovered.log.state.base.index
        assert recovered.last.index >= acknowledged
        assert found >= base
        assert [one.index for one in recovered.entries] == list(range(found + 1, recovered.last.index + 1))
    assert finished


def test_what_a_killed_process_wrote_is_on_the_disk_before_the_next_one_goes_on():
    # Its records stay in the page cache, and the next process reads them: as if they could not be lost.
    kept = 0
    for power in range(1, 12):
        disk = in_memory(power)
        log = recover_log(RAFT, segment_bytes=150, disk=disk).log
        disk.power = power
        with contextlib.suppress(PowerLoss):
            for index in range(6, 12):
                log.append(HardState(index, 1, index - 1), [entry(index)])
        disk.crash(power=False)
        found = recover_log(RAFT, segment_bytes=150, disk=disk)
        disk.crash(power=True)
        again = recover_log(RAFT, segment_bytes=150, disk=disk)
        assert again.last == found.last
        assert again.log.state.hard_state == found.log.state.hard_state
        kept += found.last.index > 5
    assert kept > 5
