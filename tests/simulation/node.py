"""A node: the product's log, replica, applier and state, with their threads as events of the scheduler."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nodes._native import RaftCore
from nodes.consensus.applier import Applier, Outcomes
from nodes.consensus.log import initialise_log
from nodes.consensus.options import ConsensusOptions
from nodes.consensus.proposals import Proposal
from nodes.consensus.recovery import fit_to_store, recover_log
from nodes.consensus.replica import Event, PeerMessages, Reader, Replica
from nodes.rotation.log_clock import LogClock
from nodes.statemachine import ReplicatedState
from nodes.store import StoreView
from quiesce.errors import DiskFailed, NoLeader, NotLeader, QuiesceError, Unavailable
from quiesce.v1.node_pb2 import NODE_ROLE_LEADER
from quiesce.v1.peer_pb2 import Command, Outcome
from tests.simulation.checkpoints import Checkpoints
from tests.simulation.clock import NodeClock
from tests.simulation.disk import PowerLoss, SimulatedDisk
from tests.simulation.durable import DurableState
from tests.simulation.engine import Image, Tables
from tests.simulation.files import SimulatedFiles
from tests.simulation.messages import read_message
from tests.simulation.observed import ObservedState

if TYPE_CHECKING:
    from tests.simulation.world import World

# What a client's request comes to.
Answer = Outcome | QuiesceError
_MOST_EVENTS = 4096
_HOP_US = 20


class Question(NamedTuple):
    """A read that waits for its barrier; `index` had been acknowledged to somebody before it came."""

    index: int
    answer: Callable[[StoreView | QuiesceError], None]

    def done(self) -> bool:
        """Go on waiting."""
        return False


class Node:
    """See the module. What happens to it while it is down is lost."""

    def __init__(self, node_id: int, world: World) -> None:
        self.id = node_id
        self.world = world
        plan = world.plan
        self.rng = random.Random(f"{plan.seed} node {node_id}")
        self.root = Path(f"/{node_id}")
        self.slow_us = 0
        self.disk = SimulatedDisk(self.root, self.rng, self._sync_cost)
        self.durable = DurableState(self.disk, self.root / "raft", self.root / "store")
        self.clock = NodeClock(world.scheduler, plan.rates[node_id - 1])
        self.options = ConsensusOptions(
            tick_ms=max(1, plan.tick_us // 1000),
            election_ticks=plan.election_ticks,
            heartbeat_ticks=plan.heartbeat_ticks,
            entry_commands=plan.entry_commands,
            entry_bytes=plan.entry_bytes,
            apply_bytes=plan.apply_bytes,
            memory_bytes=plan.memory_bytes,
            segment_bytes=plan.segment_bytes,
            compact_bytes=plan.compact_bytes,
            keep_bytes=plan.keep_bytes,
            orphan_grace_s=10 * plan.tick_us / 1e6,
        )
        # Counts lives; what was planned in an earlier one does not happen.
        self.life = 0
        self.up = False
        self.paused_until = 0
        self.dies_by_kill = False
        initialise_log(self.root / "raft", voters=list(world.ids), disk=self.disk, new_salt=self._salt)

    def _salt(self) -> int:
        return self.rng.getrandbits(32)

    def _sync_cost(self) -> int:
        return self.rng.randint(*self.world.plan.sync_us) + (self.rng.randint(0, self.slow_us) if self.slow_us else 0)

    # --- life

    def start(self) -> None:
        """Start; a disk that fails or loses power in the middle ends this life too."""
        self.life += 1
        self.up = True
        self._inbox: list[Event] = []
        self._waiting: dict[int, Callable[[Answer], None]] = {}
        self._driver_planned = self._applier_planned = False
        self._driver_busy = self._applier_busy = self.world.scheduler.now
        self.attempt(self._recover)
        if self.up:
            self.world.trace(self.id, "started")
            self._plan_tick(self.clock.tick_us(self.world.plan.tick_us))

    def _recover(self) -> None:
        options, plan, disk, rng = self.options, self.world.plan, self.disk, self.rng
        files = SimulatedFiles(disk)
        self.state = ReplicatedState(self.root, self.id, files)
        observed = ObservedState(self, self.state, self.world.applied)
        for leftover in ("incoming", "outgoing"):
            files.remove_tree(self.root / "raft" / leftover)
        recovered = recover_log(self.root / "raft", disk=disk, segment_bytes=options.segment_bytes, new_salt=self._salt)
        applied = fit_to_store(recovered, self.state.applied, str(self.root))
        state = recovered.log.state
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
            max_size_per_msg=plan.message_bytes,
            max_inflight_msgs=plan.inflight,
        )
        self.applier = Applier(
            observed,
            applied,
            most_bytes=options.apply_bytes,
            on_outcomes=self._resolve,
            wake=self._plan_driver,
            on_fatal=self._fatal,
        )
        life = rng.getrandbits(64)
        counter = iter(range(1 << 62))
        self._ids = iter(range(rng.getrandbits(63), 1 << 64))
        self.replica = Replica(
            node_id=self.id,
            core=core,
            log=recovered.log,
            applier=self.applier,
            effects=self,
            post=self.post,
            options=options,
            context=lambda: f"{self.id}.{life}.{next(counter)}".encode(),
        )
        self.checkpoints = Checkpoints(self, observed, files)
        self.log_clock = LogClock(self.clock.wall_ms, self.clock.monotonic)

    def _fatal(self, error: BaseException) -> None:
        raise error

    def attempt(self, work: Callable[[], None]) -> int:
        """Do some work of this node, which it may not survive; return the microseconds that its disk took."""
        disk = self.disk
        try:
            work()
        except PowerLoss:
            self.crash(power=not self.dies_by_kill)
        except DiskFailed as error:
            self.world.trace(self.id, f"ends: {error}")
            self.world.counts["disk errors"] += 1
            self.crash(power=False, pages=True)
        elapsed, disk.elapsed = disk.elapsed, 0
        if self.up:
            self._steer()
        return elapsed

    def _steer(self) -> None:
        """Replace raft-rs's own randomness, which a change of term or role has drawn anew; then look at what came."""
        core, ticks = self.replica.core, self.options.election_ticks
        status = core.status()
        spread = (self.world.plan.seed * 31 + self.id * 7_919 + status.term * 104_729 + status.role) * 2_654_435_761
        core.set_randomized_election_timeout(ticks + (spread >> 7) % ticks)
        self.world.invariants.check(self, status)

    def crash(self, *, power: bool, pages: bool = False) -> None:
        """End this life, and plan the next."""
        world = self.world
        world.trace(self.id, "loses power" if power else "is killed")
        world.counts["crashes"] += 1
        self.up = False
        self.life += 1
        self.disk.crash(power=power, pages=pages)
        world.invariants.crashed(self)
        world.scheduler.after(0 if world.healed else self.rng.randint(1, world.plan.down_us), self._restart)

    def _restart(self) -> None:
        if not self.up:
            self.start()

    def tables(self) -> Tables:
        """Return the content of the store, as its reader finds it now."""
        image = self.disk.names[self.state.store.engine.directory]
        assert isinstance(image, Image)
        return image.newest

    def later(self, delay: int, event: Callable[[], None]) -> None:
        """Plan an event of this life."""
        life = self.life
        self.world.scheduler.after(delay, lambda: event() if self.life == life else None)

    # --- the Raft thread

    def post(self, event: Event) -> None:
        """Put an event into the inbox."""
        self._inbox.append(event)
        self._plan_driver()

    def _plan_driver(self) -> None:
        if not self._driver_planned:
            self._driver_planned = True
            self.later(self._driver_delay(), self._drive)

    def _driver_delay(self) -> int:
        return max(self._driver_busy, self.paused_until) - self.world.scheduler.now

    def _drive(self) -> None:
        if self._driver_delay() > 0:
            self.later(self._driver_delay(), self._drive)
            return
        self._driver_planned = False
        events, self._inbox = self._inbox[:_MOST_EVENTS], self._inbox[_MOST_EVENTS:]
        self._work(lambda: self.replica.take(events))

    def _work(self, work: Callable[[], None]) -> None:
        self._driver_busy = self.world.scheduler.now + self.attempt(work)
        if self.up and not self.applier.idle:
            self._plan_applier()

    def _plan_tick(self, delay: int) -> None:
        self.later(delay, self._tick)

    def _tick(self) -> None:
        if self._driver_delay() > 0:
            self._plan_tick(self._driver_delay())
            return
        self._plan_tick(self.clock.tick_us(self.world.plan.tick_us))
        self._work(self.replica.tick)

    # --- the applier's thread

    def _plan_applier(self) -> None:
        if not self._applier_planned:
            self._applier_planned = True
            now = self.world.scheduler.now
            delay = self.rng.randint(*self.world.plan.apply_us)
            self.later(max(self._applier_busy, self.paused_until) - now + delay, self._apply)

    def _apply(self) -> None:
        if self.paused_until > self.world.scheduler.now:
            self.later(self.paused_until - self.world.scheduler.now, self._apply)
            return
        self._applier_planned = False

        def step() -> None:
            self.applier.step()

        self._applier_busy = self.world.scheduler.now + self.attempt(step)
        if self.up and not self.applier.idle:
            self._plan_applier()

    def _resolve(self, outcomes: Outcomes) -> None:
        found = [(self._waiting.pop(one), outcome) for one, outcome in outcomes if one in self._waiting]
        for answer, outcome in found:
            self.later(self.disk.elapsed + _HOP_US, lambda answer=answer, outcome=outcome: answer(outcome))

    # --- effects of the replica

    def send(self, batch: list[tuple[int, bytes]]) -> None:
        groups: dict[int, list[bytes]] = {}
        world = self.world
        for to, message in batch:
            read = read_message(message)
            world.invariants.check_sent(self, read)
            if world.trace.on:
                world.trace(self.id, f"-> {to} {read}")
            groups.setdefault(to, []).append(message)
        left_at = world.scheduler.now + self.disk.elapsed
        for to, group in groups.items():
            peer = world.nodes[to]
            world.network.send(
                self.id, to, left_at,
                lambda peer=peer, group=group: peer.hear(self.id, group),
                lambda to=to: self.post(lambda: self.replica.report_unreachable(to)),
            )  # fmt: skip

    def hear(self, sender: int, group: list[bytes]) -> None:
        """Take messages of a peer."""
        if self.up:
            if self.world.trace.on:
                for message in group:
                    self.world.trace(self.id, f"<- {sender} {read_message(message)}")
            self.post(PeerMessages(sender, group, sum(map(len, group))))

    def send_snapshot(self, to: int, index: int, message: bytes) -> None:
        self.checkpoints.send(to, index, message)

    def make_checkpoint(self) -> None:
        self.checkpoints.make()

    def refuse(self, proposal_ids: list[int]) -> None:
        self._fail(proposal_ids, self.elsewhere())
        self.world.applied.refuse(proposal_ids)

    def fail(self, proposal_ids: list[int], error: QuiesceError) -> None:
        self._fail(proposal_ids, error)

    def _fail(self, proposal_ids: Sequence[int], error: QuiesceError) -> None:
        for one in proposal_ids:
            if (answer := self._waiting.pop(one, None)) is not None:
                self.later(_HOP_US, lambda answer=answer: answer(error))

    def release(self, readers: Sequence[Question], index: int) -> None:
        for reader in readers:
            self.world.check_read(self, reader.index, index)
            self.later(_HOP_US, lambda reader=reader: self._read(reader))

    def _read(self, reader: Question) -> None:
        with self.state.store.view() as view:
            self.world.check_read(self, reader.index, view.applied[0])
            reader.answer(view)

    def leader_changed(self) -> None:
        status = self.replica.status
        self.world.trace(self.id, f"role {status.role} in term {status.term}, leader {status.leader}")

    def discard(self, directory: Path) -> None:
        self.later(0, lambda: self.attempt(lambda: SimulatedFiles(self.disk).remove_tree(directory)) and None)

    # --- what clients ask

    def elsewhere(self) -> QuiesceError:
        """Return the error that names the leader, if this node knows another."""
        leader = self.replica.status.leader
        return NoLeader() if leader in (0, self.id) else NotLeader(node_id=self.id, leader_address=leader)

    def propose(self, command: Command, answer: Callable[[Answer], None]) -> None:
        """Have a command applied; the answer may never come."""
        if not self.up:
            answer(Unavailable(addresses=self.id, seconds=0, detail="down"))
        elif self.replica.status.role != NODE_ROLE_LEADER:
            answer(self.elsewhere())
        else:
            self.log_clock.observe(self.state.store.state.log_time_ms)
            command.time_ms = self.log_clock.now_ms()
            command.proposal_id = next(self._ids)
            self._waiting[command.proposal_id] = answer
            self.post(Proposal(command.proposal_id, command.SerializeToString()))

    def read(self, answer: Callable[[StoreView | QuiesceError], None], *, stale: bool) -> None:
        """Give a client a view, behind a barrier unless it takes a stale one."""
        if not self.up:
            answer(Unavailable(addresses=self.id, seconds=0, detail="down"))
        elif stale:
            with self.state.store.view() as view:
                answer(view)
        else:
            self.post(Reader(Question(self.world.history.acknowledged, answer)))
