import subprocess
import sys
from collections.abc import Iterable

import pytest

from quiesce._native import LogCutShort, RaftCore, describe_snapshot, snapshot_members

FOLLOWER, LEADER = 1, 3


def core(node_id: int, *, voters: Iterable[int] = (1, 2, 3), base: tuple[int, int] = (5, 1), term: int = 1) -> RaftCore:
    return RaftCore(
        node_id=node_id, applied=base[0], hard_state=(max(term, base[1]), 0, base[0]), voters=list(voters), learners=[],
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
        assert [data for _, _, data, _ in one.entries(6, 10, 1 << 20)] == [b"", b"a", b"b", b"c"]
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


def test_a_checkpoint_that_is_installed_counts_although_its_sender_leads_no_more():
    cores = elected()
    cores[1].propose([b"x"] * 20)
    exchange({1: cores[1], 2: cores[2]})
    cores[1].advance_apply_to(26)
    cores[1].compact(20)
    cores[1].set_snapshot(22, cores[1].term_at(22) or 0, b"", [1, 2, 3], [])
    cores[1].report_unreachable(3)
    snapshots: list[tuple[int, int, bytes]] = []
    while not snapshots:
        cores[1].tick()
        exchange(cores, snapshots)
    late = core(3, term=9)
    late.step([snapshots[0][2]])
    assert late.status().first_index == 6
    late.campaign()
    late.restore(snapshots[0][2])
    ready = late.ready()
    assert ready is not None
    assert ready.snapshot is not None
    assert ready.snapshot[0] == 22
    late.advance()
    status = late.status()
    assert (status.first_index, status.commit, status.term, status.role) == (23, 22, 9, FOLLOWER)


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
    # A snapshot of a moment at which the follower was no member is none for it.
    cores[1].set_snapshot(22, cores[1].term_at(22) or 0, b"", [1, 2], [])
    cores[1].tick()
    exchange(cores, snapshots)
    assert snapshots == []
    assert cores[1].snapshot_wanted() == (3, 20)
    cores[1].set_snapshot(22, cores[1].term_at(22) or 0, b"", [1, 2], [3])
    cores[1].tick()
    exchange(cores, snapshots)
    ((to, index, message),) = snapshots
    assert (to, index) == (3, 22)
    assert describe_snapshot(message) == (1, 22, cores[1].term_at(22))
    assert snapshot_members(message) == [1, 2, 3]

    cores[3].step([message])
    ready = cores[3].ready()
    assert ready is not None
    assert ready.snapshot is not None
    assert ready.snapshot[:2] == (22, cores[1].term_at(22))
    assert (sorted(ready.snapshot[3]), ready.snapshot[4]) == ([1, 2], [3])
    light = cores[3].advance()
    for to, answer in [*ready.persisted_messages, *light.messages]:
        cores[to].step([answer])
    cores[1].report_snapshot(3, True)
    cores[1].tick()
    exchange(cores)
    assert cores[3].status().commit == 26
    assert cores[3].status().first_index == 23


def settle(cores: dict[int, RaftCore]) -> None:
    """Let everything be committed, and counted as applied."""
    for _ in range(2):
        for one in cores.values():
            one.tick()
        exchange(cores)
        for one in cores.values():
            one.advance_apply_to(one.status().commit)


def test_a_change_of_the_membership_waits_for_the_one_before():
    cores = elected()
    # Until the leader has committed something of its own term, and applied what came before it.
    cores = {**cores, 1: core(1, voters=[1])}
    cores[1].campaign()
    assert cores[1].propose_membership("add_learner", 4, b"x") is None
    exchange({1: cores[1]})
    index, term = cores[1].propose_membership("add_learner", 4, b"x") or (0, 0)
    assert (index, term) == (7, cores[1].status().term)
    assert cores[1].status().changing
    assert cores[1].propose_membership("add_learner", 5, b"y") is None
    exchange({1: cores[1]})
    assert cores[1].entries(7, 8, 1 << 20) == [(7, term, b"x", True)]
    cores[1].advance_apply_to(6)
    assert cores[1].propose_membership("add_learner", 5, b"y") is None
    assert cores[1].configure([1], [4])
    assert not cores[1].configure([1], [4])
    cores[1].advance_apply_to(7)
    assert not cores[1].status().changing
    assert cores[1].status().learners == [4]
    with pytest.raises(ValueError, match="no change"):
        cores[1].propose_membership("swap", 5, b"y")
    # It is not told of one that the state refused; nothing has changed then.
    assert cores[1].propose_membership("promote", 4, b"z") == (8, term)
    exchange({1: cores[1]})
    cores[1].advance_apply_to(8)
    assert not cores[1].status().changing
    assert (cores[1].status().voters, cores[1].status().learners) == ([1], [4])


def test_a_leader_that_is_removed_steps_down_and_its_disk_may_still_answer():
    cores = elected()
    settle(cores)
    assert cores[1].propose_membership("remove", 1, b"")
    exchange(cores)
    # An entry that is on its way to the disk when the configuration changes.
    cores[1].propose([b"late"])
    assert cores[1].configure([2, 3], [])
    exchange(cores)
    assert cores[1].status().role == FOLLOWER
    for _ in range(40):
        cores[1].tick()
    exchange(cores)
    assert cores[1].status().role == FOLLOWER


def test_a_smaller_majority_commits_what_waited_for_the_larger():
    cores = elected()
    settle(cores)
    alone = {1: cores[1]}
    cores[1].propose([b"waits"])
    exchange(alone)
    commit = cores[1].status().commit
    cores[1].configure([1], [])
    exchange(alone)
    assert cores[1].status().commit > commit


def test_several_changes_at_once_go_through_both_majorities():
    cores = elected()
    settle(cores)
    assert cores[1].configure([1, 4, 5], [6])
    status = cores[1].status()
    assert (status.voters, status.learners) == ([1, 4, 5], [6])
    assert status.role == LEADER
    joining = core(7, voters=[], base=(0, 0))
    assert joining.configure([1, 2], [7])
    assert (joining.status().voters, joining.status().learners) == ([1, 2], [7])


@pytest.mark.parametrize("size", [1, 2])
def test_the_commitment_of_a_change_is_announced_before_the_messages_that_tell_of_it(size):
    cores = {node: core(node, voters=range(1, size + 1)) for node in range(1, size + 1)}
    cores[1].campaign()
    exchange(cores)
    settle(cores)
    assert cores[1].propose_membership("add_learner", 9, b"")
    index = cores[1].status().last_index
    told = []
    moved = True
    while moved:
        moved = False
        for node, one in cores.items():
            while (ready := one.ready()) is not None:
                moved = True
                before = one.status().commit
                light = one.advance()
                told += [(node, flag) for flag in (ready.commit_first, light.commit_first) if flag]
                assert not ready.commit_first or before >= index
                for to, message in [*ready.messages, *ready.persisted_messages, *light.messages]:
                    cores[to].step([message])
    assert told == [(1, True)]
    assert cores[1].status().commit == index


def test_garbage_is_refused():
    one = core(1)
    local_kind, of_a_stranger = b"\x08\x00", b"\x08\x04\x18\x63"
    assert one.step([b"\xff\xff\xff", local_kind, of_a_stranger]) == 3
    assert one.ready() is None
    with pytest.raises(ValueError, match="no snapshot"):
        describe_snapshot(b"\x08\x03")


def test_a_log_that_was_cut_behind_what_it_acknowledged_is_named():
    cores = elected()
    cores[1].propose([b"a"] * 20)
    exchange(cores)
    # As at a start on an old copy of the directory.
    cores[3] = core(3)
    cores[1].tick()
    with pytest.raises(LogCutShort) as found:
        exchange(cores)
    assert found.value.args == (1, 26, 5)
    # A new leader does not know what it has acknowledged, and sends all of it anew.
    cores[3] = core(3)
    cores[2].campaign()
    exchange({2: cores[2], 3: cores[3], 1: cores[1]})


def test_a_panic_ends_the_process():
    source = """
from quiesce._native import RaftCore
try:
    RaftCore(node_id=1, applied=5, hard_state=(1, 0, 99), voters=[1], learners=[], base=(5, 1), entries=[],
             election_tick=10, heartbeat_tick=1, max_size_per_msg=1, max_inflight_msgs=1)
finally:
    print("went on")
"""
    ended = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode != 0
    assert "went on" not in ended.stdout
    assert "the native part cannot go on" in ended.stderr
    assert "out of range" in ended.stderr
