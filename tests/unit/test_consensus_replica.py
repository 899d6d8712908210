"""What a replica has on its disk when its messages leave; everything else about it is in tests/simulation."""

import random
from pathlib import Path

from nodes.consensus.log import initialise_log
from nodes.consensus.options import ConsensusOptions
from nodes.consensus.record import HardState, StoredEntry
from nodes.consensus.recovery import recover_log
from nodes.consensus.replica import Replica
from nodes.consensus.starting import recover
from tests.simulation.disk import SimulatedDisk
from tests.simulation.durable import DurableState
from tests.simulation.messages import APPEND, read_message

RAFT = Path("/data/raft")


class Sent:
    """Notes with which term on its disk a node sent what."""

    applied = 5

    def __init__(self, durable: DurableState) -> None:
        self.durable = durable
        self.messages = []

    def send(self, messages):
        self.durable.refresh()
        self.messages += [(read_message(message), self.durable.hard_state.term) for _, message in messages]

    def leader_changed(self):
        pass

    def has_room(self):
        return False

    def make_checkpoint(self):
        pass


class Empty:
    applied = (0, 0)
    membership = None


def test_the_only_voter_writes_its_term_down_before_a_learner_hears_of_it():
    disk = SimulatedDisk(RAFT.parent, random.Random(1))
    initialise_log(RAFT, voters=[1], learners=[2], disk=disk)
    # An eraftpb.Entry of index 6 and term 1 that is not known to be committed.
    entry = StoredEntry(6, 1, b"\x10\x01\x18\x06")
    recover_log(RAFT, disk=disk).log.append(HardState(1, 1, 5), [entry])
    options = ConsensusOptions(disk=disk)
    core, log, _ = recover(1, RAFT, Empty(), options, priority=0)
    sent = Sent(DurableState(disk, RAFT, RAFT.parent / "store"))
    replica = Replica(
        node_id=1, core=core, log=log, applier=sent, effects=sent, post=None, options=options, context=lambda: b""
    )
    for _ in range(2 * options.election_ticks):
        replica.tick()
    appends = [(message.term, on_disk) for message, on_disk in sent.messages if message.type == APPEND]
    assert appends
    assert all(on_disk == term for term, on_disk in appends)
