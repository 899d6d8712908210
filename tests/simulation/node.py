"""A node: the product's log, replica, applier and state, with their threads as events of the scheduler."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from nodes.consensus.applier import Applier
from nodes.consensus.log import initialise_log
from nodes.consensus.options import ConsensusOptions
from nodes.consensus.ports import Event
from nodes.consensus.replica import Replica
from nodes.consensus.starting import recover
from nodes.rotation.log_clock import LogClock
from nodes.statemachine import ReplicatedState
from quiesce.errors import DiskFailed
from tests.simulation.checkpoints import Checkpoints
from tests.simulation.clock import NodeClock
from tests.simulation.disk import PowerLoss, SimulatedDisk
from tests.simulation.durable import DurableState
from tests.simulation.effects import NodeEffects
from tests.simulation.engine import Image, Tables
from tests.simulation.files import SimulatedFiles
from tests.simulation.observed import ObservedState
from tests.simulation.peers import Peers

if TYPE_CHECKING:
    from tests.simulation.world import World

_MOST_EVENTS = 4096


class Node:
    """See the module. What happens to it while it is down is lost.

    `members` are those that it knows at first; one that does not found the cluster begins with an empty log.
    """

    def __init__(self, node_id: int, world: World, members: list[int], *, founding: bool) -> None:
        self.id = node_id
        self.world = world
        plan = world.plan
        self.rng = random.Random(f"{plan.seed} node {node_id}")
        self.root = Path(f"/{node_id}")
        self.slow_us = 0
        self.disk = SimulatedDisk(self.root, self.rng, self._sync_cost)
        self.durable = DurableState(self.disk, self.root / "raft", self.root / "store")
        self.clock = NodeClock(world.scheduler, plan.rates[node_id % len(plan.rates)])
        self.options = ConsensusOptions(
            tick_ms=max(1, plan.tick_us // 1000),
            election_ticks=plan.election_ticks,
            heartbeat_ticks=plan.heartbeat_ticks,
            entry_commands=plan.entry_commands,
            entry_bytes=plan.entry_bytes,
            message_bytes=plan.message_bytes,
            inflight_messages=plan.inflight,
            apply_bytes=plan.apply_bytes,
            memory_bytes=plan.memory_bytes,
            segment_bytes=plan.segment_bytes,
            compact_bytes=plan.compact_bytes,
            keep_bytes=plan.keep_bytes,
            hold_bytes=plan.hold_bytes,
            orphan_grace_s=10 * plan.tick_us / 1e6,
            disk=self.disk,
            takes_append=lambda _: not self.low,
            new_salt=lambda: self.rng.getrandbits(32),
        )
        self.known_members = members
        # Counts lives; what was planned in an earlier one does not happen.
        self.life = 0
        self.up = False
        # Removed from the cluster, and ended for good.
        self.gone = False
        self.paused_until = 0
        # The disk has no room for appends.
        self.low = False
        self.dies_by_kill = False
        # A node that joins begins behind whatever the cluster's log still has.
        where = {"voters": members} if founding else {"voters": (), "index": 0, "term": 0}
        initialise_log(self.root / "raft", disk=self.disk, new_salt=self.options.new_salt, **where)

    def _sync_cost(self) -> int:
        return self.rng.randint(*self.world.plan.sync_us) + (self.rng.randint(0, self.slow_us) if self.slow_us else 0)

    # --- life

    def start(self) -> None:
        """Start; a disk that fails or loses power in the middle ends this life too."""
        self.life += 1
        self.up = True
        self._inbox: list[Event] = []
        self._driver_planned = self._applier_planned = False
        self._driver_busy = self._applier_busy = self.world.scheduler.now
        self.effects = NodeEffects(self)
        self.world.faults.tempt(self)
        self.attempt(self._recover)
        if self.up:
            self.world.trace(self.id, "started")
            self._plan_tick(self.clock.tick_us(self.world.plan.tick_us))

    def _recover(self) -> None:
        files, rng = SimulatedFiles(self.disk), self.rng
        self.state = ReplicatedState(self.root, self.id, files)
        observed = ObservedState(self, self.state, self.world.applied)
        self.peers = Peers(self, self.known_members)
        if (membership := self.state.membership) is not None:
            # Where this node was removed, it waits once more until the others know of it.
            self.peers.follow(membership)
        core, log, applied = recover(self.id, self.root / "raft", observed, self.options, priority=0)
        self.world.invariants.check_recovered(self, core)
        self.applier = Applier(
            observed,
            applied,
            most_bytes=self.options.apply_bytes,
            on_outcomes=self.effects.resolve,
            on_membership=self.effects.membership_applied,
            wake=self._plan_driver,
            on_fatal=_fatal,
        )
        life, counter = rng.getrandbits(64), itertools.count()
        self.replica = Replica(
            node_id=self.id,
            core=core,
            log=log,
            applier=self.applier,
            effects=self.effects,
            post=self.post,
            options=self.options,
            context=lambda: f"{self.id}.{life}.{next(counter)}".encode(),
        )
        self.checkpoints = Checkpoints(self, observed, files)
        self.log_clock = LogClock(self.peers.agreed_ms, self.clock.monotonic)

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
        self._end(power=power, pages=pages)
        world.scheduler.after(0 if world.healed else self.rng.randint(1, world.plan.down_us), self._restart)

    def leave(self) -> None:
        """End for good: the cluster has no use for this node any more."""
        self.world.trace(self.id, "has left")
        self.world.counts["left"] += 1
        self.gone = True
        self._end(power=False, pages=False)

    def _end(self, *, power: bool, pages: bool) -> None:
        self.up = False
        self.life += 1
        self.disk.crash(power=power, pages=pages)
        self.world.invariants.crashed(self)

    def _restart(self) -> None:
        if not self.up and not self.gone:
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
            # What was missed stays missed, as in the driver.
            self._plan_tick(self._driver_delay())
            return
        self._plan_tick(self.clock.tick_us(self.world.plan.tick_us))
        self.peers.tick()
        if self.up:
            self._work(self.replica.tick)

    # --- the applier's thread

    def _plan_applier(self) -> None:
        if not self._applier_planned:
            self._applier_planned = True
            delay = self.rng.randint(*self.world.plan.apply_us)
            self.later(max(self._applier_busy, self.paused_until) - self.world.scheduler.now + delay, self._apply)

    def _apply(self) -> None:
        if self.paused_until > self.world.scheduler.now:
            self.later(self.paused_until - self.world.scheduler.now, self._apply)
            return
        self._applier_planned = False
        self._applier_busy = self.world.scheduler.now + self.attempt(self._step_applier)
        if self.up and not self.applier.idle:
            self._plan_applier()

    def _step_applier(self) -> None:
        self.applier.step()


def _fatal(error: BaseException) -> None:
    raise error
