"""What goes wrong, and when: each fault that the plan has comes again and again until the world is healed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.world import World

_HOUR_MS = 3_600_000
_TEMPTED = 0.3


class FaultInjector:
    """Plans the faults of a run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = random.Random(f"{world.plan.seed} faults")

    def begin(self) -> None:
        """Let things go wrong from here on."""
        faults = self._world.plan.faults
        for every, fault in (
            (faults.partition_us, self._partition),
            (faults.one_way_us, self._one_way),
            (faults.power_us, lambda: self._node().crash(power=True)),
            (faults.kill_us, lambda: self._node().crash(power=False)),
            (faults.torn_us, self._die_at_the_disk),
            (faults.disk_error_us, self._disk_error),
            (faults.slow_disk_us, self._slow_disk),
            (faults.pause_us, self._pause),
            (faults.transfer_us, self._transfer),
            (faults.clock_jump_us, self._clock_jump),
            (faults.unreachable_us, self._unreachable),
            (faults.priority_us, self._priority),
            (faults.blackout_us, self._blackout),
            (faults.full_disk_us, self._full_disk),
        ):
            if every:
                self._again(every, fault)

    def _again(self, every: int, fault: Callable[[], None]) -> None:
        def happen() -> None:
            if not self._world.healed:
                fault()
                self._again(every, fault)

        self._world.scheduler.after(self._rng.randint(1, 2 * every), happen)

    def _node(self) -> Node:
        """Choose a node that is up, the leader rather than another; any node where none is up."""
        up = [node for node in self._nodes() if node.up]
        leaders = [node for node in up if node.replica.status.role == 3]
        if leaders and self._rng.random() < 0.3:
            return self._rng.choice(leaders)
        return self._rng.choice(up or self._nodes())

    def _nodes(self) -> list[Node]:
        return [self._world.nodes[node] for node in self._world.ids]

    def _for_a_while(self, end: Callable[[], None]) -> None:
        self._world.scheduler.after(self._rng.randint(1, 60 * self._world.plan.tick_us), end)

    def _partition(self) -> None:
        world, ids = self._world, list(self._world.ids)
        self._rng.shuffle(ids)
        size = self._rng.randint(1, max(1, len(ids) - 1))
        one, other = ids[:size], ids[size:]
        bridge = other[:1] if len(other) > 1 and self._rng.random() < 0.2 else []
        world.network.split(one, [node for node in other if node not in bridge])
        world.trace("*", f"partition: {sorted(one)} from {sorted(set(other) - set(bridge))}")
        world.counts["partitions"] += 1
        self._for_a_while(world.network.heal)

    def _one_way(self) -> None:
        world = self._world
        node = self._rng.choice(world.ids)
        others = [other for other in world.ids if other != node]
        deaf = self._rng.random() < 0.5
        links = {(other, node) if deaf else (node, other) for other in others}
        world.network.cut |= links
        world.trace("*", f"partition: {node} {'hears' if deaf else 'reaches'} nobody")
        world.counts["partitions"] += 1
        self._for_a_while(world.network.heal)

    def _die_at_the_disk(self) -> None:
        node = self._node()
        node.disk.power = self._rng.choice((0, 1, 1, 2, 3, 4, 6, 9, 15))
        node.dies_by_kill = self._rng.random() < 0.3
        self._world.trace(node.id, f"will die in {node.disk.power} operations")

    def tempt(self, node: Node) -> None:
        """Let a node die soon that does what may not be cut short anywhere: start, or replace its state."""
        if self._world.plan.faults.torn_us and not self._world.healed and self._rng.random() < _TEMPTED:
            node.disk.power = self._rng.randint(0, 25)
            node.dies_by_kill = self._rng.random() < 0.3

    def _disk_error(self) -> None:
        node = self._node()
        node.disk.failure = self._rng.randint(0, 6)
        self._world.trace(node.id, f"will have a disk error in {node.disk.failure} operations")

    def _slow_disk(self) -> None:
        node = self._rng.choice(self._nodes())
        node.slow_us = self._rng.choice((2, 10, 40)) * self._world.plan.tick_us
        self._world.trace(node.id, f"syncs take up to {node.slow_us} us more")

        def end() -> None:
            node.slow_us = 0

        self._for_a_while(end)

    def _pause(self) -> None:
        node = self._node()
        pause = self._rng.randint(1, 60 * self._world.plan.tick_us)
        node.paused_until = self._world.scheduler.now + pause
        self._world.trace(node.id, f"pauses for {pause} us")

    def _transfer(self) -> None:
        node, to = self._node(), self._rng.choice(self._world.ids)
        if node.up:
            self._world.trace(node.id, f"is asked to hand leadership to {to}")
            node.post(lambda: node.replica.core.transfer_leader(to))

    def _clock_jump(self) -> None:
        node = self._rng.choice(self._nodes())
        jump = self._rng.choice((-_HOUR_MS, -1000, -10, 10, 1000, 60_000, 2 * _HOUR_MS))
        if jump > _HOUR_MS and self._rng.random() < 0.8:
            jump = 100
        node.clock.offset_ms += jump
        self._world.trace(node.id, f"the wall clock jumps by {jump} ms")

    def _unreachable(self) -> None:
        node, peer = self._node(), self._rng.choice(self._world.ids)
        if node.up and peer != node.id:
            node.post(lambda: node.replica.report_unreachable(peer))

    def _priority(self) -> None:
        node, priority = self._node(), self._rng.choice((-1, 0))
        if node.up:
            node.post(lambda: node.replica.core.set_priority(priority))

    def _full_disk(self) -> None:
        """No room for appends, and at times for nothing at all."""
        node = self._node()
        node.low = True
        node.disk.full = self._rng.random() < 0.3
        self._world.trace(node.id, f"the disk is {'full' if node.disk.full else 'nearly full'}")

        def end() -> None:
            node.low = node.disk.full = False

        self._for_a_while(end)

    def _blackout(self) -> None:
        """All power goes at once."""
        self._world.trace("*", "blackout")
        for node in self._world.nodes.values():
            if node.up:
                node.crash(power=True)
