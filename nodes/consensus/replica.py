"""One replica: what a node does for consensus at each event and each tick. No threads, no network, no clock.

It is driven by one thread. Messages that promise something leave only after what they promise is on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from nodes.consensus.barriers import ReadBarriers, Waiter
from nodes.consensus.interface import CheckpointMade, CommittedEntry
from nodes.consensus.log import DurableLog
from nodes.consensus.membership import CoreMembership, MembershipProposal
from nodes.consensus.options import MEBIBYTE, ConsensusOptions
from nodes.consensus.ports import ApplierPort, Effects, Event, PeerMessages, Reader
from nodes.consensus.proposals import AppendedProposals, Backlog, Proposal, pack
from nodes.consensus.record import HardState, LogState, Point, StoredEntry
from nodes.consensus.retention import Retention
from quiesce._native import LightReady, LogCutShort, RaftCore, Ready, Status, snapshot_members
from quiesce.errors import LogRolledBack, MembershipChanging, OutcomeUnknown, Overloaded, QuiesceError
from quiesce.v1.node_pb2 import NODE_ROLE_LEADER
from quiesce.v1.peer_pb2 import Membership

# How an encoded eraftpb.Message of type MsgAppend begins.
_APPEND_MESSAGE = b"\x08\x03"


class Replica:
    """See the module."""

    def __init__(
        self,
        *,
        node_id: int,
        core: RaftCore,
        log: DurableLog,
        applier: ApplierPort,
        effects: Effects,
        post: Callable[[Callable[[], None]], None],
        options: ConsensusOptions,
        context: Callable[[], bytes],
    ) -> None:
        self.node_id = node_id
        self.core = core
        self.log = log
        self._applier = applier
        self._effects = effects
        # Brings a call from another thread to the one that drives this.
        self._post = post
        self._options = options
        self._ticks = 0
        self._hard_state = log.state.hard_state
        self._appended = AppendedProposals()
        self._membership = CoreMembership(core, log)
        self._held: list[Proposal] = []
        # For whoever puts proposals into the inbox, to mind.
        self.backlog = Backlog()
        self._orphaned_at: int | None = None
        self._barriers: ReadBarriers[Waiter] = ReadBarriers(context, retry_ticks=2 * options.heartbeat_ticks)
        self._committed = applier.applied
        self._delivered = applier.applied
        self._installing = False
        self._checkpointing = False
        self._retention = Retention(options)
        self._asking_durable = False
        # The size of the log at which it is seen to before its time.
        self._alarm = options.compact_bytes
        self._heard: dict[int, int] = {}
        # What can be seen from other threads; replaced as a whole.
        self.status: Status = core.status()

    @property
    def ticks(self) -> int:
        """Ticks since the start."""
        return self._ticks

    def heard_at(self, node: int) -> int:
        """Return the tick of the last message from a node; -1: there was none."""
        return self._heard.get(node, -1)

    def hears(self, node: int) -> bool:
        """Say whether another node has sent anything within an election timeout. Any thread."""
        heard = self._heard.get(node)
        return heard is not None and self._ticks - heard <= self._options.election_ticks

    # --- events

    def take(self, events: Sequence[Event]) -> None:
        """Take what has come since the last call, and do all that follows from it."""
        proposals: list[Proposal] = []
        messages: list[bytes] = []
        for event in events:
            match event:
                case Proposal():
                    proposals.append(event)
                case MembershipProposal():
                    self._change_membership(event)
                case PeerMessages():
                    messages += event.messages
                    self._heard[event.sender] = self._ticks
                case Reader():
                    self._barriers.add(event.waiter)
                case _:
                    event()
        if messages:
            self._step(messages)
        if proposals or self._held:
            self._propose(proposals)
        if contexts := self._barriers.contexts(self._ticks):
            self.core.read_index(contexts)
        self._pump()

    def tick(self) -> None:
        """Move this replica's clock on."""
        self._ticks += 1
        # The core neither campaigns nor takes a change of the membership while it believes one to be unapplied.
        self._tell_applied()
        self.core.tick()
        self.take(())
        self._see_to_orphans()
        if self._ticks % self._options.election_ticks == 0 or self.log.size > self._alarm:
            self._see_to_log()
        if self._ticks % self._options.election_ticks == 0:
            self._see_to_silence()
        self.see()

    def see(self) -> None:
        """Bring `status` up to date."""
        self.status = self.core.status()

    def report_unreachable(self, peer: int) -> None:
        """Take the news that messages to `peer` were lost."""
        self.core.report_unreachable(peer)

    def report_snapshot(self, peer: int, arrived: bool) -> None:
        """Take the news of how the sending of a snapshot ended."""
        if arrived:
            self._retention.arrived(peer)
        self.core.report_snapshot(peer, arrived)

    def checkpoint_made(self, made: CheckpointMade) -> None:
        """Take the news that there is a checkpoint to send."""
        self._checkpointing = False
        self._retention.made(made.index)
        voters, learners = self._membership.at_checkpoint(made.membership)
        self.core.set_snapshot(made.index, made.term, b"", voters, learners)

    def checkpoint_gone(self, index: int | None) -> None:
        """Take the news that a checkpoint was removed, or could not be made."""
        if index is None:
            self._checkpointing = False
            return
        self._retention.gone(index)
        self.core.clear_snapshot()

    def install(self, directory: Path, message: bytes, index: int, done: Callable[[bool], None]) -> None:
        """Put a checkpoint that was received whole in the place of the state, then tell the core.

        The store comes first, the log second: a crash in between leaves a store ahead of its log, which the next
        start recognises (`recovery.fit_to_store`).
        """
        if self._installing or self.node_id not in snapshot_members(message):
            # The core takes no snapshot of a moment at which this node was no member: the state must not either.
            self._effects.discard(directory)
            done(False)
            return
        if index <= max(self._committed, self._applier.applied):
            self.core.restore(message)
            self._effects.discard(directory)
            done(True)
            return
        self._installing = True

        def installed() -> None:
            self._installing = False
            self._delivered = max(self._delivered, index)
            self._fail(self._appended.skipped(index), OutcomeUnknown(detail="a snapshot hides what became of it"))
            self.core.restore(message)
            self._effects.discard(directory)
            done(True)

        self._applier.install(directory, lambda: self._post(installed))

    def membership_applied(self, index: int, membership: Membership | None) -> None:
        """Take the news of who belongs to the cluster as of `index`, which is applied.

        It follows every entry that changes the membership, whatever that came to, and every other change.
        """
        self._membership.follow(index, membership, self._hard_state)
        self._tell_applied()
        self.see()

    # --- steps

    def _step(self, messages: list[bytes]) -> None:
        if self.log.size > self._options.memory_bytes and self._log_will_shrink():
            # The leader sends again what is dropped here.
            messages = [message for message in messages if not message.startswith(_APPEND_MESSAGE)]
        if any(map(self._lacks_room, messages)):
            messages = [message for message in messages if not self._lacks_room(message)]
        try:
            self.core.step(messages)
        except LogCutShort as error:
            leader, acknowledged, last = error.args
            raise LogRolledBack(node_id=self.node_id, last=last, acknowledged=acknowledged, leader_id=leader) from error

    def _log_will_shrink(self) -> bool:
        """Say whether the store has what makes the log longer than it may be still before it.

        Where it has not, the rest is not committed: only an append, which cuts it off or commits it, makes it shorter.
        """
        return self._asking_durable or self._applier.applied < self._committed

    def _lacks_room(self, message: bytes) -> bool:
        return message.startswith(_APPEND_MESSAGE) and not self._options.takes_append(len(message))

    def _propose(self, proposals: list[Proposal]) -> None:
        waiting, self._held = self._held + proposals, []
        self._append_or_refuse(waiting)
        if not self._held:
            self.backlog.take(waiting)

    def _append_or_refuse(self, waiting: list[Proposal]) -> None:
        if self.log.size > self._options.memory_bytes:
            error = Overloaded(node_id=self.node_id, waiting=len(waiting), retry_ms=500)
            self._fail([proposal.proposal_id for proposal in waiting], error)
            return
        packed = pack(waiting, commands=self._options.entry_commands, size=self._options.entry_bytes)
        appended = self.core.propose([entry.data for entry in packed])
        if appended is None:
            status = self.core.status()
            if status.role == NODE_ROLE_LEADER and status.transferee:
                # The transfer ends within an election timeout, one way or the other.
                self._held = waiting
            else:
                self._effects.refuse([proposal.proposal_id for proposal in waiting])
            return
        first, term = appended
        for offset, entry in enumerate(packed):
            self._appended.add(first + offset, term, entry.proposal_ids)

    def _change_membership(self, proposal: MembershipProposal) -> None:
        status = self.core.status()
        if status.role == NODE_ROLE_LEADER and status.changing:
            self._fail([proposal.proposal_id], MembershipChanging())
            return
        appended = self.core.propose_membership(proposal.kind, proposal.node_id, proposal.data)
        if appended is None:
            self._effects.refuse([proposal.proposal_id])
            return
        self._appended.add(*appended, [proposal.proposal_id])

    def _pump(self) -> None:
        changed = False
        while (ready := self.core.ready()) is not None:
            changed |= ready.soft_state is not None
            self._handle(ready)
        if changed:
            self._leader_changed()
        self._deliver()
        self._release()
        if not self._checkpointing and self.core.snapshot_wanted() is not None:
            self._checkpointing = True
            self._effects.make_checkpoint()

    def _handle(self, ready: Ready) -> None:
        # The only voter leads in the moment that it campaigns: had it not written down its term, it could lead in that
        # term again after a crash, and give a learner another entry of the same index and term.
        new_term = ready.hard_state is not None and ready.hard_state[0] != self._hard_state.term
        if ready.commit_first or new_term:
            self._write(ready)
            self._send(ready)
        else:
            # A leader's appends may travel while its own disk still works: it counts itself only after `advance`.
            self._send(ready)
            self._write(ready)
        if ready.persisted_messages:
            self._effects.send(ready.persisted_messages)
        for index, context in ready.read_states:
            self._barriers.answered(context, index)
        light = self.core.advance()
        if light.commit is not None:
            self._hard_state = self._hard_state._replace(commit=light.commit)
            if light.commit_first:
                self.log.append(self._hard_state, [])
        self._send(light)
        self._committed = max(self._committed, ready.committed, light.committed)
        if ready.snapshot is not None:
            self._membership.restored(ready.snapshot[0], self._hard_state)

    def _write(self, ready: Ready) -> None:
        if ready.hard_state is not None:
            self._hard_state = HardState(*ready.hard_state)
        if ready.snapshot is not None:
            index, term, _, voters, learners = ready.snapshot
            self.log.reset(LogState(self._hard_state, Point(index, term), tuple(voters), tuple(learners)))
        if ready.entries or ((ready.must_sync or ready.commit_first) and ready.snapshot is None):
            self.log.append(self._hard_state, [StoredEntry(*entry) for entry in ready.entries])

    def _send(self, ready: Ready | LightReady) -> None:
        if ready.messages:
            self._effects.send(ready.messages)
        for to, index, message in ready.snapshots:
            self._retention.sent(to, index)
            self._effects.send_snapshot(to, index, message)

    def _deliver(self) -> None:
        """Hand committed entries to the applier, as far as it has room."""
        while self._delivered < self._committed and self._applier.has_room():
            found = self.core.entries(self._delivered + 1, self._committed + 1, MEBIBYTE)
            entries = [CommittedEntry(*entry) for entry in found]
            if lost := self._appended.committed(entries):
                self._effects.refuse(lost)
            self._membership.delivered(entries)
            self._applier.submit(entries, sum(len(entry.data) for entry in entries))
            self._delivered = entries[-1].index

    def _release(self) -> None:
        if (awaited := self._barriers.next_index) is None:
            return
        self._applier.wake_when_applied(awaited)
        applied = self._applier.applied
        if readers := self._barriers.applied(applied):
            self._effects.release(readers, applied)
        self._applier.wake_when_applied(self._barriers.next_index)

    # --- what is seen to now and then

    def _leader_changed(self) -> None:
        self.see()
        leads = self.status.role == NODE_ROLE_LEADER
        self._orphaned_at = None if leads else self._ticks
        self._effects.leader_changed()

    def _see_to_orphans(self) -> None:
        """Give up on proposals of a lost leadership whose fate does not come to light soon."""
        if self._orphaned_at is None or not self._appended:
            return
        if (self._ticks - self._orphaned_at) * self._options.tick_ms >= self._options.orphan_grace_s * 1000:
            detail = f"node {self.node_id} lost leadership before a majority had the write"
            self._fail(self._appended.clear(), OutcomeUnknown(detail=detail))

    def _tell_applied(self) -> None:
        self.core.advance_apply_to(self._membership.settled(self._applier.applied))

    def _see_to_log(self) -> None:
        self._alarm = max(self._alarm, self.log.size + self._options.segment_bytes)
        if self.log.size > self._options.compact_bytes and not self._asking_durable:
            self._asking_durable = True
            self._applier.ask_durable(lambda index: self._post(lambda: self._compact(index)))

    def _see_to_silence(self) -> None:
        """Ask for an answer where nobody sends: a node without a vote does not campaign, which would bring one.

        It may have been removed by a leader that died before it could say so.
        """
        if self.node_id not in self.status.voters and not any(self.hears(node) for node in self._heard):
            self._effects.probe()

    def _compact(self, durable: int) -> None:
        self._asking_durable = False
        self._tell_applied()
        status = self.core.status()
        heard = {node: match for node, match, _, _ in status.progress if self.hears(node)}
        durable = min(durable, status.applied)
        limits = self._retention.limits(durable=durable, first=status.first_index, followers=heard)
        index = max(self.log.compactable(up_to, keep) for up_to, keep in limits)
        term = self.core.term_at(index) if index else None
        if term is not None:
            self.log.compact(Point(index, term))
            self.core.compact(index)
            for checkpoint in self._retention.passed(index):
                self.checkpoint_gone(checkpoint)
                self._effects.supersede_checkpoint(checkpoint)
        self._alarm = max(self._options.compact_bytes, self.log.size) + self._options.segment_bytes

    def _fail(self, proposal_ids: list[int], error: QuiesceError) -> None:
        if proposal_ids:
            self._effects.fail(proposal_ids, error)
