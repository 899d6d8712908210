"""The coordinator's service: drills, which prove snapshots."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from quiesce.client import direct
from quiesce.client.coordinator import CoordinatorClient
from quiesce.v1 import drill_pb2, drill_pb2_grpc
from quiesce.v1.drill_pb2 import DrillProgress, DrillReport

if TYPE_CHECKING:
    from quiesce.v1.drill_pb2_grpc import DrillsAsyncStub


class Drills(CoordinatorClient):
    """A client of a coordinator for its drills."""

    def __init__(self, address: str, *, timeout_s: float = 10.0, idle_s: float = 180.0) -> None:
        """Make a client of the coordinator at `host:port`; it connects when it is first used.

        Args:
            address: the coordinator's `host:port`.
            timeout_s: seconds for a call.
            idle_s: the most seconds from one answer of a drill to the next.
        """
        super().__init__(address, timeout_s)
        self._idle_s = idle_s
        self._stub: DrillsAsyncStub = drill_pb2_grpc.DrillsStub(self._channel)

    async def run(
        self, snapshot_id: str = "", *, repository: str = "", policy: str = ""
    ) -> AsyncIterator[DrillProgress]:
        """Start a drill and follow it; leaving the stream does not stop it.

        Args:
            snapshot_id: which; empty: the newest.
            repository: where it lies; empty: the coordinator's default.
            policy: instead of both, the policy whose newest snapshot it is; the outcome counts for it.

        Raises:
            DrillRunning, NoRoomForDrill, UnknownSnapshot, UnknownPolicy: refused.
            DrillFailed, DamagedObject: the snapshot is not proven, and why.
        """
        answers = direct.read(
            self._stub.Run,
            drill_pb2.RunDrillRequest(snapshot_id=snapshot_id, repository=repository, policy=policy),
            address=self._address,
            operation="the drill",
            first_s=self._idle_s,
            idle_s=self._idle_s,
        )
        try:
            async for answer in answers:
                yield answer
        finally:
            await answers.aclose()

    async def list(self, *, limit: int = 0) -> builtins.list[DrillReport]:
        """Return the drills, the latest first."""
        answer = await self._call(self._stub.List, drill_pb2.ListDrillsRequest(limit=limit), "listing the drills")
        return [*answer.drills]
