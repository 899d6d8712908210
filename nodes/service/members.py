"""Shows the members, and has them changed where the cluster can bear it: the leader's checks before it proposes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from nodes.consensus import Consensus
from nodes.membership.admission import check_caught_up, check_majority
from nodes.proposals import Proposals
from nodes.rotation.admission import Voter
from nodes.rotation.driver import Rotation
from nodes.rotation.succession import choose_successor
from nodes.statemachine import ReplicatedState, membership
from quiesce import errors
from quiesce.errors import InvalidRequest, MembershipChangeRefused, NoLeader, NotLeader
from quiesce.v1 import node_pb2
from quiesce.v1.peer_pb2 import Membership, MembershipChange, Outcome

_PATIENCE_S = 1.0
_LOOK_S = 0.05
_log = structlog.get_logger("members")


class Members:
    """The members as this node knows them; changed on the leader only."""

    def __init__(
        self,
        *,
        node_id: int,
        cluster_id: str,
        backup_priority: int,
        nobackup: bool,
        consensus: Consensus,
        state: ReplicatedState,
        proposals: Proposals,
        rotation: Rotation,
    ) -> None:
        self._node_id = node_id
        self._cluster_id = cluster_id
        self._backup_priority = backup_priority
        self._nobackup = nobackup
        self._consensus = consensus
        self._state = state
        self._proposals = proposals
        self._rotation = rotation

    def response(self) -> node_pb2.MembersResponse:
        """Return who belongs to the cluster; the leader also tells how far each is."""
        held, seen, addresses = self._state.membership, self._rotation.nodes(), self._consensus.addresses()
        if held is None:
            learners, ids = set[int](), sorted(addresses)
        else:
            learners, ids = set(membership.learners(held)), [node.node_id for node in held.nodes]
        members = []
        for node in ids:
            member = node_pb2.Member(node_id=node, address=addresses.get(node, ""), learner=node in learners)
            if node in seen:
                member.match_index, member.active = seen[node].match_index, seen[node].active
            if node == self._node_id:
                member.backup_priority, member.nobackup = self._backup_priority, self._nobackup
            members.append(member)
        return node_pb2.MembersResponse(
            members=members,
            leader_id=self._consensus.status().leader_id,
            cluster_id=self._cluster_id,
            removed_node_ids=held.removed if held is not None else (),
        )

    def voters(self) -> dict[int, Voter]:
        """Return the voters as this leader sees them.

        Raises:
            NotLeader, NoLeader: it does not lead.
        """
        if voters := self._rotation.voters():
            return voters
        leader = self._consensus.status().leader_id
        if leader in (0, self._node_id):
            raise NoLeader
        raise NotLeader(node_id=self._node_id, leader_address=self._consensus.addresses().get(leader, "unknown"))

    async def add(self, request: node_pb2.AddNodeRequest, timeout_s: float) -> node_pb2.MembersResponse:
        """Add a learner.

        Raises:
            NotLeader, NoLeader, MembershipChanging: nothing has happened; later, or elsewhere, it may.
            NodeIdTaken, InvalidRequest, MembershipChangeRefused: it cannot be.
        """
        self.voters()
        wanted = Membership.Node(node_id=request.node_id, address=request.address, learner=True)
        held = self._state.membership
        if held is not None and wanted in held.nodes:
            # The answer to the first try was lost.
            return self.response()
        return await self._change(MembershipChange(add=wanted), timeout_s)

    async def promote(self, node_id: int, timeout_s: float) -> node_pb2.MembersResponse:
        """Give a learner that has caught up a vote; a node that has one already keeps it.

        Raises:
            NotLeader, NoLeader, MembershipChanging: nothing has happened; later, or elsewhere, it may.
            UnknownNode, MembershipChangeRefused: it cannot be, or not yet.
        """
        voters, change = self.voters(), MembershipChange(promote=node_id)
        if node_id in voters:
            return self.response()
        after = membership.voters(membership.changed(self._state.membership, change))

        def check(seen: Mapping[int, Voter]) -> None:
            check_caught_up(node_id, seen.get(node_id), self._consensus.status().last_index)
            check_majority(after, seen)

        await self._patiently(check, timeout_s)
        return await self._change(change, timeout_s)

    async def remove(self, node_id: int, timeout_s: float) -> node_pb2.MembersResponse:
        """Take a node out; one that was taken out already stays so. A leader hands leadership on and refuses.

        Raises:
            NotLeader, NoLeader, MembershipChanging: nothing has happened; later, or elsewhere, it may.
            UnknownNode, MembershipChangeRefused: it cannot be.
        """
        voters, held, change = self.voters(), self._state.membership, MembershipChange(remove=node_id)
        if held is not None and node_id in held.removed:
            return self.response()
        after = membership.voters(membership.changed(held, change))
        if node_id in voters:
            await self._patiently(lambda seen: check_majority(after, seen), timeout_s)
        if node_id == self._node_id:
            await self._hand_over(timeout_s)
        return await self._change(change, timeout_s)

    async def change_address(
        self, request: node_pb2.ChangeNodeAddressRequest, timeout_s: float
    ) -> node_pb2.MembersResponse:
        """Write down where a node is reached.

        Raises:
            NotLeader, NoLeader: nothing has happened; elsewhere it may.
            UnknownNode, InvalidRequest, MembershipChangeRefused: it cannot be.
        """
        self.voters()
        wanted = Membership(nodes=[Membership.Node(node_id=request.node_id, address=request.address)])
        membership.readdressed(self._state.membership, wanted)
        await self._proposals.propose(timeout_s=timeout_s, change_addresses=wanted)
        return self.response()

    async def _change(self, change: MembershipChange, timeout_s: float) -> node_pb2.MembersResponse:
        # What the state will refuse need not get into the log.
        membership.changed(self._state.membership, change)
        outcome: Outcome = await self._consensus.change_membership(change, timeout_s=timeout_s)
        if outcome.HasField("failure"):
            raise errors.from_reason(outcome.failure.reason, dict(outcome.failure.fields))
        kind = str(change.WhichOneof("change"))
        _log.info("members changed", change=kind, of=change.add.node_id or change.promote or change.remove)
        return self.response()

    async def _hand_over(self, timeout_s: float) -> None:
        """Give leadership away, and say to whom: the next leader removes this node.

        Raises:
            NotLeader: it did.
            MembershipChangeRefused: nobody can take it.
            DeadlineExceeded: nobody took it in time; it may be asked again.
        """
        lease = self._rotation.lease
        voters = self._rotation.voters()
        out = [lease.node_id] if lease is not None else []
        successor = choose_successor(voters, leader=self._node_id, avoid=out)
        successor = successor or choose_successor(voters, leader=self._node_id)
        if successor is None:
            raise MembershipChangeRefused(detail=f"node {self._node_id} leads, and nobody else can")
        leader = await self._consensus.transfer_leadership(successor, timeout_s=timeout_s)
        raise NotLeader(node_id=self._node_id, leader_address=self._consensus.addresses().get(leader, "unknown"))

    async def _patiently(self, check: Callable[[Mapping[int, Voter]], None], timeout_s: float) -> None:
        """Check until it is so, by who answers from now on.

        A node that has just died is taken for active up to an election's time: too long for what cannot be undone.
        And a leader that is new has to hear from the others first.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(timeout_s / 2, _PATIENCE_S)
        asked = self._consensus.status().tick
        while True:
            # Raises where it does not lead any more, and knows nothing.
            self.voters()
            try:
                return check(self._rotation.heard_since(asked))
            except MembershipChangeRefused:
                if loop.time() >= deadline:
                    raise
            await asyncio.sleep(_LOOK_S)


def check_drainable(node_id: int, held: Membership | None) -> None:
    """Check that a node is not a learner, which is never taken out of rotation.

    Raises:
        InvalidRequest: it is.
    """
    if held is not None and node_id in membership.learners(held):
        raise InvalidRequest(detail=f"node {node_id} has no vote yet; nodes that vote leave rotation, and no others")
