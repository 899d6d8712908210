"""A cluster under a seeded scheduler: disks that lose what was not synced, a network that loses, delays, doubles.

Invariants are checked at every step. A seed reproduces a run: raft-rs's own randomness is replaced by ours.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path

from consensus_memory_disk import MemoryDisk, PowerLoss

from nodes._native import RaftCore, describe_snapshot
from nodes.consensus.interface import CheckpointMade, CommittedEntry
from nodes.consensus.log import initialise_log
from nodes.consensus.options import ConsensusOptions
from nodes.consensus.proposals import Proposal
from nodes.consensus.recovery import fit_to_store, recover_log
from nodes.consensus.replica import PeerMessages, Reader, Replica
from quiesce.errors import QuiesceError
from quiesce.v1.node_pb2 import NODE_ROLE_LEADER
from quiesce.v1.peer_pb2 import Command, LogEntry, Outcome

ROOT = Path("/simulated")


class SimulatedApplier:
    """Applies when the scheduler says so; a crash takes the state back to what was made durable."""

    def __init__(self, node: SimulatedNode, history: list[CommittedEntry]) -> None:
        self.node = node
        self.history = history
        self.applied = history[-1].index if history else 5
        self.queue: deque[Callable[[], None]] = deque()

    def has_room(self) -> bool:
        return len(self.queue) < 3

    def submit(self, entries: Sequence[CommittedEntry], size: int) -> None:
        self.queue.append(lambda: self._apply(entries))

    def _apply(self, entries: Sequence[CommittedEntry]) -> None:
        for entry in entries:
            if entry.index <= self.applied:
                continue
            assert entry.index == self.applied + 1
            self.node.world.check_applied(self.node, entry)
            self.history.append(entry)
            self.applied = entry.index
            self.node.world.outcomes(self.node, entry)

    def install(self, directory: Path, done: Callable[[], None]) -> None:
        def install() -> None:
            self.history[:] = self.node.world.checkpoints[directory.name]
            self.node.durable = list(self.history)
            self.applied = self.history[-1].index
            done()

        self.queue.append(install)

    def ask_durable(self, answer: Callable[[int], None]) -> None:
        def durable() -> None:
            self.node.durable = list(self.history)
            answer(self.applied)

        self.queue.append(durable)

    def wake_when_applied(self, index: int | None) -> None:
        pass

    def run(self, count: int) -> None:
        for _ in range(min(count, len(self.queue))):
            self.queue.popleft()()


class SimulatedReader:
    def __init__(self, least: int) -> None:
        self.least = least
        self.answer: int | None = None

    def done(self) -> bool:
        return self.answer is not None


class SimulatedNode:
    """A node, and the effects of its replica."""

    def __init__(self, node_id: int, world: World) -> None:
        self.id = node_id
        self.world = world
        self.disk = MemoryDisk(world.rng)
        initialise_log(ROOT, voters=list(world.ids), disk=self.disk)
        self.durable: list[CommittedEntry] = []
        self.life = 0
        self.greatest_term = 0
        self.start()

    def start(self) -> None:
        self.life += 1
        history = list(self.durable)
        position = (history[-1].index, history[-1].term) if history else (0, 0)
        options = self.world.options
        recovered = recover_log(ROOT, disk=self.disk, segment_bytes=options.segment_bytes)
        applied = fit_to_store(recovered, position, "store")
        state = recovered.log.state
        assert state.hard_state.term >= self.greatest_term
        core = RaftCore(
            node_id=self.id,
            applied=applied,
            hard_state=(state.hard_state.term, state.hard_state.vote, state.hard_state.commit),
            voters=list(state.voters),
            learners=list(state.learners),
            base=(state.base.index, state.base.term),
            entries=[entry.data for entry in recovered.entries],
            election_tick=options.election_ticks,
            heartbeat_tick=options.heartbeat_ticks,
            max_size_per_msg=4096,
            max_inflight_msgs=8,
        )
        self.applier = SimulatedApplier(self, history)
        self.inbox: list[Callable[[], None]] = []
        contexts = itertools.count()
        self.replica = Replica(
            node_id=self.id,
            core=core,
            log=recovered.log,
            applier=self.applier,
            effects=self,
            post=self.inbox.append,
            options=options,
            context=lambda: f"{self.id}.{self.life}.{next(contexts)}".encode(),
        )
        self.seed_timeout()

    def crash(self) -> None:
        self.greatest_term = max(self.greatest_term, self.promised_term())
        self.disk.crash()
        self.start()

    def promised_term(self) -> int:
        recovered = recover_log(ROOT, disk=self.disk.durable())
        return recovered.log.state.hard_state.term

    def seed_timeout(self) -> None:
        """Replace raft-rs's own randomness, which a change of term or role has drawn anew."""
        ticks = self.world.options.election_ticks
        status = self.replica.core.status()
        spread = random.Random(f"{self.world.seed} {self.id} {status.term} {status.role}").randrange(ticks)
        self.replica.core.set_randomized_election_timeout(ticks + spread)

    def take(self, *events) -> None:
        posted, self.inbox[:] = list(self.inbox), []
        self.replica.take([*events, *posted])
        self.seed_timeout()
        self.world.check_leader(self)

    def tick(self) -> None:
        self.replica.tick()
        self.seed_timeout()
        self.world.check_leader(self)

    # --- effects

    def send(self, messages: list[tuple[int, bytes]]) -> None:
        for to, message in messages:
            self.world.send(self, to, message)

    def send_snapshot(self, to: int, index: int, message: bytes) -> None:
        arrived = self.world.rng.random() < 0.8
        if arrived:
            self.world.snapshots.append((to, index, message))
        self.inbox.append(lambda: self.replica.report_snapshot(to, arrived))

    def make_checkpoint(self) -> None:
        history = list(self.applier.history)
        if not history:
            self.inbox.append(lambda: self.replica.checkpoint_gone(None))
            return
        last = history[-1]
        self.world.checkpoints[str(last.index)] = history
        self.inbox.append(lambda: self.replica.checkpoint_made(CheckpointMade(last.index, last.term, None)))

    def supersede_checkpoint(self, index: int) -> None:
        pass

    def fail(self, proposal_ids: list[int], error: QuiesceError) -> None:
        pass

    def refuse(self, proposal_ids: list[int]) -> None:
        self.world.refused.update(proposal_ids)
        assert not self.world.refused & self.world.taken.keys(), "what was refused has taken effect"

    def release(self, readers: Sequence[SimulatedReader], index: int) -> None:
        for reader in readers:
            assert self.applier.applied >= index
            assert index >= reader.least, "a reader misses what was acknowledged before it came"
            reader.answer = index
            self.world.reads += 1

    def leader_changed(self) -> None:
        pass

    def discard(self, directory: Path) -> None:
        pass


