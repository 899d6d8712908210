"""Where there is something to die at."""

from __future__ import annotations

from coordinator.drills.model import Step as DrillStep
from coordinator.job import effects
from coordinator.job.effects import Abort, Effect

# Only after another coordinator: they are got to by two deaths.
_AFTER_A_DEATH = (effects.FindLease, effects.TakeOver)
# Only where nobody knows whether the manifest was written.
_NOT_HERE = (Abort, effects.TransferLeadership, effects.Withdraw)
# Only after the replica has failed.
_MOVE = effects.MoveLease


def _both_sides(kind: type[Effect]) -> list[str]:
    return [f"coordinator.{kind.__name__}.{side}" for side in ("before", "after")]


def coordinator_points() -> list[str]:
    """Return the points that a coordinator gets to in any backup, in the order of its steps."""
    kinds = [kind for kind in vars(effects).values() if isinstance(kind, type) and issubclass(kind, Effect)]
    ordinary = [kind for kind in kinds if kind not in (Effect, _MOVE, *_AFTER_A_DEATH, *_NOT_HERE)]
    points = [point for kind in ordinary for point in _both_sides(kind)]
    return [*points, "repository.snapshots.written", "repository.snapshots.named"]


def second_death_points() -> list[str]:
    """Return those that it gets to when it goes on with a backup that was left."""
    return [point for kind in _AFTER_A_DEATH for point in _both_sides(kind)]


def move_points() -> list[str]:
    """Return those that it gets to when the replica has died in its snapshot."""
    return _both_sides(_MOVE)


# While a policy's snapshots beyond those that it keeps are removed.
RETENTION_POINTS = (
    "repository.removals.written",
    "repository.removals.named",
    "repository.snapshots.deleted",
    "repository.removals.deleted",
    "repository.garbage.named",
)
# While a snapshot is restored into a throw-away node and checked.
_DRILL_STEPS = [step.value for step in DrillStep if step is not DrillStep.DONE]
DRILL_POINTS = tuple(f"drill.{step}.{side}" for step in _DRILL_STEPS for side in ("before", "after"))
NODE_POINTS = (
    "node.lease.taken",
    "node.rotation.drained",
    "node.mark.applied",
    "node.checkpoint.taken",
    "node.checkpoint.noted",
    "node.snapshot.phase_done",
    # In the worker: its node goes on.
    "repository.packs.written",
    "repository.packs.named",
    "repository.tables.written",
    "repository.tables.named",
    "node.lease.ended",
)
