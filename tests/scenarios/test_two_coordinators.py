"""Two coordinators: one leads, the other goes on with its job, and a late one is refused and changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from quiesce import BlockingBackups
from quiesce.errors import QuiesceError
from quiesce.v1 import backup_pb2
from tests.scenarios.cluster import Cluster
from tests.scenarios.daemon import Daemon, until
from tests.scenarios.people import make_database
from tests.scenarios.test_backup_rotation import PEOPLE, SLOW, Backup, serving

# Longer than a coordinator takes to notice that the one that led is gone.
OPTIONS = {"lease": "25s"}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, coordinators=2, coordinator_options=OPTIONS) as running, running.client() as client:
        make_database(client, PEOPLE)
        yield running


def leading(cluster: Cluster) -> Daemon:
    """Return the coordinator that leads: the one whose service is healthy."""
    for address, daemon in zip(cluster.coordinator_address.split(","), cluster.coordinators, strict=True):
        with grpc.insecure_channel(address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            found = health.Check(health_pb2.HealthCheckRequest(service="quiesce.v1.Backups"), timeout=5)
        if found.status == health_pb2.HealthCheckResponse.SERVING:
            return daemon
    raise AssertionError("nobody leads")


def recorded(backup: Backup) -> backup_pb2.Job:
    """Wait until a backup uploads, and the cluster has had the time to hear of it."""
    job = backup.wait_for("snapshot")
    time.sleep(1)
    return job


def facts(cluster: Cluster, job_id: str) -> tuple[list[str], backup_pb2.Job, bool]:
    """Return all that a late coordinator could change: the snapshots, the job, whether anyone is out of rotation."""
    with cluster.backups() as backups, cluster.client() as client:
        [job] = [job for job in backups.jobs() if job.id == job_id]
        held = any(
            status.HasField("lease") for _, status in client.admin.statuses() if not isinstance(status, Exception)
        )
        return [summary.id for summary in backups.list()], job, held


def test_the_other_coordinator_goes_on(cluster: Cluster) -> None:
    backup = Backup(cluster, rate_limit=SLOW * 2)
    job = recorded(backup)
    leading(cluster).kill()
    last = backup.end(90)
    assert last.id == job.id
    assert last.state == backup_pb2.JOB_STATE_SUCCEEDED, last
    assert last.epoch == job.epoch, f"the replica was out of rotation once: {last}"
    assert sum("the mark is" in event.text for event in last.events) == 1, "and the mark is the same"
    until(serving(cluster, job.node_id), 10, "the replica back in rotation")


def test_one_that_wakes_up_late_changes_nothing(cluster: Cluster) -> None:
    backup = Backup(cluster, rate_limit=SLOW * 2)
    job = recorded(backup)
    stopped = leading(cluster)
    stopped.pause()
    # Who watched the one that stands still hears nothing of it; another client sees the other go on.
    other = next(daemon for daemon in cluster.coordinators if daemon is not stopped)
    address = cluster.coordinator_address.split(",")[cluster.coordinators.index(other)]
    with BlockingBackups(address) as backups:
        until(lambda: _ended(backups, job.id), 60, "the other coordinator has ended the job")
        stopped.resume()
        before = facts(cluster, job.id)
        time.sleep(3)
        assert facts(cluster, job.id) == before
        snapshots, ended, held = before
        assert ended.state == backup_pb2.JOB_STATE_SUCCEEDED, ended
        assert snapshots == [ended.snapshot_id]
        assert not held
    assert backup.end(30).state == backup_pb2.JOB_STATE_SUCCEEDED
    assert Backup(cluster).end().state == backup_pb2.JOB_STATE_SUCCEEDED


def _ended(backups: BlockingBackups, job_id: str) -> bool:
    try:
        return any(job.id == job_id and job.state != backup_pb2.JOB_STATE_RUNNING for job in backups.jobs())
    except QuiesceError:
        return False
