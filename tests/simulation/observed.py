"""A node's replicated state, watched: every replica must come to the same, entry by entry, through any crash."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nodes.consensus.interface import CheckpointMade, CommittedEntry
from nodes.statemachine import ReplicatedState
from quiesce.v1.node_pb2 import Mark
from quiesce.v1.peer_pb2 import Membership, Outcome
from tests.simulation.applied import Applied
from tests.simulation.engine import Image, applied_of, is_between_entries
from tests.simulation.violation import require

if TYPE_CHECKING:
    from tests.simulation.node import Node


class ObservedState:
    """The state machine that the applier of a simulated node drives."""

    def __init__(self, node: Node, state: ReplicatedState, applied: Applied) -> None:
        self._node = node
        self._state = state
        self._all = applied
        state.on_checkpoint = self._marked
        self._check_state()

    @property
    def applied(self) -> tuple[int, int]:
        return self._state.applied

    def apply(self, entries: Sequence[CommittedEntry]) -> list[tuple[int, Outcome]]:
        for entry in entries:
            self._all.entry(self._node.id, entry)
        outcomes = self._state.apply(entries)
        for proposal_id, outcome in outcomes:
            self._all.outcome(self._node.id, proposal_id, outcome)
        require(self._state.applied[0] == entries[-1].index, "the state does not say that the last entry is applied")
        self._check_state()
        return outcomes

    @property
    def membership(self) -> Membership | None:
        return self._state.membership

    def checkpoint(self, directory: Path) -> CheckpointMade:
        made = self._state.checkpoint(directory)
        self._check_image(directory, (made.index, made.term))
        return made

    def install(self, directory: Path) -> None:
        self._state.install(directory)
        self._check_state()

    def durable_index(self) -> int:
        index = self._state.durable_index()
        certain = self._node.durable.store_applied()[0]
        require(certain >= index, f"index {index} is said to be durable, and the disk is sure of {certain}")
        return index

    def _marked(self, epoch: int, mark: Mark) -> None:
        self._node.world.counts["marks"] += 1
        image = self._check_image(self._state.checkpoints.path(epoch), (mark.index, mark.term))
        require(is_between_entries(image.certain), f"the checkpoint of mark {mark.index} has a part of the next entry")

    def _check_image(self, directory: Path, applied: tuple[int, int]) -> Image:
        image = self._node.disk.durable.get(directory)
        require(isinstance(image, Image), f"the checkpoint {directory} is not on the disk")
        assert isinstance(image, Image)
        found = applied_of(image.certain)
        require(found == applied, f"a checkpoint says {applied} and holds the state at {found}")
        self._all.state(self._node.id, image.certain)
        return image

    def _check_state(self) -> None:
        image = self._node.disk.names[self._state.store.engine.directory]
        assert isinstance(image, Image)
        require(applied_of(image.newest) == self._state.applied, "the state says another index than its store")
        self._all.state(self._node.id, image.newest)
