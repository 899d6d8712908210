"""A pinned view of the store that is new enough for the reader."""

from __future__ import annotations

import time

from nodes.consensus import Consensus
from nodes.service.applied import AppliedIndexes
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
        self._applied = AppliedIndexes(self._index)

    async def view(
        self, consistency: record_pb2.ReadConsistency.ValueType, timeout_s: float, min_index: int = 0
    ) -> StoreView:
        """Return a view of `min_index` or later, to be closed by the caller (`with`).

        Raises:
            NoLeader, DeadlineExceeded: a majority did not confirm in time that this node is up to date.
            DeadlineExceeded: it has not applied `min_index` in time.
        """
        ends = time.monotonic() + timeout_s
        if consistency != record_pb2.READ_CONSISTENCY_STALE:
            await self._barriers.wait(timeout_s)
        if min_index:
            await self._applied.wait(min_index, max(0.0, ends - time.monotonic()))
        return self._state.store.view()

    def _index(self) -> int:
        # As a view has it, which is a moment after it was applied.
        with self._state.store.view() as view:
            return view.applied[0]
