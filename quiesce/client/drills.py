"""The coordinator's service: drills, which prove snapshots."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from quiesce.client.coordinator import CoordinatorClient
from quiesce.v1 import drill_pb2, drill_pb2_grpc
from quiesce.v1.drill_pb2 import DrillProgress, DrillReport

if TYPE_CHECKING:
    from quiesce.v1.drill_pb2_grpc import DrillsAsyncStub

    _Client = CoordinatorClient[DrillsAsyncStub]
else:
    _Client = CoordinatorClient


class Drills(_Client):
    """A client of the coordinators for drills."""

    def __init__(self, addresses: str, *, timeout_s: float = 10.0, idle_s: float = 180.0) -> None:
        """Make a client of the coordinators at `host:port,…`; it connects when it is first used.

        Args:
            addresses: the coordinator's `host:port`; those of several with commas between them.
            timeout_s: seconds for a call.
            idle_s: the most seconds from one answer of a drill to the next.
        """
        super().__init__(addresses, timeout_s, drill_pb2_grpc.DrillsStub)
        self._idle_s = idle_s

    def run(self, snapshot_id: str = "", *, repository: str = "", policy: str = "") -> AsyncIterator[DrillProgress]:
        """Start a drill and follow it; leaving the stream does not stop it.

        Args:
            snapshot_id: which; empty: the newest.
            repository: where it lies; empty: the coordinator's default.
            policy: instead of both, the policy whose newest snapshot it is; the outcome counts for it.

        Raises:
            DrillRunning, NoRoomForDrill, UnknownSnapshot, UnknownPolicy: refused.
            DrillFailed, DamagedObject: the snapshot is not proven, and why.
        """
        request = drill_pb2.RunDrillRequest(snapshot_id=snapshot_id, repository=repository, policy=policy)
        return self._read(lambda stub: stub.Run, request, "the drill", self._idle_s)

    async def list(self, *, limit: int = 0) -> builtins.list[DrillReport]:
        """Return the drills, the latest first."""
        answer = await self._call(
            lambda stub: stub.List, drill_pb2.ListDrillsRequest(limit=limit), "listing the drills"
        )
        return [*answer.drills]
