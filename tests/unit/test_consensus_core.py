import subprocess
import sys
from collections.abc import Iterable

import pytest

from nodes._native import RaftCore, describe_snapshot

FOLLOWER, LEADER = 1, 3


def core(node_id: int, *, voters: Iterable[int] = (1, 2, 3), base: tuple[int, int] = (5, 1)) -> RaftCore:
    return RaftCore(
        node_id=node_id, applied=base[0], hard_state=(base[1], 0, base[0]), voters=list(voters), learners=[],
        base=base, entries=[], election_tick=10, heartbeat_tick=1, max_size_per_msg=1 << 20, max_inflight_msgs=16,
    )  # fmt: skip


def exchange(cores: dict[int, RaftCore], snapshots: list[tuple[int, int, bytes]] | None = None) -> None:
    """Carry out all readies and deliver all messages until nothing moves."""
    moved = True
    while moved:
        moved = False
        for one in cores.values():
            while (ready := one.ready()) is not None:
                moved = True
                light = one.advance()
                for to, message in [*ready.messages, *ready.persisted_messages, *light.messages]:
                    if to in cores:
                        cores[to].step([message])
                if snapshots is not None:
                    snapshots += [*ready.snapshots, *light.snapshots]


def elected() -> dict[int, RaftCore]:
    cores = {node: core(node) for node in (1, 2, 3)}
    cores[1].campaign()
    exchange(cores)
    assert cores[1].status().role == LEADER
    return cores


def test_entries_proposed_together_are_committed_everywhere_in_order():
    cores = elected()
    assert cores[1].propose([b"a", b"b", b"c"]) == (7, cores[1].status().term)
    exchange(cores)
    cores[1].tick()
    exchange(cores)
    for one in cores.values():
        assert [data for _, _, data in one.entries(6, 10, 1 << 20)] == [b"", b"a", b"b", b"c"]
        assert one.term_at(9) == cores[1].status().term
        assert one.term_at(10) is None
    assert [node for node, *_ in cores[1].status().progress] == [1, 2, 3]


def test_only_a_leader_takes_proposals():
    cores = elected()
    assert cores[2].status().role == FOLLOWER
    assert cores[2].propose([b"a"]) is None


def test_a_ready_must_be_advanced_before_the_next():
    one = core(1, voters=[1])
    one.campaign()
    assert one.ready() is not None
    with pytest.raises(RuntimeError):
        one.ready()
    one.advance()
    with pytest.raises(RuntimeError):
        one.advance()


def test_only_committed_entries_are_given_out_and_at_least_one():
    cores = elected()
    cores[1].propose([b"x" * 1000, b"y" * 1000])
    with pytest.raises(ValueError, match="committed log"):
        cores[1].entries(6, 9, 1)
    exchange(cores)
    assert len(cores[1].entries(7, 9, 1)) == 1
    assert len(cores[1].entries(7, 9, 1 << 20)) == 2


def test_a_follower_behind_the_compacted_log_asks_for_a_snapshot():
    cores = elected()
    cut = cores.pop(3)
    cores[1].propose([b"a"] * 20)
    exchange(cores)
    cores[1].advance_apply_to(26)
    cores[1].compact(20)
    assert cores[1].status().first_index == 21
    cores[3] = cut
    snapshots: list[tuple[int, int, bytes]] = []
    cores[1].report_unreachable(3)
    for _ in range(3):
        cores[1].tick()
        exchange(cores, snapshots)
    assert snapshots == []
    assert cores[1].snapshot_wanted() == (3, 20)
    assert cores[1].snapshot_wanted() is None
    cores[1].set_snapshot(22, cores[1].term_at(22) or 0, b"")
    cores[1].tick()
    exchange(cores, snapshots)
    ((to, index, message),) = snapshots
    assert (to, index) == (3, 22)
    assert describe_snapshot(message) == (1, 22, cores[1].term_at(22))

    cores[3].step([message])
    ready = cores[3].ready()
    assert ready is not None
    assert ready.snapshot is not None
    assert ready.snapshot[:2] == (22, cores[1].term_at(22))
    assert sorted(ready.snapshot[3]) == [1, 2, 3]
    light = cores[3].advance()
    for to, answer in [*ready.persisted_messages, *light.messages]:
        cores[to].step([answer])
    cores[1].report_snapshot(3, True)
    cores[1].tick()
    exchange(cores)
    assert cores[3].status().commit == 26
    assert cores[3].status().first_index == 23


def test_garbage_is_refused():
    one = core(1)
    local_kind, of_a_stranger = b"\x08\x00", b"\x08\x04\x18\x63"
    assert one.step([b"\xff\xff\xff", local_kind, of_a_stranger]) == 3
    assert one.ready() is None
    with pytest.raises(ValueError, match="no snapshot"):
        describe_snapshot(b"\x08\x03")


def test_a_panic_ends_the_process():
    source = """
from nodes._native import RaftCore
try:
    RaftCore(node_id=1, applied=5, hard_state=(1, 0, 99), voters=[1], learners=[], base=(5, 1), entries=[],
             election_tick=10, heartbeat_tick=1, max_size_per_msg=1, max_inflight_msgs=1)
finally:
    print("went on")
"""
    ended = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode != 0
    assert "went on" not in ended.stdout
    assert "the consensus core cannot go on" in ended.stderr
    assert "out of range" in ended.stderr
