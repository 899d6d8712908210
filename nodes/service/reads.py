"""A pinned view of the store that is new enough for the reader."""

from __future__ import annotations

from nodes.consensus import Consensus
from nodes.service.barriers import SharedBarriers
from nodes.statemachine import ReplicatedState
from nodes.store import StoreView
from quiesce.v1 import record_pb2


class Reads:
    """Gives readers a view; linearizable ones share read barriers."""

    def __init__(self, consensus: Consensus, state: ReplicatedState) -> None:
        self._barriers = SharedBarriers(consensus.read_barrier)
        # Not its store: a checkpoint that is installed replaces that.
        self._state = state

    async def view(self, consistency: record_pb2.ReadConsistency.ValueType, timeout_s: float) -> StoreView:
        """Return a view, to be closed by the caller (`with`).

        Raises:
            NoLeader, DeadlineExceeded: a majority did not confirm in time that this node is up to date.
        """
        if consistency != record_pb2.READ_CONSISTENCY_STALE:
            await self._barriers.wait(timeout_s)
        return self._state.store.view()
