"""What consensus asks of the state it replicates, and what can be seen of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from quiesce.v1.node_pb2 import NODE_ROLE_UNSPECIFIED, NodeRole
from quiesce.v1.peer_pb2 import Membership, Outcome


@dataclass(frozen=True, slots=True)
class CommittedEntry:
    """An entry that a majority has on disk. `data` is an encoded LogEntry; raft's own entries are empty."""

    index: int
    term: int
    data: bytes
    # Its one command changes the membership; such an entry is applied by itself.
    changes_members: bool = False


@dataclass(frozen=True, slots=True)
class CheckpointMade:
    """Up to where a checkpoint reaches, and who belongs to the cluster there; None: nobody has said yet."""

    index: int
    term: int
    membership: Membership | None


class StateMachine(Protocol):
    """The replicated state. All methods but `checkpoint` are called on one thread, the applier's."""

    @property
    def applied(self) -> tuple[int, int]:
        """(index, term) of the last entry applied, from the disk at start; (0, 0) where the state is empty."""
        ...

    @property
    def membership(self) -> Membership | None:
        """Who belongs to the cluster as of what is applied; None where nobody has said yet.

        An object that was returned never changes: after a change there is another.
        """
        ...

    def apply(self, entries: Sequence[CommittedEntry]) -> list[tuple[int, Outcome]]:
        """Apply entries in order; return (proposal_id, outcome) of every command in them, in order."""
        ...

    def checkpoint(self, directory: Path) -> CheckpointMade:
        """Write the whole state to `directory`, which does not exist; say of which moment it is. Any thread."""
        ...

    def install(self, directory: Path) -> None:
        """Replace the whole state by such a checkpoint, durably and through any crash all or nothing."""
        ...

    def durable_index(self) -> int:
        """Bring what is applied to the disk, and return its index: the log may forget up to there."""
        ...


@dataclass(frozen=True, slots=True)
class PeerProgress:
    """A node as the leader sees it: `match` is the last index known to be on its disk."""

    match: int
    active: bool
    # Has the log and no vote.
    learner: bool = False
    # The tick at which something last came from it.
    heard_tick: int = -1


@dataclass(frozen=True, slots=True)
class ConsensusStatus:
    """What can be seen of a node's part in consensus; all zeros before it has started."""

    role: NodeRole.ValueType = NODE_ROLE_UNSPECIFIED
    term: int = 0
    # 0: none known.
    leader_id: int = 0
    commit_index: int = 0
    applied_index: int = 0
    first_index: int = 0
    last_index: int = 0
    log_bytes: int = 0
    # How often the clock has ticked.
    tick: int = 0
    # As the core has it now: the state may be a moment ahead.
    voters: Sequence[int] = ()
    learners: Sequence[int] = ()
    # On the leader only, this node included; learners too.
    peers: Mapping[int, PeerProgress] = field(default_factory=dict)
