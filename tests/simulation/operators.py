"""People who add, promote and remove nodes, one after the other, under faults."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from nodes.consensus.visible import visible
from nodes.membership.admission import check_caught_up, check_majority
from nodes.rotation.admission import Voter
from nodes.statemachine import membership
from quiesce.errors import QuiesceError
from quiesce.v1.node_pb2 import NODE_ROLE_LEADER
from quiesce.v1.peer_pb2 import Membership, MembershipChange

if TYPE_CHECKING:
    from tests.simulation.effects import Answer
    from tests.simulation.node import Node
    from tests.simulation.world import World

# Nodes that there are at most in a run, removed ones among them.
_MOST_IDS = 9
_MOST_MEMBERS = 6


def address(node: int) -> str:
    """Return where a node would be reached."""
    return f"node{node}:7101"


def founders(ids: list[int]) -> Membership:
    """Return the membership that the first leader writes down."""
    return Membership(nodes=[Membership.Node(node_id=node, address=address(node)) for node in ids])


class Operators:
    """Ask whichever node leads, which checks as the daemon does."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = random.Random(f"{world.plan.seed} operators")
        self._next_id = world.plan.nodes + 1

    def begin(self) -> None:
        """Change the members from here on, now and then."""
        every = self._world.plan.members_us
        if every:
            self._world.scheduler.after(self._rng.randint(1, 2 * every), self._once)

    def _once(self) -> None:
        if self._world.healed:
            return
        self.begin()
        leaders = [node for node in self._world.nodes.values() if node.up and node.replica.status.role == 3]
        held = self._world.applied.membership
        if not leaders or held is None:
            return
        change = self._choose(held)
        leader = self._rng.choice(leaders)
        if change is None:
            return
        try:
            self._check(leader, change)
        except QuiesceError as error:
            self._world.trace(leader.id, f"refuses {str(change).split()}: {error}")
            return
        self._world.trace(leader.id, f"is asked for {str(change).split()}")
        leader.effects.change_membership(change, self._answered)

    def _answered(self, answer: Answer) -> None:
        if not isinstance(answer, QuiesceError) and answer.HasField("membership"):
            self._world.counts["membership changes"] += 1

    def _choose(self, held: Membership) -> MembershipChange | None:
        members = [node.node_id for node in held.nodes]
        learners = membership.learners(held)
        kind = self._rng.choice(("add", "promote", "promote", "remove"))
        if kind == "promote" and learners:
            return MembershipChange(promote=self._rng.choice(learners))
        if kind == "remove" and len(members) > 1:
            return MembershipChange(remove=self._rng.choice(members))
        if len(members) < _MOST_MEMBERS and self._next_id <= _MOST_IDS:
            if self._next_id in members:
                self._next_id += 1
            return MembershipChange(add=Membership.Node(node_id=self._next_id, address=address(self._next_id)))
        return None

    def _check(self, leader: Node, change: MembershipChange) -> None:
        """Check what the daemon's leader does before it proposes.

        Raises:
            QuiesceError: it refuses.
        """
        held = leader.state.membership
        after = membership.voters(membership.changed(held, change))
        status = visible(leader.replica, applied=leader.applier.applied, removed=leader.peers.removed)
        seen = {node: Voter(peer.match, peer.active) for node, peer in status.peers.items()}
        seen[leader.id] = Voter(status.last_index, active=status.role == NODE_ROLE_LEADER)
        kind = change.WhichOneof("change")
        if kind == "promote":
            check_caught_up(change.promote, seen.get(change.promote), status.last_index)
            check_majority(after, seen)
        elif kind == "remove":
            if change.remove in membership.voters(held or Membership()):
                check_majority(after, seen)
            if change.remove == leader.id:
                others = [node for node in after if node in seen and seen[node].active]
                if others:
                    leader.post(lambda: leader.replica.core.transfer_leader(others[0]))
                raise QuiesceError(detail="it hands leadership on first")
