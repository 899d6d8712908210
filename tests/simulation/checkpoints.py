"""Checkpoints for followers that are too far behind: made here, sent as a whole, installed there, removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from nodes._native import describe_snapshot
from quiesce.errors import DiskFailed
from tests.simulation.engine import Image
from tests.simulation.files import SimulatedFiles
from tests.simulation.violation import require

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.observed import ObservedState

# In ticks.
_UNUSED_AFTER = 100
_PAUSE = 20
_TRAVELS = 5


class Checkpoints:
    """What SnapshotSender and PeerService do in the daemon, with files as a whole instead of chunks."""

    def __init__(self, node: Node, state: ObservedState, files: SimulatedFiles) -> None:
        self._node = node
        self._state = state
        self._files = files
        self._directory = node.root / "raft" / "outgoing"
        self._made = 0
        # By index: where it lies, and how many transfers use it.
        self._there: dict[int, Path] = {}
        self._users: dict[int, int] = {}
        self._receiving = False
        self._received = 0

    def _later(self, ticks: int, event: Callable[[], None]) -> None:
        self._node.later(self._node.rng.randint(0, ticks * self._node.world.plan.tick_us), event)

    def make(self) -> None:
        """Make a checkpoint of the state as it is now."""
        self._later(1, lambda: self._node.attempt(self._make) and None)

    def _make(self) -> None:
        self._made += 1
        directory = self._directory / str(self._made)
        replica = self._node.replica
        try:
            self._files.make_directory(self._directory)
            index, term = self._state.checkpoint(directory)
        except DiskFailed:
            self._files.remove_tree(directory)
            self._later(_PAUSE, lambda: self._node.post(lambda: replica.checkpoint_gone(None)))
            return
        self._node.world.trace(self._node.id, f"checkpoint of {index} made")
        self._node.world.counts["checkpoints"] += 1
        if index in self._there:
            self._files.remove_tree(directory)
        else:
            self._there[index] = directory
        self._node.post(lambda: replica.checkpoint_made(index, term))
        self._later(_UNUSED_AFTER, lambda: self._node.attempt(lambda: self._remove_unused(index)) and None)

    def _remove_unused(self, index: int) -> None:
        if index in self._there and not self._users.get(index):
            directory = self._there.pop(index)
            self._node.post(lambda: self._node.replica.checkpoint_gone(index))
            self._files.remove_tree(directory)

    def send(self, to: int, index: int, message: bytes) -> None:
        """Send the checkpoint of an index, with the message that goes with it."""
        if index not in self._there:
            self._report(to, arrived=False)
            return
        image = self._node.disk.names[self._there[index]]
        assert isinstance(image, Image)
        self._users[index] = self._users.get(index, 0) + 1
        world, sender = self._node.world, self._node
        peer, life, told = world.nodes[to], sender.life, [False]

        def ended(arrived: bool) -> None:
            if sender.life != life or told[0]:
                return
            told[0] = True
            self._users[index] -= 1
            self._report(to, arrived=arrived)
            sender.attempt(lambda: self._remove_unused(index))

        def give_up() -> None:
            ended(False)

        def arrive() -> None:
            if peer.up:
                peer.checkpoints.receive(
                    image, message, index, lambda taken: world.scheduler.after(1, lambda: ended(taken))
                )

        world.trace(sender.id, f"-> {to} checkpoint of {index}")
        travels = sender.rng.randint(0, _TRAVELS * world.plan.tick_us)
        world.network.send(sender.id, to, world.scheduler.now + travels, arrive, lambda: None)
        self._node.later(_UNUSED_AFTER * world.plan.tick_us, give_up)

    def _report(self, to: int, *, arrived: bool) -> None:
        self._later(
            0 if arrived else _PAUSE, lambda: self._node.post(lambda: self._node.replica.report_snapshot(to, arrived))
        )

    def receive(self, image: Image, message: bytes, index: int, done: Callable[[bool], None]) -> None:
        """Write a checkpoint to the disk and have it installed."""
        if self._receiving:
            done(False)
            return
        self._receiving = True
        self._received += 1
        node = self._node
        directory = node.root / "raft" / "incoming" / str(self._received)

        def ended(taken: bool) -> None:
            self._receiving = False
            done(taken)

        def write() -> None:
            self._files.make_directory(directory.parent)
            node.disk.operation("create", directory)
            node.disk.change(Image(image.newest, synced=False), target=directory)
            self._files.sync_tree(directory)
            self._files.sync_directory(directory.parent)
            require(describe_snapshot(message)[1] == index, "the message is of another snapshot")
            node.world.counts["installs"] += 1
            node.world.trace(node.id, f"checkpoint of {index} received")
            node.post(lambda: node.replica.install(directory, message, index, ended))

        node.attempt(write)
