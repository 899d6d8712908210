"""Checkpoints made for followers, and what they have in common."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nodes.consensus.checkpoint_files import same_files, total_bytes
from nodes.consensus.interface import CheckpointMade, StateMachine
from quiesce.v1.peer_pb2 import SnapshotOffer

# Checkpoints whose followers may still go on from what they have of them.
_MOST_EARLIER = 8


@dataclass(slots=True, eq=False)
class Checkpoint:
    """A checkpoint that is there to be sent. `checkpoint_id` names this one, made here and now, and no other."""

    checkpoint_id: str
    directory: Path
    made: CheckpointMade
    total_bytes: int
    # What it has in common with checkpoints made before it, by their ids; the newest first.
    earlier: dict[str, frozenset[str]] = field(default_factory=dict)
    # Attempts under way, and when the last one ended.
    users: int = 0
    used_at: float = 0.0

    @property
    def index(self) -> int:
        """Up to where it reaches."""
        return self.made.index

    def offer(self, cluster_id: str, node_id: int) -> SnapshotOffer:
        """Return what a follower is asked before it is sent anything."""
        return SnapshotOffer(
            cluster_id=cluster_id,
            from_node_id=node_id,
            checkpoint_id=self.checkpoint_id,
            total_bytes=self.total_bytes,
            earlier=[
                SnapshotOffer.Earlier(checkpoint_id=one, same_files=sorted(names))
                for one, names in self.earlier.items()
            ],
        )

    def remove(self) -> None:
        """Remove its files. Blocking."""
        shutil.rmtree(self.directory, ignore_errors=True)


class CheckpointMaker:
    """Makes checkpoints of a state machine below `directory`."""

    def __init__(self, state: StateMachine, directory: Path, new_id: Callable[[], str]) -> None:
        self._state = state
        self._directory = directory
        self._new_id = new_id

    def make(self, before: Checkpoint | None) -> Checkpoint:
        """Make a checkpoint of the state as it is now, and compare it with the one before. Blocking.

        Raises:
            Exception: whatever the state machine raises; nothing is left.
        """
        checkpoint_id = self._new_id()
        directory = self._directory / checkpoint_id
        self._directory.mkdir(parents=True, exist_ok=True)
        try:
            made = Checkpoint(checkpoint_id, directory, self._state.checkpoint(directory), total_bytes(directory))
            if before is not None:
                made.earlier = _earlier(same_files(directory, before.directory), before)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        return made


def _earlier(same: frozenset[str], before: Checkpoint) -> dict[str, frozenset[str]]:
    # A table that is in this one and the one before, and there the same as in one before that, is the same as in that.
    found = {before.checkpoint_id: same}
    for checkpoint_id, names in before.earlier.items():
        if len(found) < _MOST_EARLIER:
            found[checkpoint_id] = names & same
    return found
