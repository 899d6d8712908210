"""What a replica has on its disk when its messages leave; everything else about it is in tests/simulation."""

import random
from collections.abc import Sequence
from pathlib import Path

from nodes.consensus.log import initialise_log
from nodes.consensus.membership import MembershipProposal
from nodes.consensus.options import ConsensusOptions
from nodes.consensus.ports import PeerMessages
from nodes.consensus.record import HardState, StoredEntry
from nodes.consensus.recovery import recover_log
from nodes.consensus.replica import Replica
from nodes.consensus.starting import recover
from quiesce._native import RaftCore
from tests.simulation.disk import SimulatedDisk
from tests.simulation.durable import DurableState
from tests.simulation.messages import APPEND, APPEND_RESPONSE, HEARTBEAT, HEARTBEAT_RESPONSE, read_message

RAFT = Path("/data/raft")


class Sent:
    """Notes what was on its disk when a node sent what."""

    applied = 5

    def __init__(self, durable: DurableState) -> None:
        self.durable = durable
        self.messages = []
        self.discarded = []

    def send(self, messages):
        self.durable.refresh()
        self.messages += [(read_message(message), self.durable.hard_state) for _, message in messages]

    def discard(self, directory):
        self.discarded.append(directory)

    def install(self, directory, done):
        raise AssertionError("it was to be refused")

    def leader_changed(self):
        pass

    def has_room(self):
        return False

    def make_checkpoint(self):
        pass


class Empty:
    applied = (0, 0)
    membership = None


def replica(node_id: int, voters: list[int], learners: list[int], entries: Sequence[StoredEntry] = (), **bounds: int):
    disk = SimulatedDisk(RAFT.parent, random.Random(1))
    initialise_log(RAFT, voters=voters, learners=learners, disk=disk)
    if entries:
        recover_log(RAFT, disk=disk).log.append(HardState(1, 1, 5), entries)
    options = ConsensusOptions(disk=disk, **bounds)
    core, log, _ = recover(node_id, RAFT, Empty(), options, priority=0)
    sent = Sent(DurableState(disk, RAFT, RAFT.parent / "store"))
    made = Replica(
        node_id=node_id, core=core, log=log, applier=sent, effects=sent, post=None, options=options, context=lambda: b""
    )
    return made, sent


def test_the_only_voter_writes_its_term_down_before_a_learner_hears_of_it():
    # An eraftpb.Entry of index 6 and term 1 that is not known to be committed.
    made, sent = replica(1, [1], [2], [StoredEntry(6, 1, b"\x10\x01\x18\x06")])
    for _ in range(40):
        made.tick()
    appends = [(message.term, on_disk.term) for message, on_disk in sent.messages if message.type == APPEND]
    assert appends
    assert all(on_disk == term for term, on_disk in appends)


def test_a_change_of_the_membership_is_committed_on_disk_before_anybody_hears_of_it():
    made, sent = replica(1, [1], [2])
    for _ in range(40):
        made.tick()
    # All that was committed before counts as applied.
    made.core.advance_apply_to(made.status.commit)
    made.take([PeerMessages(2, [acknowledged(2, made.status.term, 6)], 0)])
    made.take([MembershipProposal(1, "remove", 2, b"")])
    change = made.core.status().last_index
    assert made.core.status().commit == change
    told = [on_disk.commit for message, on_disk in sent.messages if message.commit >= change]
    assert told
    assert min(told) >= change


def acknowledged(sender: int, term: int, index: int) -> bytes:
    """Return an eraftpb.Message by hand."""
    return bytes([0x08, APPEND_RESPONSE, 0x10, 1, 0x18, sender, 0x20, term, 0x30, index])


def append(sender: int, term: int, *, after: tuple[int, int], commit: int) -> bytes:
    """Return an eraftpb.Message with one empty entry of its term."""
    index, log_term = after
    entry = [0x10, term, 0x18, index + 1]
    head = [0x08, APPEND, 0x10, 1, 0x18, sender, 0x20, term, 0x28, log_term, 0x30, index]
    return bytes([*head, 0x3A, len(entry), *entry, 0x40, commit])


def test_a_log_too_long_with_what_was_never_committed_takes_the_append_that_cuts_it_off():
    made, sent = replica(1, [1, 2, 3], [], never_committed(), memory_bytes=4096, segment_bytes=4096)
    long = made.log.size
    made.take([PeerMessages(2, [append(2, 2, after=(5, 1), commit=5)], 0)])
    assert [answer.index for answer, _ in sent.messages if answer.type == APPEND_RESPONSE and not answer.reject] == [6]
    assert made.log.size < long / 2


def test_a_log_too_long_with_what_the_store_has_yet_to_apply_takes_no_append():
    made, sent = replica(1, [1, 2, 3], [], never_committed(), memory_bytes=4096)
    last = made.status.last_index
    made.take([PeerMessages(2, [commits(2, 1, last)], 0)])
    assert made.core.status().commit == last
    sent.messages.clear()
    made.take([PeerMessages(2, [append(2, 1, after=(last, 1), commit=last)], 0)])
    assert sent.messages == []
    sent.applied = last
    made.take([PeerMessages(2, [append(2, 1, after=(last, 1), commit=last)], 0)])
    assert [answer.index for answer, _ in sent.messages if answer.type == APPEND_RESPONSE] == [last + 1]


def never_committed() -> list[StoredEntry]:
    """Return entries of term 1 behind index 5, longer in all than the 4 KiB that the log of these tests may hold."""
    data = bytes([0x10, 1, 0x18, 6, 0x22, 100, *bytes(100)])
    return [StoredEntry(index, 1, data[:3] + bytes([index]) + data[4:]) for index in range(6, 66)]


def commits(sender: int, term: int, index: int) -> bytes:
    """Return an eraftpb.Message that is a heartbeat."""
    return bytes([0x08, HEARTBEAT, 0x10, 1, 0x18, sender, 0x20, term, 0x40, index])


def test_a_checkpoint_of_a_moment_at_which_the_node_was_no_member_is_not_installed():
    leader = RaftCore(
        node_id=1, applied=5, hard_state=(1, 0, 5), voters=[1], learners=[], base=(5, 1), entries=[], election_tick=10,
        heartbeat_tick=1, max_size_per_msg=1 << 20, max_inflight_msgs=16,
    )  # fmt: skip
    leader.campaign()
    while leader.ready() is not None:
        leader.advance()
    leader.advance_apply_to(6)
    leader.compact(6)
    leader.set_snapshot(6, leader.status().term, b"", [1], [2])
    leader.configure([1], [2])
    leader.step([bytes([0x08, HEARTBEAT_RESPONSE, 0x10, 1, 0x18, 2, 0x20, leader.status().term])])
    ready = leader.ready()
    assert ready is not None
    ((to, index, message),) = ready.snapshots
    assert (to, index) == (2, 6)

    made, sent = replica(3, [], [])
    answers = []
    made.install(Path("arrived"), message, index, answers.append)
    assert (answers, sent.discarded) == ([False], [Path("arrived")])