class World:
    """All nodes, what is on its way between them, and what has been promised to anybody."""

    def __init__(self, seed: int, size: int = 3) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.ids = range(1, size + 1)
        self.options = ConsensusOptions(
            election_ticks=10, heartbeat_ticks=1, segment_bytes=800, compact_bytes=2000, keep_bytes=800,
            hold_bytes=2400, entry_commands=3, orphan_grace_s=0.5,
        )  # fmt: skip
        self.network: list[tuple[int, int, bytes]] = []
        self.snapshots: list[tuple[int, int, bytes]] = []
        self.checkpoints: dict[str, list[CommittedEntry]] = {}
        self.cut: set[int] = set()
        self.leaders: dict[int, int] = {}
        self.entries: dict[int, tuple[int, bytes]] = {}
        # Proposal ids by the index that they took effect at, and the greatest index acknowledged to a client.
        self.taken: dict[int, int] = {}
        self.refused: set[int] = set()
        self.acknowledged = 0
        self.reads = 0
        self.proposed = 0
        self.crashes = 0
        self.installs = 0
        self.waiting: dict[int, int] = {}
        self.nodes = {node: SimulatedNode(node, self) for node in self.ids}

    def send(self, sender: SimulatedNode, to: int, message: bytes) -> None:
        for _ in range(2 if self.rng.random() < 0.05 else 1):
            if self.rng.random() > 0.05:
                self.network.append((sender.id, to, message))

    # --- invariants

    def check_leader(self, node: SimulatedNode) -> None:
        status = node.replica.core.status()
        if status.role == NODE_ROLE_LEADER:
            other = self.leaders.setdefault(status.term, node.id)
            assert other == node.id, f"two leaders in term {status.term}"

    def check_applied(self, node: SimulatedNode, entry: CommittedEntry) -> None:
        known = self.entries.get(entry.index)
        if known is not None:
            assert known == (entry.term, entry.data), f"two entries at index {entry.index}"
            return
        self.entries[entry.index] = (entry.term, entry.data)
        disks = [recover_log(ROOT, disk=one.disk.durable()) for one in self.nodes.values()]
        holders = sum(
            one.term_at(entry.index) == entry.term or one.log.state.base.index >= entry.index for one in disks
        )
        assert 2 * holders > len(self.nodes), f"entry {entry.index} is applied and on {holders} disks only"
        for command in LogEntry.FromString(entry.data).commands:
            assert command.proposal_id not in self.taken, "a proposal took effect twice"
            assert command.proposal_id not in self.refused, "what was refused has taken effect"
            self.taken[command.proposal_id] = entry.index

    def outcomes(self, node: SimulatedNode, entry: CommittedEntry) -> None:
        for command in LogEntry.FromString(entry.data).commands:
            if self.waiting.get(command.proposal_id) == node.id:
                self.acknowledged = max(self.acknowledged, entry.index)

    # --- what happens

    def step(self) -> None:
        try:
            self.happen()
        except PowerLoss:
            (dark,) = [node for node in self.nodes.values() if node.disk.power is not None and node.disk.power < 0]
            self.crash(dark)

    def crash(self, node: SimulatedNode) -> None:
        self.crashes += 1
        self.waiting = {one: at for one, at in self.waiting.items() if at != node.id}
        node.crash()

    def happen(self) -> None:
        rng = self.rng
        node = self.nodes[rng.choice(self.ids)]
        kind = rng.random()
        if kind < 0.20:
            node.tick()
        elif kind < 0.62:
            self.deliver()
        elif kind < 0.80:
            node.applier.run(rng.randint(1, 3))
            node.take()
        elif kind < 0.93:
            self.propose(node)
        elif kind < 0.97:
            node.take(Reader(SimulatedReader(self.acknowledged)))
        elif kind < 0.975:
            self.cut ^= {node.id}
            if 2 * len(self.cut) >= len(self.nodes):
                self.cut.clear()
        elif kind < 0.982:
            # At once, or within the next few things that it does to its disk.
            node.disk.power = rng.choice((0, 0, 1, 2, 3, 5))
            if not node.disk.power:
                self.crash(node)
        elif kind < 0.99 and self.snapshots:
            to, index, message = self.snapshots.pop(rng.randrange(len(self.snapshots)))
            self.install(to, index, message)
        else:
            peer = rng.choice(self.ids)
            node.take(lambda: node.replica.report_unreachable(peer))

    def deliver(self) -> None:
        for _ in range(self.rng.randint(1, 6)):
            if not self.network:
                return
            # Mostly in order, now and then not.
            at = 0 if self.rng.random() < 0.9 else self.rng.randrange(len(self.network))
            sender, to, message = self.network.pop(at)
            if sender not in self.cut and to not in self.cut:
                self.nodes[to].take(PeerMessages(sender, [message], len(message)))

    def install(self, to: int, index: int, message: bytes) -> None:
        node = self.nodes[to]
        assert describe_snapshot(message)[1] == index
        self.installs += 1
        node.take(lambda: node.replica.install(Path(str(index)), message, index, lambda taken: None))

    def propose(self, node: SimulatedNode) -> None:
        made = []
        for _ in range(self.rng.randint(1, 5)):
            self.proposed += 1
            command = Command(proposal_id=self.proposed)
            command.drop_database.name = "x" * self.rng.randint(0, 60)
            self.waiting[self.proposed] = node.id
            made.append(Proposal(self.proposed, command.SerializeToString()))
        node.take(*made)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()

    def heal(self) -> None:
        """Let everything arrive, until all nodes have applied the same."""
        self.cut.clear()
        for node in self.nodes.values():
            node.disk.power = None
        for _ in range(400):
            for node in self.nodes.values():
                node.tick()
                node.applier.run(10)
                node.take()
            for _ in range(len(self.network)):
                sender, to, message = self.network.pop(0)
                self.nodes[to].take(PeerMessages(sender, [message], len(message)))
            while self.snapshots:
                self.install(*self.snapshots.pop())
            applied = {node.applier.applied for node in self.nodes.values()}
            commits = {node.replica.core.status().commit for node in self.nodes.values()}
            if len(applied) == 1 and applied == commits and min(applied) >= max(self.entries, default=0):
                return
        raise AssertionError(f"the cluster does not settle: applied {applied}, committed {commits}")

    def check_end(self) -> None:
        histories = [[(one.index, one.term, one.data) for one in node.applier.history] for node in self.nodes.values()]
        assert all(history == histories[0] for history in histories)
        found = Counter(
            command.proposal_id for _, _, data in histories[0] for command in LogEntry.FromString(data).commands
        )
        assert all(count == 1 for count in found.values())
        assert found.keys() == self.taken.keys()


__all__ = ["Outcome", "World"]
