"""The coordinator's service: snapshots of a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from quiesce.v1.backup_pb2 import Job, JobProgress, SnapshotDetails, SnapshotSummary, VerifyProgress
from quiesce.v1.node_pb2 import RestoreProgress


class Backups:
    """A client of a coordinator. Streams end when the work has ended; leaving one does not stop the work."""

    def __init__(self, address: str, *, timeout_s: float = 10.0, idle_s: float = 120.0) -> None:
        """Make a client; it connects when it is first used.

        Args:
            address: the coordinator's `host:port`.
            timeout_s: seconds for a call.
            idle_s: the most seconds from one answer of a stream to the next.
        """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Cut what still runs, and the connection."""

    def create(
        self,
        *,
        repository: str = "",
        databases: Sequence[str] = (),
        node_id: int = 0,
        lease_ms: int = 0,
        rate_limit: int = 0,
    ) -> AsyncIterator[JobProgress]:
        """Start a backup and follow it.

        Args:
            repository: where to; empty: the coordinator's default.
            databases: which; empty: all.
            node_id: the replica; 0: the coordinator chooses.
            lease_ms: how long the replica may be out of rotation without a renewal; 0: the coordinator's default.
            rate_limit: the most bytes read a second; 0: no limit.

        Raises:
            RotationHeld, ClusterDegraded, UnknownNode, RepositoryUnusable, ...: refused.
        """
        ...

    def watch(self, job_id: str) -> AsyncIterator[JobProgress]:
        """Follow a job from where it is to its end."""
        ...

    async def cancel(self, job_id: str) -> Job:
        """Stop a job."""
        ...

    async def jobs(self, *, limit: int = 0) -> list[Job]:
        """Return the jobs, the latest first."""
        ...

    async def list(self, repository: str = "") -> list[SnapshotSummary]:
        """Return a repository's snapshots."""
        ...

    async def show(self, snapshot_id: str, *, repository: str = "") -> SnapshotDetails:
        """Return one snapshot with its manifest."""
        ...

    def verify(self, snapshot_id: str, *, repository: str = "") -> AsyncIterator[VerifyProgress]:
        """Read every object of a snapshot and check it; DamagedObject names the first bad one."""
        ...

    def restore(
        self, snapshot_id: str, members: Mapping[int, str], *, repository: str = ""
    ) -> AsyncIterator[RestoreProgress]:
        """Restore a snapshot into nodes that were started for it (address by node id); they become a new cluster."""
        ...
