"""The coordinator's service: snapshots of a cluster."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING

from quiesce.client.coordinator import FAILOVER_S, CoordinatorClient
from quiesce.errors import JobTakenOver, NotLeading, Unavailable
from quiesce.v1 import backup_pb2, backup_pb2_grpc
from quiesce.v1.backup_pb2 import BackupCandidate, Job, JobProgress, SnapshotDetails, SnapshotSummary, VerifyProgress
from quiesce.v1.node_pb2 import Member, RestoreProgress

if TYPE_CHECKING:
    from quiesce.v1.backup_pb2_grpc import BackupsAsyncStub

    _Client = CoordinatorClient[BackupsAsyncStub]
else:
    _Client = CoordinatorClient

_AGAIN_S = 0.5


class Backups(_Client):
    """A client of the coordinators. Streams end when the work has ended; leaving one does not stop the work."""

    def __init__(self, addresses: str, *, timeout_s: float = 10.0, idle_s: float = 180.0) -> None:
        """Make a client; it connects when it is first used.

        Args:
            addresses: the coordinator's `host:port`; those of several with commas between them.
            timeout_s: seconds for a call.
            idle_s: the most seconds from one answer of a stream to the next.
        """
        super().__init__(addresses, timeout_s, backup_pb2_grpc.BackupsStub)
        self._idle_s = idle_s

    def create(
        self,
        *,
        repository: str = "",
        databases: Sequence[str] = (),
        node_id: int = 0,
        lease_ms: int = 0,
        rate_limit: int = 0,
        latency_budget_ms: int = 0,
    ) -> AsyncIterator[JobProgress]:
        """Start a backup and follow it.

        Args:
            repository: where to; empty: the coordinator's default.
            databases: which; empty: all.
            node_id: the replica; 0: the coordinator chooses.
            lease_ms: how long the replica may be out of rotation without a renewal; 0: the coordinator's default.
            rate_limit: the most bytes read a second; 0: no limit.
            latency_budget_ms: it reads so slowly that clients wait no longer in 99 calls of 100; 0: the coordinator's
                default.

        Raises:
            RotationHeld, ClusterDegraded, UnknownNode, RepositoryUnusable, ...: refused.
        """
        request = backup_pb2.CreateBackupRequest(
            repository=repository,
            databases=databases,
            node_id=node_id,
            lease_ms=lease_ms,
            rate_limit=rate_limit,
            latency_budget_ms=latency_budget_ms,
        )
        return self._follow(self._read(lambda stub: stub.Create, request, "the backup", self._idle_s))

    async def preview(self, *, databases: Sequence[str] = (), node_id: int = 0) -> builtins.list[BackupCandidate]:
        """Return the replicas in the order in which a backup that began now would take them, and why.

        Raises:
            RotationHeld, ClusterDegraded, UnknownNode, ...: it would be refused.
        """
        request = backup_pb2.PreviewBackupRequest(databases=databases, node_id=node_id)
        return [
            *(await self._call(lambda stub: stub.Preview, request, "asking for a preview of the backup")).candidates
        ]

    def watch(self, job_id: str) -> AsyncIterator[JobProgress]:
        """Follow a job from where it is to its end, whichever coordinator runs it."""
        return self._follow(self._watch(job_id))

    def _watch(self, job_id: str) -> AsyncGenerator[JobProgress, None]:
        request = backup_pb2.WatchJobRequest(job_id=job_id)
        return self._read(lambda stub: stub.Watch, request, "watching the job", self._idle_s)

    async def _follow(self, answers: AsyncGenerator[JobProgress, None]) -> AsyncGenerator[JobProgress, None]:
        """Yield what is said of a job; where its coordinator is gone, by the one that goes on with it."""
        job_id, heard_at = "", time.monotonic()
        while True:
            try:
                async with contextlib.aclosing(answers):
                    async for answer in answers:
                        job_id, heard_at = answer.job.id, time.monotonic()
                        yield answer
                return
            except (NotLeading, JobTakenOver, Unavailable) as error:
                if not job_id or time.monotonic() - heard_at >= FAILOVER_S:
                    raise
                self.turn_to_another(error)
                await asyncio.sleep(_AGAIN_S)
                answers = self._watch(job_id)

    async def cancel(self, job_id: str) -> Job:
        """Stop a job."""
        return await self._call(
            lambda stub: stub.Cancel, backup_pb2.CancelJobRequest(job_id=job_id), "cancelling the job"
        )

    async def show_job(self, job_id: str) -> Job:
        """Return one job with all its steps; UnknownJob where there is none of that id."""
        request = backup_pb2.ShowJobRequest(job_id=job_id)
        return await self._call(lambda stub: stub.ShowJob, request, "showing the job")

    async def jobs(self, *, limit: int = 0) -> builtins.list[Job]:
        """Return the jobs, the latest first."""
        answer = await self._call(
            lambda stub: stub.ListJobs, backup_pb2.ListJobsRequest(limit=limit), "listing the jobs"
        )
        return [*answer.jobs]

    async def list(self, repository: str = "") -> builtins.list[SnapshotSummary]:
        """Return a repository's snapshots."""
        request = backup_pb2.ListSnapshotsRequest(repository=repository)
        return [*(await self._call(lambda stub: stub.List, request, "listing the snapshots")).snapshots]

    async def show(self, snapshot_id: str, *, repository: str = "") -> SnapshotDetails:
        """Return one snapshot with its manifest."""
        request = backup_pb2.ShowSnapshotRequest(repository=repository, snapshot_id=snapshot_id)
        return await self._call(lambda stub: stub.Show, request, "showing the snapshot")

    def verify(self, snapshot_id: str, *, repository: str = "") -> AsyncIterator[VerifyProgress]:
        """Read every object of a snapshot and check it; DamagedObject names the first bad one."""
        request = backup_pb2.VerifySnapshotRequest(repository=repository, snapshot_id=snapshot_id)
        return self._read(lambda stub: stub.Verify, request, "the check of the snapshot", self._idle_s)

    def restore(
        self, snapshot_id: str, members: Mapping[int, str], *, repository: str = ""
    ) -> AsyncIterator[RestoreProgress]:
        """Restore a snapshot into nodes that were started for it (address by node id); they become a new cluster."""
        request = backup_pb2.RestoreSnapshotRequest(
            repository=repository,
            snapshot_id=snapshot_id,
            members=[Member(node_id=node_id, address=address) for node_id, address in members.items()],
        )
        return self._read(lambda stub: stub.Restore, request, "the restore", self._idle_s)
