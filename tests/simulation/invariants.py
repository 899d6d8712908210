"""What must hold of the cluster after every step, however it got there. Each check costs as much as has changed.

"Committed" is what any node has ever claimed to be, in memory, on its disk, or by applying it. From its first claim on
it must be on a majority of *disks*: what a loss of power everywhere, now, would leave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nodes.consensus.log import INITIAL_INDEX, INITIAL_TERM
from nodes.statemachine.membership import voters
from quiesce.v1.node_pb2 import NODE_ROLE_LEADER
from tests.simulation import messages
from tests.simulation.messages import RaftMessage
from tests.simulation.violation import require

if TYPE_CHECKING:
    from quiesce._native import RaftCore, Status
    from tests.simulation.applied import Applied
    from tests.simulation.node import Node

_PROMISES = (messages.APPEND, messages.APPEND_RESPONSE, messages.VOTE, messages.VOTE_RESPONSE, messages.HEARTBEAT,
             messages.HEARTBEAT_RESPONSE)  # fmt: skip


class Invariants:
    """Remembers what was promised, and to whom."""

    def __init__(self, founders: list[int], applied: Applied) -> None:
        self.nodes: dict[int, Node] = {}
        self._founders = founders
        self._applied = applied
        self.leaders: dict[int, int] = {}
        self.committed = (INITIAL_INDEX, INITIAL_TERM)
        self._terms: dict[int, int] = {INITIAL_INDEX: INITIAL_TERM}
        # Of every entry that was ever durable anywhere: a digest of its content, and the term of the one before it.
        self._entries: dict[tuple[int, int], tuple[int, int]] = {}
        self._promised: dict[int, tuple[int, int]] = {}
        self._reported: dict[int, int] = {}

    # --- after every step of a node

    def check(self, node: Node, status: Status) -> None:
        """Check all that a step of a node may have changed."""
        self.check_disk(node)
        if status.role == NODE_ROLE_LEADER:
            self._check_leader(node, status)
        if status.commit > self._reported.get(node.id, 0):
            self._reported[node.id] = status.commit
            term = node.replica.core.term_at(status.commit)
            if term is not None:
                self.claim(node, status.commit, term)

    def _check_leader(self, node: Node, status: Status) -> None:
        other = self.leaders.get(status.term)
        if other == node.id:
            return
        require(other is None, f"nodes {other} and {node.id} both lead in term {status.term}")
        self.leaders[status.term] = node.id
        index, term = self.committed
        if term < status.term:
            has = node.replica.core.term_at(index) == term or status.first_index > index
            require(has, f"node {node.id} leads term {status.term} without the committed entry {index} of term {term}")

    def claim(self, node: Node, index: int, term: int) -> None:
        """Take a node's claim that an entry is committed."""
        if index <= self.committed[0]:
            known = self._terms.get(index)
            require(
                known in (None, term),
                f"node {node.id} holds entry {index} of term {term} for committed, which was committed with {known}",
            )
            return
        core = node.replica.core
        for between in range(self.committed[0] + 1, index):
            if (found := core.term_at(between)) is not None:
                self._terms[between] = found
        self._terms[index] = term
        self.committed = (index, term)
        self._check_majority(f"node {node.id} holds it for committed")

    def check_recovered(self, node: Node, core: RaftCore) -> None:
        """Check that a node that starts goes on from what its disk says, no less and no more."""
        durable, status = node.durable, core.status()
        durable.refresh()
        found = (
            status.first_index - 1,
            status.last_index,
            core.term_at(status.last_index) or 0,
            status.term,
            status.vote,
        )
        hard = durable.hard_state
        there = (durable.base[0], durable.last, durable.term_at(durable.last), hard.term, hard.vote)
        require(found == there, f"node {node.id} goes on from (base, last, its term, term, vote) {found}, not {there}")

    def crashed(self, node: Node) -> None:
        """Forget what a node claimed in memory; what it had promised holds on."""
        self._reported.pop(node.id, None)
        self.check_disk(node)

    # --- disks

    def check_disk(self, node: Node) -> None:
        """Check what would be left of a node without power."""
        durable = node.durable
        if not durable.refresh():
            return
        hard = durable.hard_state
        term, vote = self._promised.get(node.id, (0, 0))
        require(hard.term >= term, f"node {node.id} went back from term {term} to {hard.term} on its disk")
        if hard.term == term and vote:
            require(hard.vote == vote, f"node {node.id} voted for {vote} in term {term}; its disk now says {hard.vote}")
        self._promised[node.id] = (hard.term, hard.vote)
        for entry, before in durable.take_entries():
            self._check_entry(node, entry.index, entry.term, hash(entry.data), before)
        require(
            hard.commit <= durable.last,
            f"the disk of node {node.id} says that {hard.commit} is committed, and its log ends at {durable.last}",
        )
        commit_term = durable.term_at(hard.commit)
        if commit_term is not None:
            if hard.commit > self.committed[0] and node.up:
                self.claim(node, hard.commit, commit_term)
            known = self._terms.get(hard.commit)
            require(known in (None, commit_term), f"node {node.id} has committed another entry {hard.commit} on disk")
        base = durable.base[0]
        require(
            base <= INITIAL_INDEX or durable.store_applied()[0] >= base,
            f"node {node.id} forgot its log up to {base}, and its store may go back to {durable.store_applied()[0]}",
        )
        self._check_majority(f"after the disk of node {node.id} changed")

    def _check_entry(self, node: Node, index: int, term: int, digest: int, before: int) -> None:
        known = self._entries.get((index, term))
        if known is None:
            self._entries[index, term] = (digest, before)
            return
        require(known[0] == digest, f"node {node.id} has another entry {index} of term {term} than others have")
        if before and known[1]:
            require(known[1] == before, f"before entry {index} of term {term} node {node.id} has another than others")

    def _check_majority(self, why: str) -> None:
        index, term = self.committed
        if index == INITIAL_INDEX:
            return
        holders = set()
        for node in self.nodes.values():
            node.durable.refresh()
            if node.durable.holds(index, term):
                holders.add(node.id)
        membership = self._applied.membership
        now = self._founders if membership is None else voters(membership)
        before = self._applied.voters_before
        if index <= self._applied.changed_at:
            # It was committed by those who voted before; enough have it that the others cannot go on without it.
            enough = 2 * len(holders.intersection(now)) >= len(now)
        else:
            # The leader may not have applied the change yet.
            enough = any(2 * len(holders.intersection(group)) > len(group) for group in (now, before) if group)
        require(
            enough, f"entry {index} of term {term} is committed and on the disks of {holders} only, of {now}: {why}"
        )

    # --- messages

    def check_sent(self, node: Node, message: RaftMessage) -> None:
        """Check that what a message promises is on the disk of its sender already."""
        if message.type not in _PROMISES:
            return
        durable = node.durable
        durable.refresh()
        hard = durable.hard_state
        require(hard.term >= message.term, f"node {node.id} sent `{message}` and has only term {hard.term} on its disk")
        if message.reject or hard.term > message.term:
            return
        if message.type == messages.VOTE:
            require(hard.vote == node.id, f"node {node.id} asks for votes before its own is on its disk: `{message}`")
        elif message.type == messages.VOTE_RESPONSE:
            require(hard.vote == message.to, f"node {node.id} sent its vote before it was on its disk: `{message}`")
        elif message.type == messages.APPEND_RESPONSE:
            require(durable.last >= message.index, f"node {node.id} acknowledged what is not on its disk: `{message}`")
