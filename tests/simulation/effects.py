"""What a node does outside of its Raft thread and its applier: it sends, tells those who wait, answers clients."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from nodes.consensus.applier import Outcomes
from nodes.consensus.barriers import Waiter
from nodes.consensus.membership import MembershipProposal, kind_and_node
from nodes.consensus.ports import PeerMessages, Reader
from nodes.consensus.proposals import Proposal, pack
from nodes.store import StoreView
from quiesce.errors import NoLeader, NotLeader, QuiesceError, Unavailable
from quiesce.v1.node_pb2 import NODE_ROLE_LEADER
from quiesce.v1.peer_pb2 import Command, Membership, MembershipChange, Outcome
from tests.simulation.messages import read_message
from tests.simulation.violation import require

if TYPE_CHECKING:
    from tests.simulation.node import Node

# What a client's request comes to.
Answer = Outcome | QuiesceError
# From one thread to another.
_HOP_US = 20


@dataclass(frozen=True, slots=True)
class Question:
    """A read that waits for its barrier; `index` had been acknowledged to somebody before it came."""

    index: int
    answer: Callable[[StoreView | QuiesceError], None]

    def done(self) -> bool:
        """Go on waiting."""
        return False


class NodeEffects:
    """Of one life of a node: the effects of its replica (`ports.Effects`), and what clients ask of it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._world = node.world
        self._waiting: dict[int, Callable[[Answer], None]] = {}
        self._ids = itertools.count(node.rng.getrandbits(63))

    # --- to peers

    def send(self, messages: list[tuple[int, bytes]]) -> None:
        groups: dict[int, list[bytes]] = {}
        node, world = self._node, self._world
        for to, message in messages:
            read = read_message(message)
            world.invariants.check_sent(node, read)
            if world.trace.on:
                world.trace(node.id, f"-> {to} {read}")
            groups.setdefault(to, []).append(message)
        left_at, clock_ms = world.scheduler.now + node.disk.elapsed, node.clock.wall_ms()
        for to, group in groups.items():
            life = node.life

            def lost(to: int = to, life: int = life) -> None:
                if node.life == life:
                    node.post(lambda: node.replica.report_unreachable(to))

            if to not in world.nodes or not node.peers.reaches(to):
                lost()
                continue
            peer = world.nodes[to]

            def arrive(peer: Node = peer, group: list[bytes] = group) -> None:
                if peer.up:
                    peer.effects.hear(node.id, group, clock_ms)

            world.network.send(node.id, to, left_at, arrive, lost)

    def hear(self, sender: int, group: list[bytes], clock_ms: int) -> None:
        """Take messages of a peer, unless it was removed."""
        node, world = self._node, self._world
        if world.trace.on:
            for message in group:
                world.trace(node.id, f"<- {sender} {read_message(message)}")
        if not node.peers.admits(sender, clock_ms):
            world.network.send(
                node.id, sender, world.scheduler.now, lambda: world.nodes[sender].peers.refused_by(node.id), _nothing
            )
        elif group:
            node.post(PeerMessages(sender, group, sum(map(len, group))))

    def send_snapshot(self, to: int, index: int, message: bytes) -> None:
        self._node.checkpoints.send(to, index, message)

    def make_checkpoint(self) -> None:
        self._node.checkpoints.make()

    def supersede_checkpoint(self, index: int) -> None:
        self._node.checkpoints.supersede(index)

    def probe(self) -> None:
        self._hop(self._node.peers.probe)

    def discard(self, directory: Path) -> None:
        node = self._node

        def remove() -> None:
            node.attempt(lambda: node.disk.remove_tree(directory))

        node.later(0, remove)

    # --- to those who wait

    def resolve(self, outcomes: Outcomes) -> None:
        found = [(self._waiting.pop(one), outcome) for one, outcome in outcomes if one in self._waiting]
        for answer, outcome in found:
            self._hop(partial(answer, outcome))

    def membership_applied(self, index: int, membership: Membership | None, outcomes: Outcomes) -> None:
        """Spread the news from the applier, in the order in which `Consensus` does."""
        node = self._node

        def spread() -> None:
            node.replica.membership_applied(index, membership)
            if membership is not None:
                self._hop(lambda: node.peers.follow(membership))
            self.resolve(outcomes)

        node.post(spread)

    def refuse(self, proposal_ids: list[int]) -> None:
        self._world.applied.refuse(proposal_ids)
        self._fail(proposal_ids, self.elsewhere())

    def fail(self, proposal_ids: list[int], error: QuiesceError) -> None:
        self._fail(proposal_ids, error)

    def _fail(self, proposal_ids: Iterable[int], error: QuiesceError) -> None:
        for one in proposal_ids:
            if (answer := self._waiting.pop(one, None)) is not None:
                self._hop(partial(answer, error))

    def release(self, readers: Sequence[Waiter], index: int) -> None:
        for reader in cast("Sequence[Question]", readers):
            self._check_read(reader, index)
            self._hop(partial(self._read, reader))

    def _read(self, reader: Question) -> None:
        with self._node.state.store.view() as view:
            self._check_read(reader, view.applied[0])
            reader.answer(view)

    def _check_read(self, reader: Question, index: int) -> None:
        require(
            index >= reader.index,
            f"node {self._node.id} lets a reader see {index}, who came after {reader.index} was acknowledged",
        )

    def leader_changed(self) -> None:
        node, status = self._node, self._node.replica.status
        self._world.trace(node.id, f"role {status.role} in term {status.term}, leader {status.leader}")
        if status.role != NODE_ROLE_LEADER:
            node.checkpoints.break_off()

    def _hop(self, call: Callable[[], None]) -> None:
        self._node.later(self._node.disk.elapsed + _HOP_US, call)

    # --- what clients ask

    def elsewhere(self) -> QuiesceError:
        """Return the error that names the leader, if this node knows another."""
        node = self._node
        leader = node.replica.status.leader
        if leader in (0, node.id) or leader in node.peers.removed:
            return NoLeader()
        return NotLeader(node_id=node.id, leader_address=leader)

    def propose(self, command: Command, answer: Callable[[Answer], None]) -> None:
        """Have a command applied; the answer may never come."""
        data = self._accepted(command, answer)
        if data is not None:
            self._node.replica.backlog.put(len(data))
            self._node.post(Proposal(command.proposal_id, data))

    def change_membership(self, change: MembershipChange, answer: Callable[[Answer], None]) -> None:
        """Have the members changed; the answer may never come."""
        command = Command(change_membership=change)
        data = self._accepted(command, answer)
        if data is not None:
            kind, node_id = kind_and_node(change)
            entry = pack([Proposal(command.proposal_id, data)], commands=1, size=1)[0].data
            self._node.post(MembershipProposal(command.proposal_id, kind, node_id, entry))

    def _accepted(self, command: Command, answer: Callable[[Answer], None]) -> bytes | None:
        node = self._node
        if node.replica.status.role != NODE_ROLE_LEADER:
            answer(self.elsewhere())
            return None
        node.log_clock.observe(node.state.store.state.log_time_ms)
        command.time_ms = node.log_clock.now_ms()
        command.proposal_id = next(self._ids)
        self._waiting[command.proposal_id] = answer
        return command.SerializeToString()

    def read(self, answer: Callable[[StoreView | QuiesceError], None], *, stale: bool) -> None:
        """Give a client a view, behind a barrier unless it takes a stale one."""
        if stale:
            with self._node.state.store.view() as view:
                answer(view)
        else:
            self._node.post(Reader(Question(self._world.history.acknowledged, answer)))


def ask(node: Node, call: Callable[[NodeEffects], None], answer: Callable[[QuiesceError], None]) -> None:
    """Ask a node; one that is down answers nothing, but its machine says that nobody listens."""
    if node.up:
        call(node.effects)
    else:
        answer(Unavailable(addresses=node.id, seconds=0, detail="down"))


def _nothing() -> None:
    """Tell nobody."""
