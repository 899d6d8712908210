"""Carries out what the serving gate and the rotation lease ask of this node."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from nodes.consensus import Consensus
from nodes.proposals import Proposals
from nodes.rotation.admission import Voter
from nodes.rotation.gate import CaughtUp, Effect, Event, FellBehind, Gate, LeaseEnded, LeaseTaken, Stopping, Tick
from nodes.rotation.held import Held
from nodes.rotation.log_clock import LogClock
from nodes.rotation.succession import choose_successor
from nodes.service.calls import Calls
from nodes.statemachine import ReplicatedState
from quiesce.errors import QuiesceError
from quiesce.failpoints import reach
from quiesce.v1 import node_pb2, peer_pb2

# raft-rs: a voter does not vote for a candidate of lower priority, unless that one's log is longer.
_PRIORITY, _LOW_PRIORITY = 0, -1
_LOOK_S = 0.1
_ADVANCE_S = 1.0
_ADVANCE_LEAST_S = 0.02
_HAND_OVER_S = 0.5
_PATIENCE_S = 2.0
_log = structlog.get_logger("rotation")


class Rotation:
    """Watches the lease in the applied state; `run` it as long as the node lives.

    Args:
        set_health: told whether clients are to come.
        on_held: told what `held` is whenever it changes.
    """

    def __init__(
        self,
        *,
        node_id: int,
        gate: Gate,
        calls: Calls,
        consensus: Consensus,
        state: ReplicatedState,
        proposals: Proposals,
        clock: LogClock,
        set_health: Callable[[bool], Awaitable[None]],
        on_held: Callable[[Held | None], Awaitable[None]],
    ) -> None:
        self.lease: node_pb2.RotationLease | None = None
        self._node_id = node_id
        self._gate = gate
        self._calls = calls
        self._consensus = consensus
        self._state = state
        self._proposals = proposals
        self._clock = clock
        self._set_health = set_health
        self._on_held = on_held
        self._wake = asyncio.Event()
        self._tasks: asyncio.TaskGroup
        self._catching_up: asyncio.Task[None] | None = None
        self._epoch: int | None = None
        self._reluctant = False

    async def run(self) -> None:
        """Watch, step the gate, and lead when it is this node's turn; ends only by cancellation or a bug."""
        loop = asyncio.get_running_loop()

        def wake(_: node_pb2.RotationLease | None) -> None:
            loop.call_soon_threadsafe(self._wake.set)

        self._state.on_lease_changed = wake
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self.look()
            self._carry_out([Effect.CATCH_UP])
            tasks.create_task(self._watch())
            tasks.create_task(self._keep_log_time())
            tasks.create_task(self._keep_leadership_away())

    @property
    def epoch(self) -> int | None:
        """The epoch of the lease on this node, or None."""
        return self._epoch

    @property
    def held(self) -> Held | None:
        """The lease on this node and whose it is, or None."""
        return Held.of(self.lease) if self._epoch is not None and self.lease is not None else None

    @property
    def out(self) -> int | None:
        """The node that is out of rotation, or None."""
        return self.lease.node_id if self.lease is not None else None

    @property
    def reluctant(self) -> bool:
        """Whether this node leads only where no other can: its disk is full."""
        return self._reluctant

    @reluctant.setter
    def reluctant(self, reluctant: bool) -> None:
        if reluctant is not self._reluctant:
            self._reluctant = reluctant
            self._set_priority()

    def fell_behind(self, why: str) -> None:
        """Serve no reads before this node has caught up again."""
        self._step(FellBehind(why))

    def _set_priority(self) -> None:
        low = self._reluctant or self._epoch is not None
        self._consensus.set_priority(_LOW_PRIORITY if low else _PRIORITY)

    def stop_serving(self) -> None:
        """Turn new reads away for good: the daemon is being stopped."""
        self._step(Stopping())
        self._wake.set()

    async def give_leadership_away(self, timeout_s: float) -> None:
        """Hand leadership over, if this node leads and anybody can take it: best to one that is in rotation."""
        out = [self.lease.node_id] if self.lease is not None else []
        voters = self.voters()
        if not voters:
            return
        successor = choose_successor(voters, leader=self._node_id, avoid=out)
        successor = successor or choose_successor(voters, leader=self._node_id)
        if successor is None:
            _log.warning("nobody to lead instead", voters=sorted(voters))
            return
        try:
            await self._consensus.transfer_leadership(successor, timeout_s=timeout_s)
        except QuiesceError as error:
            _log.warning("leadership was not handed over", to=successor, error=str(error))

    def voters(self) -> dict[int, Voter]:
        """Return the voters as this leader sees them, itself included; empty where it does not lead."""
        return self._seen(learners=False)

    def nodes(self) -> dict[int, Voter]:
        """Return the voters and learners as this leader sees them; empty where it does not lead."""
        return self._seen(learners=True)

    def heard_since(self, tick: int) -> dict[int, Voter]:
        """Return the same, active only who has sent something after that tick of the consensus clock."""
        peers = self._consensus.status().peers
        return {
            n: voter if n == self._node_id else Voter(voter.match_index, n in peers and peers[n].heard_tick > tick)
            for n, voter in self.nodes().items()
        }

    def _seen(self, *, learners: bool) -> dict[int, Voter]:
        status = self._consensus.status()
        if status.role != node_pb2.NODE_ROLE_LEADER:
            return {}
        seen = {n: Voter(peer.match, peer.active) for n, peer in status.peers.items() if learners or not peer.learner}
        return seen | {self._node_id: Voter(status.last_index, True)}

    async def _watch(self) -> None:
        served: bool | None = None
        told = self.held
        while True:
            self.look()
            self._step(Tick())
            if self._gate.open is not served:
                served = self._gate.open
                await self._set_health(served)
            if self.held != told:
                told = self.held
                await self._on_held(told)
            try:
                await asyncio.wait_for(self._wake.wait(), _LOOK_S)
            except TimeoutError:
                continue
            self._wake.clear()

    def look(self) -> None:
        """Take in the lease as the applied state has it now."""
        with self._state.store.view() as view:
            self.lease = view.lease()
            self._clock.observe(view.log_time_ms())
        mine = self.lease if self.lease is not None and self.lease.node_id == self._node_id else None
        epoch = mine.epoch if mine is not None else None
        if epoch == self._epoch:
            return
        self._epoch = epoch
        if mine is None:
            self._set_priority()
            reach("node.lease.ended")
            _log.info("the lease ended")
            self._step(LeaseEnded())
        else:
            self._set_priority()
            reach("node.lease.taken")
            _log.info("out of rotation", epoch=mine.epoch, owner=mine.owner, reason=mine.reason)
            self._step(LeaseTaken(mine.epoch, f"{mine.reason}, for {mine.owner}"))

    def _step(self, event: Event) -> None:
        before = self._gate.state
        effects = self._gate.step(event)
        if self._gate.state is not before:
            reach(f"node.rotation.{self._gate.state.name.lower()}")
            _log.info("serving state", state=self._gate.state.name.lower(), why=self._gate.why)
        self._carry_out(effects)

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Effect.START_SERVING | Effect.STOP_SERVING:
                    self._wake.set()
                case Effect.CUT_READS:
                    _log.info("cutting reads that still run", running=self._gate.running)
                    self._calls.cut_reads()
                case Effect.CATCH_UP:
                    if self._catching_up is not None:
                        self._catching_up.cancel()
                    self._catching_up = self._tasks.create_task(self._catch_up(self._gate.attempt))

    async def _catch_up(self, attempt: int) -> None:
        while True:
            try:
                await self._consensus.read_barrier(timeout_s=_PATIENCE_S)
            except QuiesceError as error:
                _log.debug("not caught up yet", error=str(error))
                await asyncio.sleep(_LOOK_S)
            else:
                # What it caught up with may be a lease.
                self.look()
                self._step(CaughtUp(attempt))
                return

    async def _keep_log_time(self) -> None:
        """Move log time on while a lease exists: it must end even where nobody writes (P3)."""
        while True:
            if self.lease is not None and self.voters():
                try:
                    await self._proposals.propose(timeout_s=_PATIENCE_S, advance_clock=peer_pb2.AdvanceClock())
                except QuiesceError as error:
                    _log.info("log time was not moved on", error=str(error))
            await asyncio.sleep(self._until_next_advance_s())

    def _until_next_advance_s(self) -> float:
        """Return the seconds to the next look at the log's time: a lease must end when it is over, not a look later."""
        if self.lease is None:
            return _ADVANCE_S
        left_s = (self.lease.expires_ms - self._clock.now_ms()) / 1000
        return min(_ADVANCE_S, max(_ADVANCE_LEAST_S, left_s))

    async def _keep_leadership_away(self) -> None:
        """While this node is out of rotation, it leads only until somebody else can."""
        while True:
            if self._epoch is not None and self.voters():
                await self.give_leadership_away(_PATIENCE_S)
            await asyncio.sleep(_HAND_OVER_S)
