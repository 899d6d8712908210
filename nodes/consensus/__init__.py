"""A node's part in consensus: a durable log, replicated by raft-rs, applied to a state machine."""

from nodes.consensus.consensus import Consensus
from nodes.consensus.disk import Disk
from nodes.consensus.interface import CheckpointMade, CommittedEntry, ConsensusStatus, PeerProgress, StateMachine
from nodes.consensus.log import INDEX_STEP, INITIAL_INDEX, INITIAL_TERM, initialise_log
from nodes.consensus.options import ConsensusOptions

__all__ = [
    "INDEX_STEP",
    "INITIAL_INDEX",
    "INITIAL_TERM",
    "CheckpointMade",
    "CommittedEntry",
    "Consensus",
    "ConsensusOptions",
    "ConsensusStatus",
    "Disk",
    "PeerProgress",
    "StateMachine",
    "initialise_log",
]
