"""Whom a node knows, by the membership that it has applied; and how it leaves when it was removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nodes.consensus.peer_clocks import PeerClocks
from quiesce.v1.peer_pb2 import Membership

if TYPE_CHECKING:
    from tests.simulation.node import Node

# In ticks: how long a removed node is still sent what was on its way, and how long that one waits for the others.
_PARTING = 100
_PATIENCE = 1000
_PROBE = 10


class Peers:
    """What `Peers` and `Departure` do in the daemon, without the streams."""

    def __init__(self, node: Node, members: Sequence[int]) -> None:
        self._node = node
        self._members = set(members)
        self.voters = set(members)
        self.removed: set[int] = set()
        self._parted: dict[int, int] = {}
        self._strangers: set[int] = set()
        self._clocks = PeerClocks(node.clock.monotonic)
        self._departing_for = -1
        self._refused_by: set[int] = set()

    def follow(self, membership: Membership) -> None:
        """Take over a membership that is applied."""
        now = self._node.world.scheduler.now
        for node in membership.removed:
            self._parted.setdefault(node, now + _PARTING * self._node.world.plan.tick_us)
        self.removed = set(membership.removed)
        self._members = {node.node_id for node in membership.nodes}
        self.voters = {node.node_id for node in membership.nodes if not node.learner}
        self._node.known_members = sorted(self._members)
        if self._node.id in self.removed:
            self._depart()

    def reaches(self, node: int) -> bool:
        """Whether there is a way to a node."""
        if node in self._parted:
            return self._node.world.scheduler.now < self._parted[node]
        return node in self._members or node in self._strangers

    def admits(self, sender: int, clock_ms: int) -> bool:
        """Take a message's sender and its clock; return False where it was removed."""
        if sender in self.removed:
            return False
        if sender in self.voters:
            self._clocks.heard(sender, clock_ms)
        self._strangers.add(sender)
        return True

    def agreed_ms(self) -> int:
        """Return the latest time that the clocks of a majority of the voters have reached."""
        return self._clocks.agreed_ms(self.voters, self._node.id, self._node.clock.wall_ms())

    # --- departure

    def refused_by(self, node: int) -> None:
        """Take the news that a node refuses this one because it was removed."""
        if self._node.up:
            self._refused_by.add(node)
            self._depart()

    def _depart(self) -> None:
        self._departing_for = max(0, self._departing_for)

    def tick(self) -> None:
        """See whether a removed node may leave."""
        if self._departing_for < 0:
            return
        node, others = self._node, self.voters - {self._node.id}
        self._departing_for += 1
        if 2 * len(self._refused_by & others) > len(others) or self._departing_for > _PATIENCE:
            node.leave()
        elif self._departing_for % _PROBE == 0:
            self.probe()

    def probe(self) -> None:
        """Send each peer a batch of nothing: the answer may be a refusal."""
        node, world = self._node, self._node.world
        for other in sorted((self._members | self._strangers) - {node.id}):
            if not self.reaches(other):
                continue
            peer = world.nodes[other]

            def arrive(peer: Node = peer) -> None:
                if peer.up:
                    peer.effects.hear(node.id, [], 0)

            world.network.send(node.id, other, world.scheduler.now, arrive, lambda: None)
