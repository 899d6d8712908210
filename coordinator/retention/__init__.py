"""Which snapshots are kept, and the removal of the others, in steps that a crash may come between."""

from coordinator.retention.planning import Decision, Kept, plan
from coordinator.retention.rules import Rules

__all__ = ["Decision", "Kept", "Rules", "plan"]
