"""A node's part in consensus, as the rest of the daemon sees it."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import struct
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import cast

import structlog

from nodes.consensus.applier import Applier, Outcomes
from nodes.consensus.checkpoint_receiver import CheckpointReceiver
from nodes.consensus.departure import Departure
from nodes.consensus.driver import Driver
from nodes.consensus.effects import LoopEffects, WaitingProposals
from nodes.consensus.handover import furthest, hand_over
from nodes.consensus.interface import ConsensusStatus, StateMachine
from nodes.consensus.membership import MembershipProposal, kind_and_node
from nodes.consensus.options import MEBIBYTE, ConsensusOptions
from nodes.consensus.peers import Peers
from nodes.consensus.ports import Event, Reader
from nodes.consensus.proposals import Proposal, pack
from nodes.consensus.replica import Replica
from nodes.consensus.servicer import PeerService
from nodes.consensus.snapshots import SnapshotSender
from nodes.consensus.starting import recover
from nodes.consensus.visible import visible
from quiesce.errors import (
    BatchTooLarge,
    DeadlineExceeded,
    NoLeader,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    QuiesceError,
    UnknownNode,
)
from quiesce.rpc.limits import MESSAGE_BYTES
from quiesce.v1.node_pb2 import NODE_ROLE_LEADER, NodeRole
from quiesce.v1.peer_pb2 import Command, Membership, MembershipChange, Outcome

_log = structlog.get_logger(__name__)
_RETRY_MS = 100
# An entry that no message can carry would hold up every follower for ever.
_COMMAND_BYTES = MESSAGE_BYTES - 2 * MEBIBYTE
_CONTEXT = struct.Struct("<QQQ")


class Consensus:
    """Replicates commands to a state machine. Everything but the constructor is for the event loop.

    `members` are addresses by id. They count while the state holds no Membership, and this node's own always: it tells
    the others that it is there. `directory` holds a log (`initialise_log`). `on_removed` is called on the loop when
    this node is no member any more and is not needed either.
    """

    def __init__(
        self,
        *,
        node_id: int,
        cluster_id: str,
        members: Mapping[int, str],
        directory: Path,
        state: StateMachine,
        on_removed: Callable[[], None],
        options: ConsensusOptions | None = None,
    ) -> None:
        self._node_id = node_id
        self._directory = directory
        self._state = state
        self._options = options or ConsensusOptions()
        self._priority = self._options.priority
        self._driver = Driver(self._options)
        self._proposals = WaitingProposals()
        self._readers: set[asyncio.Future[int]] = set()
        self._leader_news = asyncio.Event()
        self._peers = Peers(
            node_id=node_id,
            cluster_id=cluster_id,
            members=members,
            most_bytes=self._options.peer_outbox_bytes,
            on_lost=self._lost,
            on_refused=self._refused,
            clock_ms=self._options.clock_ms,
            disk_full=self._options.disk_full,
            monotonic=self._options.monotonic,
        )
        self._departure = Departure(
            others=lambda: self._peers.voters - {node_id},
            probe=self._peers.probe,
            on_removed=on_removed,
            patience_s=self._options.departure_s,
        )
        self._snapshots = SnapshotSender(
            node_id=node_id,
            cluster_id=cluster_id,
            directory=directory / "outgoing",
            state=state,
            links=self._peers.__getitem__,
            options=self._options,
            on_made=lambda made: self._post(lambda: self._replica.checkpoint_made(made)),
            on_gone=lambda index: self._post(lambda: self._replica.checkpoint_gone(index)),
            on_sent=lambda peer, arrived: self._post(lambda: self._replica.report_snapshot(peer, arrived)),
        )
        self._servicer = PeerService(
            node_id=node_id,
            cluster_id=cluster_id,
            peers=self._peers,
            driver=self._driver,
            checkpoints=CheckpointReceiver(
                node_id=node_id,
                directory=directory / "incoming",
                leader=lambda: self._replica.status.leader,
                install=self._install,
                options=self._options,
            ),
            options=self._options,
        )
        self._started = False
        # Set by start.
        self._effects: LoopEffects
        self._replica: Replica
        self._applier: Applier

    # --- life

    async def start(self) -> None:
        """Recover the log and begin to take part.

        Raises:
            DamagedLog: the log is not as it was written, or is not that of this store.
            DamagedStore: the store is older than the log can make up for.
            DiskFailed: the disk refused.
        """
        self._effects = LoopEffects(
            asyncio.get_running_loop(),
            proposals=self._proposals,
            peers=self._peers,
            snapshots=self._snapshots,
            on_leader_changed=self._leader_changed,
            elsewhere=self._elsewhere,
        )
        await asyncio.to_thread(self._recover)
        self._applier.start()
        self._driver.start(self._replica)
        self._started = True
        if (membership := self._state.membership) is not None:
            self._follow(membership)
        self._peers.start()
        self._servicer.checkpoints.start()
        self._servicer.running = True

    def _recover(self) -> None:
        core, log, applied = recover(
            self._node_id, self._directory, self._state, self._options, priority=self._priority
        )
        self._applier = Applier(
            self._state,
            applied,
            most_bytes=self._options.apply_bytes,
            on_outcomes=self._effects.resolve,
            on_membership=self._membership_applied,
            wake=self._driver.wake,
            on_fatal=self._options.on_fatal,
        )
        life, counter = secrets.randbits(64), itertools.count()
        self._replica = Replica(
            node_id=self._node_id,
            core=core,
            log=log,
            applier=self._applier,
            effects=self._effects,
            post=self._post,
            options=self._options,
            context=lambda: _CONTEXT.pack(self._node_id, life, next(counter)),
        )

    async def stop(self) -> None:
        """Stop taking part; whoever waits is told that the outcome is unknown."""
        if not self._servicer.running:
            return
        await self._servicer.stop()
        await self._snapshots.stop()
        await self._departure.stop()
        await self._peers.stop()
        await asyncio.to_thread(self._driver.stop)
        await asyncio.to_thread(self._applier.stop)
        self._proposals.fail_all(OutcomeUnknown(detail="the node was stopped"))
        for reader in self._readers:
            if not reader.done():
                reader.set_exception(NoLeader())
        self._replica.log.close()

    def peer_servicer(self) -> PeerService:
        """Return what peers call; add it to the daemon's server."""
        return self._servicer

    # --- what callers do

    async def propose(self, command: Command, *, timeout_s: float) -> Outcome:
        """Have `command` applied on every node, and return what it came to; a Failure is returned as well.

        Sets the command's `proposal_id`, and its `time_ms` where that is 0.

        Raises:
            NotLeader, NoLeader, Overloaded: it has not taken effect and will not.
            BatchTooLarge: no message could carry it.
            OutcomeUnknown, DeadlineExceeded: it may have, or may yet.
        """

        def proposal(proposal_id: int, data: bytes) -> Proposal:
            self._replica.backlog.put(len(data))
            return Proposal(proposal_id, data)

        return await self._propose(command, proposal, timeout_s)

    async def change_membership(self, change: MembershipChange, *, timeout_s: float) -> Outcome:
        """Have the members changed, and return what it came to; a Failure is returned as well.

        Raises:
            MembershipChanging: another change is under way; nothing has happened.
            NotLeader, NoLeader, Overloaded, OutcomeUnknown, DeadlineExceeded: as `propose`.
        """
        kind, node = kind_and_node(change)

        def proposal(proposal_id: int, data: bytes) -> MembershipProposal:
            return MembershipProposal(
                proposal_id, kind, node, pack([Proposal(proposal_id, data)], commands=1, size=1)[0].data
            )

        return await self._propose(Command(change_membership=change), proposal, timeout_s)

    def check_takes(self) -> None:
        """Check that this node would take a proposal now.

        Raises:
            NotLeader, NoLeader, Overloaded: it would not.
        """
        if not self._servicer.running or self._replica.status.role != NODE_ROLE_LEADER:
            raise self._elsewhere()
        options, backlog = self._options, self._replica.backlog
        waiting = max(len(self._proposals), backlog.count)
        size = max(self._proposals.size, backlog.size)
        if waiting >= options.waiting_proposals or (waiting and size >= options.waiting_bytes):
            raise Overloaded(node_id=self._node_id, waiting=waiting, retry_ms=_RETRY_MS)

    async def _propose(self, command: Command, event: Callable[[int, bytes], Event], timeout_s: float) -> Outcome:
        self.check_takes()
        command.proposal_id = self._proposals.next_id()
        if not command.time_ms:
            command.time_ms = self.agreed_ms()
        data = command.SerializeToString()
        if len(data) > _COMMAND_BYTES:
            raise BatchTooLarge(size=len(data), unit="bytes", limit=_COMMAND_BYTES)
        future = self._proposals.add(command.proposal_id, len(data))
        self._driver.put(event(command.proposal_id, data))
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError as error:
            raise DeadlineExceeded(operation="the proposal", seconds=f"{timeout_s:g}") from error
        finally:
            self._proposals.remove(command.proposal_id, len(data))

    def hear_of(self, node: int, address: str) -> None:
        """Take in that a node may be at `address`: it is tried there where the membership's address fails."""
        self._peers.heard_from(node, address)

    def addresses(self) -> Mapping[int, str]:
        """Return where each member is reached, as far as this node knows."""
        return dict(self._peers.addresses)

    async def read_barrier(self, *, timeout_s: float) -> int:
        """Return an index that is applied here and covers every write acknowledged before the call.

        Raises:
            NoLeader: there was no leader to ask in time.
            DeadlineExceeded: there was one, and no majority confirmed it in time, or this node lags.
            Overloaded: too many readers wait already.
        """
        if not self._servicer.running:
            raise NoLeader
        if len(self._readers) >= self._options.waiting_readers:
            raise Overloaded(node_id=self._node_id, waiting=len(self._readers), retry_ms=_RETRY_MS)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._readers.add(future)
        self._driver.put(Reader(future))
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError as error:
            if not self._replica.status.leader:
                raise NoLeader from error
            raise DeadlineExceeded(operation="the read barrier", seconds=f"{timeout_s:g}") from error
        finally:
            self._readers.discard(future)

    async def transfer_leadership(self, to: int, *, timeout_s: float) -> int:
        """Hand leadership to node `to`, 0 for the follower that is furthest; return the leader that follows.

        Raises:
            NotLeader, NoLeader: this node does not lead, or leads no more and nobody does.
            UnknownNode: `to` is no voter.
            DeadlineExceeded: this node still leads; nothing has changed.
        """
        status = self._replica.status
        if status.role != NODE_ROLE_LEADER:
            raise self._elsewhere()
        to = to or furthest(self.status().peers, self._node_id)
        if to not in status.voters:
            raise UnknownNode(node_id=to, known=", ".join(map(str, status.voters)))
        if to == self._node_id:
            return to
        return await hand_over(
            self._replica,
            to,
            post=self._post,
            news=self._leader_news,
            timeout_s=timeout_s,
            look_s=self._options.tick_ms / 1000,
        )

    def status(self) -> ConsensusStatus:
        """Return what can be seen; numbers are as old as a tick."""
        if not self._started:
            return ConsensusStatus()
        return visible(self._replica, applied=self._applier.applied, removed=self._peers.removed)

    def agreed_ms(self) -> int:
        """Return the latest time that the clocks of a majority of the voters have reached; 0 where it is not known."""
        return self._peers.agreed_ms()

    def full_peers(self) -> Collection[int]:
        """Return the voters, other than this node, whose disk is full as far as they have said."""
        return frozenset(self._peers.full & self._peers.voters)

    @property
    def leads(self) -> bool:
        """Whether this node is the leader, as far as it knows."""
        return self._started and self._replica.status.role == NODE_ROLE_LEADER

    def set_priority(self, priority: int) -> None:
        """Set the election priority: nodes refuse their vote to one of a lower priority with an equal log."""
        self._priority = priority
        if self._servicer.running:
            self._post(lambda: self._replica.core.set_priority(priority))

    # --- between threads

    def _post(self, call: Callable[[], None]) -> None:
        self._driver.put(call)

    def _membership_applied(self, index: int, membership: Membership | None, outcomes: Outcomes) -> None:
        """Spread the news from the applier: to the core first, so that what others are told is on the disk."""

        def spread() -> None:
            self._replica.membership_applied(index, membership)
            if membership is not None:
                self._effects.hop(self._follow, membership)
            self._effects.resolve(outcomes)

        self._post(spread)

    def _follow(self, membership: Membership) -> None:
        self._peers.follow(membership)
        if self._node_id in membership.removed:
            self._departure.begin()

    def _refused(self, peer: int) -> None:
        self._departure.refused_by(peer)

    def _lost(self, peer: int) -> None:
        self._post(lambda: self._replica.report_unreachable(peer))

    def _leader_changed(self) -> None:
        status = self._replica.status
        role = NodeRole.Name(cast("NodeRole.ValueType", status.role))
        _log.info("leader", leader=status.leader, term=status.term, role=role)
        self._leader_news.set()
        if status.role != NODE_ROLE_LEADER:
            self._snapshots.break_off()

    async def _install(self, directory: Path, message: bytes, index: int) -> bool:
        taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def done(answer: bool) -> None:
            self._effects.hop(lambda: None if taken.done() else taken.set_result(answer))

        self._post(lambda: self._replica.install(directory, message, index, done))
        return await taken

    def _elsewhere(self) -> QuiesceError:
        leader = self._replica.status.leader if self._servicer.running else 0
        if leader in (0, self._node_id) or leader in self._peers.removed:
            return NoLeader()
        return NotLeader(node_id=self._node_id, leader_address=self._peers.addresses.get(leader, "unknown"))
