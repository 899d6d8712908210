"""Has the cluster write down what this node was told of its members: who founded it, and addresses that are new."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from nodes.consensus import Consensus
from nodes.identity import Identity, write_identity
from nodes.members import format_members
from nodes.membership import addresses
from nodes.proposals import Proposals
from nodes.service.calls import CLUSTER_ID_KEY
from nodes.statemachine import ReplicatedState
from quiesce.client import direct
from quiesce.errors import DeadlineExceeded, NodeRemoved, OutcomeUnknown, QuiesceError
from quiesce.rpc import open_channel
from quiesce.v1.node_pb2 import NODE_ROLE_LEADER, ChangeNodeAddressRequest
from quiesce.v1.node_pb2_grpc import NodeStub
from quiesce.v1.peer_pb2 import Membership

_LOOK_S = 0.2
_PATIENCE_S = 2.0
# After a refusal it will be refused again, until somebody does something.
_PAUSE_S = 10.0
_log = structlog.get_logger("members")


class MembershipKeeper:
    """Knows where the members are reached before consensus says so, and proposes what is to be replicated.

    Raises:
        InvalidConfiguration: the configuration names other founders than the data directory.
    """

    def __init__(
        self, identity: Identity, configured: Mapping[int, str], directory: Path, state: ReplicatedState
    ) -> None:
        self._identity = identity
        self._configured = configured
        self._directory = directory
        self._state = state
        held = self._at_start = state.membership
        removed = held is not None and identity.node_id in held.removed
        if removed:
            # It died before enough of the others were known to know of it: until then they may need its vote.
            _log.warning("this node was removed from the cluster; it ends when the others are known to know of it")
        self.founders = addresses.founders(identity, configured) if held is None else dict(identity.members)
        # What the cluster has still to write down.
        self.told = {} if held is None else addresses.news(identity, configured, held)
        if held is not None and not removed and (strange := addresses.strangers(configured, held)):
            _log.warning(
                "the configuration names nodes that are no members; `quiesce nodes add` makes them so", ids=strange
            )
        if self.told:
            _log.info("new addresses", members=format_members(self.told))

    def own_address(self, advertise: str) -> str:
        """Return where this node says that it is, whatever the others know."""
        me = self._identity.node_id
        known = {node.node_id: node.address for node in self._at_start.nodes} if self._at_start is not None else {}
        if self._configured:
            return self.told.get(me) or known.get(me) or advertise
        if known.get(me, advertise) != advertise:
            _log.warning(
                f"the cluster reaches this node elsewhere; if it moved: quiesce nodes address {me}={advertise}",
                advertise=advertise,
                address=known[me],
            )
        return advertise

    def removed(self) -> NodeRemoved:
        """Write down, for every later start, that this node is no member any more; return the error to end with.

        Raises:
            DiskFailed: it could not be written.
        """
        self._identity = replace(self._identity, removed=True)
        write_identity(self._directory, self._identity)
        return NodeRemoved(node_id=self._identity.node_id, cluster_id=self._identity.cluster_id)

    async def run(self, consensus: Consensus, proposals: Proposals) -> None:
        """Do it, whenever it is this node's turn; runs until it is cancelled.

        Raises:
            DiskFailed: the data directory refused.
        """
        while (held := self._state.membership) is None:
            if _leads(consensus):
                await self._tried(partial(self._adopt, proposals))
            await asyncio.sleep(_LOOK_S)
        if self._at_start is None:
            self._at_start = held
            self.told = addresses.news(self._identity, self._configured, held)
        for node, address in self.told.items():
            consensus.hear_of(node, address)
        while self.told:
            if _leads(consensus):
                await self._tried(partial(self._propose, proposals))
            elif leader := consensus.addresses().get(consensus.status().leader_id):
                await self._tried(partial(self._ask, leader))
            await asyncio.sleep(_LOOK_S)
            self.told = addresses.still_news(self.told, self._at_start, self._state.membership or held)
        self._note_configured()
        await asyncio.Event().wait()

    async def _tried(self, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except QuiesceError as error:
            if error.retryable or isinstance(error, DeadlineExceeded | OutcomeUnknown):
                _log.info("not written down yet", error=str(error))
            else:
                _log.warning("the cluster refuses what the configuration says of its members", error=str(error))
                await asyncio.sleep(_PAUSE_S)

    async def _adopt(self, proposals: Proposals) -> None:
        nodes = [Membership.Node(node_id=node, address=address) for node, address in self.founders.items()]
        await proposals.propose(timeout_s=_PATIENCE_S, adopt_membership=Membership(nodes=nodes))
        _log.info("founders written down", members=format_members(self.founders))

    async def _propose(self, proposals: Proposals) -> None:
        nodes = [Membership.Node(node_id=node, address=address) for node, address in self.told.items()]
        await proposals.propose(timeout_s=_PATIENCE_S, change_addresses=Membership(nodes=nodes))

    async def _ask(self, leader: str) -> None:
        """Ask the leader, whom nobody may have told: only this node's configuration need be new."""
        async with open_channel(leader) as channel:
            for node, address in self.told.items():
                await direct.call(
                    NodeStub(channel).ChangeNodeAddress,
                    ChangeNodeAddressRequest(node_id=node, address=address),
                    address=leader,
                    operation="changing an address",
                    timeout_s=_PATIENCE_S,
                    metadata=((CLUSTER_ID_KEY, self._identity.cluster_id),),
                )

    def _note_configured(self) -> None:
        if self._configured and self._configured != self._identity.configured:
            self._identity = replace(self._identity, configured=dict(self._configured))
            # On the loop, as a removal does: neither may undo the other.
            write_identity(self._directory, self._identity)


def _leads(consensus: Consensus) -> bool:
    return consensus.status().role == NODE_ROLE_LEADER
