"""The coordinator's service: drills."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc.aio

from coordinator.drills.drills import Drills, RunningDrill
from coordinator.drills.report import Report, drill_message
from coordinator.drills.scheduler import DrillScheduler
from quiesce.errors import DeadlineExceeded, InvalidRequest
from quiesce.rpc import typed_errors
from quiesce.snapshot.identifier import LATEST
from quiesce.v1 import drill_pb2
from quiesce.v1.drill_pb2_grpc import DrillsServicer

SERVICE = drill_pb2.DESCRIPTOR.services_by_name["Drills"].full_name
_BEGUN_S = 10.0
_POLL_S = 0.05
Context = grpc.aio.ServicerContext[Any, Any]


class DrillsService(DrillsServicer):
    """See drill.proto. `locate` returns the repository's place for the name in a request."""

    def __init__(self, *, drills: Drills, scheduler: DrillScheduler, locate: Callable[[str], str]) -> None:
        self._drills = drills
        self._scheduler = scheduler
        self._locate = locate

    @typed_errors
    async def Run(  # noqa: N802
        self,
        request: drill_pb2.RunDrillRequest,
        context: Context,  # noqa: ARG002
    ) -> AsyncIterator[drill_pb2.DrillProgress]:
        """Start a drill and follow it to its end."""
        if request.policy:
            if request.repository or request.snapshot_id:
                raise InvalidRequest(detail="a drill is of a policy's snapshot, or of one that is named; not of both")
            begun = await self._begun(await self._scheduler.run_now(request.policy))
        else:
            snapshot_id = request.snapshot_id or LATEST
            begun = await self._drills.start(self._locate(request.repository), snapshot_id)
        if isinstance(begun, RunningDrill):
            async for progress in begun.feed.follow():
                yield progress
            report = begun.report
        else:
            report = begun
            yield drill_pb2.DrillProgress(drill=drill_message(report))
        error = report.error()
        if error is not None:
            raise error

    @typed_errors
    async def List(self, request: drill_pb2.ListDrillsRequest, context: Context) -> drill_pb2.ListDrillsResponse:  # noqa: ARG002, N802
        """List drills, the latest first."""
        reports = await self._drills.list(request.limit)
        return drill_pb2.ListDrillsResponse(drills=[drill_message(report) for report in reports])

    async def _begun(self, drill_id: str) -> RunningDrill | Report:
        """Wait until the scheduler has started a drill; return how it has ended where that was quick."""
        deadline = asyncio.get_running_loop().time() + _BEGUN_S
        while asyncio.get_running_loop().time() < deadline:
            running = self._drills.running(drill_id)
            if running is not None:
                return running
            report = await self._drills.find(drill_id)
            if report is not None and not report.running:
                return report
            await asyncio.sleep(_POLL_S)
        # It is decided, and begins as soon as another has ended, or the cluster answers.
        raise DeadlineExceeded(operation=f"The begin of drill {drill_id}", seconds=f"{_BEGUN_S:g}")
