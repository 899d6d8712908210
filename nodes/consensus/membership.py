"""The core's configuration follows the membership in the state, which is the authority. On the Raft thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from nodes.consensus.interface import CommittedEntry
from nodes.consensus.log import DurableLog
from nodes.consensus.record import HardState
from quiesce._native import RaftCore
from quiesce.v1.peer_pb2 import Membership, MembershipChange


class Configuration(NamedTuple):
    """Who votes, and who only has the log."""

    voters: list[int]
    learners: list[int]


class MembershipProposal(NamedTuple):
    """A change of the membership that waits to be appended; `data` is an encoded LogEntry of one command."""

    proposal_id: int
    # As `RaftCore.propose_membership` calls it.
    kind: str
    node_id: int
    data: bytes


def configuration(membership: Membership) -> Configuration:
    """Return what a membership means to the core."""
    nodes = membership.nodes
    return Configuration(
        [node.node_id for node in nodes if not node.learner], [node.node_id for node in nodes if node.learner]
    )


def kind_and_node(change: MembershipChange) -> tuple[str, int]:
    """Return a change as the core calls it.

    Raises:
        ValueError: it is none.
    """
    match change.WhichOneof("change"):
        case "add":
            return "add_learner", change.add.node_id
        case "promote":
            return "promote", change.promote
        case "remove":
            return "remove", change.remove
        case _:
            raise ValueError("a change of the membership that changes nothing")


class CoreMembership:
    """Tells the core who belongs to the cluster, once the state has come to it and never before."""

    def __init__(self, core: RaftCore, log: DurableLog) -> None:
        self._core = core
        self._log = log
        # Entries that change the membership, handed to the applier and not heard of again.
        self._unsettled: deque[int] = deque()
        # The membership that was heard of last, and the index that it is of.
        self._heard_of = 0
        self._known: Configuration | None = None

    def delivered(self, entries: Iterable[CommittedEntry]) -> None:
        """Note what the applier was given; what an installed checkpoint covers, it passes over in silence."""
        self._unsettled.extend(
            entry.index for entry in entries if entry.changes_members and entry.index > self._heard_of
        )

    def settled(self, applied: int) -> int:
        """Return how much of what is applied the core may count as such: nothing that it still has to be told of."""
        return min(applied, self._unsettled[0] - 1) if self._unsettled else applied

    def follow(self, index: int, membership: Membership | None, hard_state: HardState) -> None:
        """Make the membership as of `index` the core's configuration.

        The commit index that covers a change is on the disk before the core acts on it: afterwards this node refuses a
        member that was removed. That one leaves for good, and a node that forgot would need it.
        """
        while self._unsettled and self._unsettled[0] <= index:
            self._unsettled.popleft()
        self._heard_of = max(self._heard_of, index)
        if membership is not None:
            self._known = configuration(membership)
            self._configure(hard_state)

    def restored(self, index: int, hard_state: HardState) -> None:
        """Take the news that the core has taken over the configuration of a snapshot; the state may be further."""
        if index < self._heard_of:
            self._configure(hard_state)

    def at_checkpoint(self, membership: Membership | None) -> Configuration:
        """Return the configuration at a checkpoint; where the state has no membership there has been no change yet."""
        return self._current() if membership is None else configuration(membership)

    def _configure(self, hard_state: HardState) -> None:
        if self._known is not None and self._known != self._current():
            self._log.append(hard_state, [])
            self._core.configure(*self._known)

    def _current(self) -> Configuration:
        status = self._core.status()
        return Configuration(status.voters, status.learners)
