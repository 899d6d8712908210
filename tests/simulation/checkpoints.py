"""Checkpoints for followers that are too far behind: made here, sent as a whole, installed there, removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from quiesce._native import describe_snapshot
from quiesce.errors import DiskFailed
from tests.simulation.engine import Image
from tests.simulation.violation import require

if TYPE_CHECKING:
    from tests.simulation.files import SimulatedFiles
    from tests.simulation.node import Node
    from tests.simulation.observed import ObservedState

# In ticks.
_UNUSED_AFTER = 200
_STALLED = 100
_PAUSE = 20
_TRAVELS = 10
# Of checkpoints that arrive once more, late.
_LEFT_BEHIND = 0.2


class Checkpoints:
    """What SnapshotSender and CheckpointReceiver do in the daemon, with files as a whole instead of chunks."""

    def __init__(self, node: Node, state: ObservedState, files: SimulatedFiles) -> None:
        self._node = node
        self._state = state
        self._files = files
        self._made = 0
        # By index: where each lies, and how many attempts use it.
        self._there: dict[int, Path] = {}
        self._users: dict[int, int] = {}
        # By peer: how to break off what it is being sent.
        self._sending: dict[int, tuple[int, Callable[[], None]]] = {}
        self._receiving = False
        self._received = 0

    def _later(self, ticks: int, event: Callable[[], None]) -> None:
        self._node.later(self._node.rng.randint(0, ticks * self._node.world.plan.tick_us), event)

    def _attempt(self, work: Callable[[], None]) -> Callable[[], None]:
        def attempted() -> None:
            self._node.attempt(work)

        return attempted

    # --- making and removing

    def make(self) -> None:
        """Make a checkpoint of the state as it is now."""
        self._later(1, self._attempt(self._make))

    def _make(self) -> None:
        self._made += 1
        node = self._node
        node.world.faults.tempt(node)
        directory = node.root / "raft" / "outgoing" / str(self._made)
        try:
            self._files.make_directory(directory.parent)
            made = self._state.checkpoint(directory)
        except DiskFailed:
            self._files.remove_tree(directory)
            self._later(_PAUSE, lambda: node.post(lambda: node.replica.checkpoint_gone(None)))
            return
        node.world.trace(node.id, f"checkpoint of {made.index} made")
        node.world.counts["checkpoints"] += 1
        if made.index in self._there:
            self._files.remove_tree(directory)
        else:
            self._there[made.index] = directory
            self._expire(made.index, directory)
        node.post(lambda: node.replica.checkpoint_made(made))

    def _expire(self, index: int, directory: Path) -> None:
        def expired() -> None:
            if self._there.get(index) == directory:
                if self._users.get(index):
                    self._expire(index, directory)
                else:
                    self._attempt(lambda: self._forget(index))()

        self._later(_UNUSED_AFTER, expired)

    def _forget(self, index: int) -> None:
        if index in self._there:
            directory = self._there.pop(index)
            self._node.post(lambda: self._node.replica.checkpoint_gone(index))
            self._files.remove_tree(directory)

    def supersede(self, index: int) -> None:
        """Break off the sending of a checkpoint that the log does not reach back to any more."""
        directory = self._there.pop(index, None)
        if directory is not None:
            for checkpoint, end in list(self._sending.values()):
                if checkpoint == index:
                    end()
            self._node.later(0, self._attempt(lambda: self._files.remove_tree(directory)))

    # --- sending

    def send(self, to: int, index: int, message: bytes) -> None:
        """Send the checkpoint of an index, and nothing else meanwhile, with the message that goes with it."""
        node, world = self._node, self._node.world
        # An attempt before is broken off, and its end is not told.
        before = self._sending.pop(to, None)
        if before is not None:
            before[1]()
        if index not in self._there or to not in world.nodes:
            self._report(to, arrived=False)
            return
        image = node.disk.names[self._there[index]]
        assert isinstance(image, Image)
        peer, life, tables = world.nodes[to], node.life, image.newest
        self._users[index] = self._users.get(index, 0) + 1
        over = False

        def ended(arrived: bool) -> None:
            nonlocal over
            if over or node.life != life:
                return
            over = True
            self._users[index] -= 1
            if self._sending.get(to, (0, None))[1] is end:
                del self._sending[to]
                self._report(to, arrived=arrived)
            if arrived and not self._users[index]:
                node.attempt(lambda: self._forget(index))

        def end() -> None:
            ended(False)

        def answer(taken: bool) -> None:
            world.network.send(to, node.id, world.scheduler.now, lambda: ended(taken), lambda: None)

        def arrive() -> None:
            if peer.up and node.id not in peer.peers.removed:
                peer.checkpoints.receive(Image(tables, synced=False), message, index, answer)

        self._sending[to] = index, end
        world.trace(node.id, f"-> {to} checkpoint of {index}")
        travels = node.rng.randint(0, _TRAVELS * world.plan.tick_us)
        world.network.send(node.id, to, world.scheduler.now + travels, arrive, lambda: None)
        if not world.healed and node.rng.random() < _LEFT_BEHIND:
            # As one that a leader goes on sending after it was deposed: it arrives where others have been since.
            node.world.scheduler.after(node.rng.randint(0, 2 * _STALLED * world.plan.tick_us), arrive)
        node.later(_STALLED * world.plan.tick_us, end)

    def break_off(self) -> None:
        """Send nothing any more: this node does not lead."""
        for _, end in list(self._sending.values()):
            end()

    def _report(self, to: int, *, arrived: bool) -> None:
        node = self._node
        self._later(0 if arrived else _PAUSE, lambda: node.post(lambda: node.replica.report_snapshot(to, arrived)))

    # --- receiving

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

        node.world.faults.tempt(node)

        def write() -> None:
            self._files.remove_tree(directory)
            self._files.make_directory(directory.parent)
            node.disk.operation("create", directory)
            node.disk.change(image, target=directory)
            self._files.sync_tree(directory)
            self._files.sync_directory(directory.parent)
            require(describe_snapshot(message)[1] == index, "the message is of another snapshot")
            node.world.counts["installs"] += 1
            node.world.trace(node.id, f"checkpoint of {index} received")
            node.post(lambda: node.replica.install(directory, message, index, ended))

        node.attempt(write)
