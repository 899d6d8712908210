"""The Backups service over real gRPC, on a cluster in memory and a real repository."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from coordinator_fakes import FakeCluster, new_repository, until
from coordinator_leading import LeadingJobs

from coordinator import jobs
from coordinator.service import SERVICE, BackupsService
from quiesce import errors
from quiesce.cli.jobs import job_text
from quiesce.client import Backups
from quiesce.repository import open_repository
from quiesce.rpc import open_server
from quiesce.v1 import backup_pb2, backup_pb2_grpc
from quiesce.v1.backup_pb2 import JobProgress


class Coordinator:
    def __init__(self, cluster: FakeCluster, repository: str, name: str) -> None:
        self.cluster = cluster
        self.repository = repository
        self.leading = LeadingJobs(cluster, name=name)
        self.jobs = self.leading.jobs
        self.service = BackupsService(
            jobs=self.jobs, snapshots=self.leading.snapshots, repository=repository, connect=_nobody, idle_s=1.0
        )


@contextlib.asynccontextmanager
async def _nobody(addresses: list[str]) -> AsyncIterator[FakeCluster]:
    yield FakeCluster()


@contextlib.asynccontextmanager
async def serving(
    cluster: FakeCluster, repository: str, name: str = "one"
) -> AsyncIterator[tuple[Coordinator, Backups]]:
    coordinator = Coordinator(cluster, repository, name)
    server = open_server("127.0.0.1:0")
    backup_pb2_grpc.add_BackupsServicer_to_server(coordinator.service, server.grpc)
    port = await server.start([SERVICE])
    coordinator.leading.leadership._address = f"127.0.0.1:{port}"
    coordinator.leading.start()
    async with Backups(f"127.0.0.1:{port}") as client:
        try:
            yield coordinator, client
        finally:
            await coordinator.leading.stop()
            await server.stop(0)


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
async def running(cluster: FakeCluster, tmp_path: Path) -> AsyncIterator[tuple[Coordinator, Backups]]:
    async with serving(cluster, new_repository(tmp_path)) as (coordinator, client):
        await coordinator.jobs.ready.wait()
        yield coordinator, client


async def collect(stream: AsyncIterator[JobProgress]) -> list[JobProgress]:
    return [progress async for progress in stream]


async def test_a_backup_from_end_to_end(running: tuple[Coordinator, Backups], cluster: FakeCluster) -> None:
    coordinator, client = running
    with pytest.raises(errors.UnknownDatabase, match="atlantis"):
        await collect(client.create(databases=["atlantis"]))
    assert cluster.lease is None, "a node left rotation for nothing"
    seen = await collect(client.create())
    job = seen[-1].job
    assert job.state == backup_pb2.JOB_STATE_SUCCEEDED
    assert job.node_id in (2, 3)
    steps = list(dict.fromkeys(progress.job.step for progress in seen))
    wanted = ["acquire", "drain", "mark", "checkpoint", "snapshot", "fence", "publish", "release", "return", "done"]
    assert [step for step in steps if step in wanted] == wanted
    assert any(progress.snapshot.pages_done == 2 for progress in seen)
    assert [s.id for s in await client.list()] == [job.snapshot_id]
    manifest = open_repository(coordinator.repository).read_manifest(job.snapshot_id)
    assert manifest.impact is not None
    assert [state["state"] for state in manifest.impact["states"]] == ["SERVING", "DRAINED"]
    assert (await client.show("latest")).summary.id == job.snapshot_id
    assert [progress.done async for progress in client.verify(job.snapshot_id)][-1]
    assert cluster.lease is None
    assert cluster.checkpoints == {}
    assert [found.id for found in await client.jobs()] == [job.id]
    assert (await collect(client.watch(job.id)))[-1].job == job


async def test_a_job_is_shown_with_its_steps(running: tuple[Coordinator, Backups]) -> None:
    _, client = running
    last = (await collect(client.create()))[-1].job
    shown = await client.show_job(last.id)
    assert shown == last
    text = job_text(shown)
    assert text.startswith(f"Backup {last.id}: succeeded\n")
    assert all(event.text in text for event in last.events)
    with pytest.raises(errors.UnknownJob):
        await client.show_job("none")


async def test_the_next_backup_takes_the_other_replica(running: tuple[Coordinator, Backups]) -> None:
    _, client = running
    nodes = [(await collect(client.create()))[-1].job.node_id for _ in range(3)]
    assert nodes == [2, 3, 2]


async def test_a_leader_that_is_wanted_hands_over_first(
    running: tuple[Coordinator, Backups], cluster: FakeCluster
) -> None:
    _, client = running
    job = (await collect(client.create(node_id=1)))[-1].job
    assert job.node_id == 1
    assert cluster.leader != 1


async def test_a_second_backup_is_refused_at_once(running: tuple[Coordinator, Backups], cluster: FakeCluster) -> None:
    _, client = running
    cluster.worker_may_end.clear()
    first = asyncio.create_task(collect(client.create()))
    await until(lambda: "take_snapshot" in cluster.calls)
    with pytest.raises(errors.RotationHeld, match="job-one-1"):
        await collect(client.create())
    cluster.worker_may_end.set()
    assert (await first)[-1].job.state == backup_pb2.JOB_STATE_SUCCEEDED
    assert len(cluster.drained) == 1


async def test_a_client_that_goes_away_does_not_end_the_job(
    running: tuple[Coordinator, Backups], cluster: FakeCluster
) -> None:
    _, client = running
    cluster.worker_may_end.clear()
    stream = client.create()
    job_id = (await anext(stream)).job.id
    await stream.aclose()  # type: ignore[attr-defined]
    await until(lambda: "take_snapshot" in cluster.calls)
    cluster.worker_may_end.set()
    assert (await collect(client.watch(job_id)))[-1].job.state == backup_pb2.JOB_STATE_SUCCEEDED


async def test_cancel(running: tuple[Coordinator, Backups], cluster: FakeCluster) -> None:
    _, client = running
    cluster.worker_may_end.clear()
    creating = asyncio.create_task(collect(client.create()))
    await until(lambda: "take_snapshot" in cluster.calls)
    job = await client.cancel("job-one-1")
    assert job.state == backup_pb2.JOB_STATE_CANCELLED
    assert cluster.lease is None
    assert cluster.worker_stopped == 1
    with pytest.raises(errors.BackupCancelled):
        await creating
    assert await client.list() == []
    # Cancelling what has ended changes nothing.
    assert (await client.cancel("job-one-1")).state == backup_pb2.JOB_STATE_CANCELLED


@pytest.mark.parametrize(
    ("call", "error", "raised"),
    [
        ("drain", errors.ClusterDegraded(detail="x"), errors.ClusterDegraded),
        ("checkpoint", errors.LeaseLost(epoch=1), errors.LeaseLost),
        ("worker", errors.RepositoryFull(repository="r", detail="x"), errors.RepositoryFull),
        ("statuses", errors.WrongCluster(actual="a", expected="b"), errors.BackupFailed),
    ],
)
async def test_a_failure_arrives_typed_and_the_lease_is_gone(
    running: tuple[Coordinator, Backups],
    cluster: FakeCluster,
    call: str,
    error: errors.QuiesceError,
    raised: type[errors.QuiesceError],
) -> None:
    _, client = running
    cluster.fail[call] = [error]
    with pytest.raises(raised):
        await collect(client.create())
    assert cluster.lease is None
    assert await client.list() == []
    job = (await client.jobs())[0]
    assert job.state == backup_pb2.JOB_STATE_FAILED
    assert job.error_reason == raised.reason()
    with pytest.raises(raised):
        await collect(client.watch(job.id))


async def test_goes_on_with_another_replica(running: tuple[Coordinator, Backups], cluster: FakeCluster) -> None:
    _, client = running
    cluster.fail["worker"] = [errors.Unavailable(addresses="n:2", seconds=1, detail="connection reset")]
    job = (await collect(client.create()))[-1].job
    assert job.state == backup_pb2.JOB_STATE_SUCCEEDED
    assert cluster.drained == [2, 3]
    assert any("connection reset" in event.text for event in job.events)
    # It is node 2's turn, and it failed; a preview says so, and takes nobody out.
    preview = await client.preview()
    assert [(one.node_id, one.eligible) for one in preview] == [(3, True), (2, True), (1, True)]
    assert "its last backup failed" in preview[1].why
    assert cluster.lease is None
    assert (await collect(client.create()))[-1].job.node_id == 3
    with pytest.raises(errors.UnknownNode):
        await client.preview(node_id=9)
    with pytest.raises(errors.UnknownDatabase):
        await client.preview(databases=["atlantis"])


@pytest.mark.parametrize(("wanted", "taken"), [(0, [2, 3]), (2, [2, 2])])
async def test_a_replica_that_died_at_the_mark_is_not_waited_for(
    running: tuple[Coordinator, Backups], cluster: FakeCluster, wanted: int, taken: list[int]
) -> None:
    _, client = running
    cluster.dies_at_mark = 1
    job = (await collect(client.create(node_id=wanted)))[-1].job
    assert job.state == backup_pb2.JOB_STATE_SUCCEEDED
    assert cluster.drained == taken, "one that the user named is tried again"
    assert any("has no checkpoint" in event.text for event in job.events)


async def test_waits_for_a_whole_cluster_and_then_tells_the_first_error(
    running: tuple[Coordinator, Backups], cluster: FakeCluster
) -> None:
    _, client = running
    cluster.worker_may_end.clear()
    creating = asyncio.create_task(collect(client.create()))
    await until(lambda: "take_snapshot" in cluster.calls)
    cluster.down.add(2)
    cluster.fail["worker"] = [errors.Unavailable(addresses="n:2", seconds=1, detail="connection reset")]
    cluster.worker_may_end.set()
    with pytest.raises(errors.BackupFailed, match="connection reset"):
        await creating
    assert cluster.lease is None
    assert cluster.drained == [2]


async def test_the_lease_taken_away_stops_the_publication(
    running: tuple[Coordinator, Backups], cluster: FakeCluster
) -> None:
    _, client = running
    cluster.worker_may_end.clear()
    creating = asyncio.create_task(collect(client.create()))
    await until(lambda: "take_snapshot" in cluster.calls)
    cluster.lease = None
    cluster.worker_may_end.set()
    with pytest.raises(errors.LeaseLost):
        await creating
    assert await client.list() == []


async def test_a_lost_answer_to_the_drain_is_found_again(
    running: tuple[Coordinator, Backups], cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, client = running
    drain = cluster.drain

    async def lose_answer(node_id: int, owner: str, reason: str, ttl_ms: int) -> None:
        await drain(node_id, owner, reason, ttl_ms)
        raise errors.OutcomeUnknown(detail="the connection broke")

    monkeypatch.setattr(cluster, "drain", lose_answer)
    assert (await collect(client.create()))[-1].job.state == backup_pb2.JOB_STATE_SUCCEEDED
    assert cluster.lease is None


async def test_the_repository_is_looked_at_before_a_node_is_drained(
    running: tuple[Coordinator, Backups], cluster: FakeCluster, tmp_path: Path
) -> None:
    _, client = running
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("mine")
    with pytest.raises(errors.RepositoryUnusable):
        await collect(client.create(repository=str(other)))
    with pytest.raises(errors.InvalidRequest):
        await collect(client.create(repository="relative"))
    assert cluster.drained == []


async def test_wrong_requests(running: tuple[Coordinator, Backups]) -> None:
    _, client = running
    with pytest.raises(errors.UnknownNode):
        await collect(client.create(node_id=9))
    with pytest.raises(errors.InvalidRequest):
        await collect(client.create(lease_ms=5))
    with pytest.raises(errors.UnknownJob):
        await collect(client.watch("nothing"))
    with pytest.raises(errors.UnknownJob):
        await client.cancel("nothing")
    with pytest.raises(errors.UnknownSnapshot):
        await client.show("nothing")
    with pytest.raises(errors.UnknownSnapshot):
        async for _ in client.verify("nothing"):
            pass


async def test_without_a_cluster_it_says_so(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "READY_S", 0.05)
    cluster.fail["database"] = [errors.Unavailable(addresses="n:1", seconds=1, detail="refused")] * 50
    async with serving(cluster, new_repository(tmp_path)) as (_, client):
        with pytest.raises(errors.Unavailable, match="refused"):
            await collect(client.create())
        assert await client.list() == []


async def test_who_watches_a_job_follows_it_to_the_next_coordinator(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.worker_may_end.clear()
    repository = new_repository(tmp_path)
    async with serving(cluster, repository) as (one, client), serving(cluster, repository, "two"):
        await one.jobs.ready.wait()
        creating = asyncio.create_task(collect(client.create(lease_ms=60_000)))
        await until(lambda: "take_snapshot" in cluster.calls)
        left = one.jobs._running
        assert left is not None
        await one.leading.stop()
        assert cluster.lease is not None
        cluster.worker_may_end.set()
        seen = await creating
    assert seen[-1].job.id == left.record.id
    assert seen[-1].job.state == backup_pb2.JOB_STATE_SUCCEEDED
    assert cluster.drained == [seen[-1].job.node_id], "no second lease was needed"
    assert cluster.lease is None


async def test_a_stop_leaves_the_replica_out_only_for_a_moment(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.worker_may_end.clear()
    async with serving(cluster, new_repository(tmp_path)) as (coordinator, _):
        await coordinator.jobs.ready.wait()
        await coordinator.jobs.start(backup_pb2.CreateBackupRequest(lease_ms=60_000), coordinator.repository)
        await until(lambda: "take_snapshot" in cluster.calls)
        await coordinator.leading.stop()
        assert cluster.lease is not None
        assert cluster.lease.expires_ms - cluster.log_time() <= jobs.HAND_OVER_MS
