"""The replicated state of a node: what applying the log's entries makes of the store."""

from nodes.statemachine.replicated_state import Entry, ReplicatedState

__all__ = ["Entry", "ReplicatedState"]
