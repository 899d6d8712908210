"""The gRPC service `quiesce.v1.Backups`."""

# Names and arguments of the handlers are gRPC's.
# ruff: noqa: N802, ARG002

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc.aio

from coordinator.feed import Feed
from coordinator.jobs import Jobs
from coordinator.record import to_message
from coordinator.restore import NewNodes, check_awaiting, check_members, restore
from coordinator.running import Running
from coordinator.snapshots import Snapshots, named, repository_path
from quiesce.errors import InvalidRequest
from quiesce.repository import VerifyStep
from quiesce.rpc import typed_errors
from quiesce.v1 import backup_pb2, backup_pb2_grpc, node_pb2

Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = backup_pb2.DESCRIPTOR.services_by_name["Backups"].full_name
# The histories of very many jobs do not fit one message; the jobs do.
LIST_BYTES = 8 << 20


class BackupsService(backup_pb2_grpc.BackupsServicer):
    """Answers clients.

    Args:
        jobs: the backup jobs.
        snapshots: the repositories.
        repository: where a request names none; empty: there is no default.
        connect: opens a client to new nodes, for a restore.
        idle_s: the longest silence of a node that restores.
    """

    def __init__(
        self,
        *,
        jobs: Jobs,
        snapshots: Snapshots,
        repository: str,
        connect: Callable[[list[str]], contextlib.AbstractAsyncContextManager[NewNodes]],
        idle_s: float,
    ) -> None:
        self._jobs = jobs
        self._snapshots = snapshots
        self._repository = repository
        self._connect = connect
        self._idle_s = idle_s

    @typed_errors
    async def Create(
        self, request: backup_pb2.CreateBackupRequest, context: Context
    ) -> AsyncIterator[backup_pb2.JobProgress]:
        """Start a backup and follow it to its end."""
        running = await self._jobs.start(request, self._location(request.repository))
        async for progress in running.feed.follow():
            yield progress
        _raise_failure(running)

    @typed_errors
    async def Preview(self, request: backup_pb2.PreviewBackupRequest, context: Context) -> backup_pb2.BackupPreview:
        """Say which replica a backup would take."""
        found = [
            backup_pb2.BackupCandidate(node_id=one.node_id, eligible=one.eligible, leads=one.leads, why=one.why)
            for one in await self._jobs.preview(request)
        ]
        return backup_pb2.BackupPreview(candidates=found)

    @typed_errors
    async def Watch(
        self, request: backup_pb2.WatchJobRequest, context: Context
    ) -> AsyncIterator[backup_pb2.JobProgress]:
        """Follow a job from where it is."""
        running = await self._jobs.running_or_ended(request.job_id)
        if not isinstance(running, Running):
            yield backup_pb2.JobProgress(job=to_message(running))
            if (error := running.error()) is not None:
                raise error
            return
        async for progress in running.feed.follow():
            yield progress
        _raise_failure(running)

    @typed_errors
    async def Cancel(self, request: backup_pb2.CancelJobRequest, context: Context) -> backup_pb2.Job:
        """Cancel a job, and answer when it has ended."""
        return to_message(await self._jobs.cancel(request.job_id, "it was asked for"))

    @typed_errors
    async def ShowJob(self, request: backup_pb2.ShowJobRequest, context: Context) -> backup_pb2.Job:
        """Show a job with all its steps."""
        return to_message(await self._jobs.find(request.job_id))

    @typed_errors
    async def ListJobs(self, request: backup_pb2.ListJobsRequest, context: Context) -> backup_pb2.ListJobsResponse:
        """List jobs, the latest first."""
        answer, size = backup_pb2.ListJobsResponse(), 0
        for record in await self._jobs.list(request.limit):
            job = to_message(record)
            size += job.ByteSize()
            if size > LIST_BYTES:
                job.ClearField("events")
            answer.jobs.append(job)
        return answer

    @typed_errors
    async def List(
        self, request: backup_pb2.ListSnapshotsRequest, context: Context
    ) -> backup_pb2.ListSnapshotsResponse:
        """List the snapshots of a repository, the oldest first."""
        return backup_pb2.ListSnapshotsResponse(
            snapshots=await self._snapshots.list(self._location(request.repository))
        )

    @typed_errors
    async def Show(self, request: backup_pb2.ShowSnapshotRequest, context: Context) -> backup_pb2.SnapshotDetails:
        """Show a snapshot."""
        return await self._snapshots.show(self._location(request.repository), named(request.snapshot_id))

    @typed_errors
    async def Verify(
        self, request: backup_pb2.VerifySnapshotRequest, context: Context
    ) -> AsyncIterator[backup_pb2.VerifyProgress]:
        """Check every object of a snapshot."""
        location, snapshot_id = self._location(request.repository), named(request.snapshot_id)
        loop, feed, left = asyncio.get_running_loop(), Feed[VerifyStep](), asyncio.Event()
        told_at = 0.0

        def progress(step: VerifyStep) -> None:
            # On the working thread, once a segment: the loop hears of it four times a second.
            nonlocal told_at
            if left.is_set():
                raise _NobodyWaits
            if step.pages_done == step.pages_total or loop.time() - told_at >= 0.25:
                told_at = loop.time()
                loop.call_soon_threadsafe(feed.publish, step)

        work = asyncio.create_task(self._snapshots.verify(location, snapshot_id, progress))
        work.add_done_callback(lambda _: feed.close())
        last = VerifyStep(0, 0, 0)
        try:
            async for last in feed.follow():
                yield _verified(last, done=False)
            await work
            yield _verified(last, done=True)
        finally:
            left.set()
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await work

    @typed_errors
    async def Restore(
        self, request: backup_pb2.RestoreSnapshotRequest, context: Context
    ) -> AsyncIterator[node_pb2.RestoreProgress]:
        """Restore a snapshot into new nodes."""
        location = self._location(request.repository)
        check_members(request.members)
        # `latest` is resolved once: every node must load the same one.
        details = await self._snapshots.show(location, named(request.snapshot_id))
        wanted = node_pb2.RestoreNodeRequest(
            repository=location,
            snapshot_id=details.summary.id,
            cluster_id=uuid.uuid4().hex,
            members=request.members,
        )
        reading = self._snapshots.held(location, wanted.snapshot_id, f"cluster {wanted.cluster_id} is restored from it")
        async with reading, self._connect([member.address for member in request.members]) as nodes:
            await check_awaiting(nodes, request.members)
            async with contextlib.aclosing(restore(nodes, wanted, idle_s=self._idle_s)) as progresses:  # type: ignore[type-var]
                async for progress in progresses:
                    yield progress

    def _location(self, repository: str) -> str:
        return locate(repository, self._repository)


def locate(repository: str, default: str) -> str:
    """Return where a repository lies.

    Raises:
        InvalidRequest: none is named and there is no default one, or the path means nothing to the nodes.
    """
    location = repository or default
    if not location:
        raise InvalidRequest(detail="no repository is named, and the coordinator has no default one")
    return str(repository_path(location))


class _NobodyWaits(Exception):
    pass


def _verified(step: VerifyStep, *, done: bool) -> backup_pb2.VerifyProgress:
    return backup_pb2.VerifyProgress(
        pages_total=step.pages_total, pages_done=step.pages_done, bytes_read=step.bytes_read, done=done
    )


def _raise_failure(running: Running) -> None:
    error = running.gone or running.record.error()
    if error is not None:
        raise error
