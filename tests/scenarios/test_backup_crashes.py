"""P3: whatever dies in the middle of a backup, the replica is soon back in rotation and the job ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quiesce.errors import QuiesceError
from quiesce.v1 import backup_pb2
from tests.scenarios.cluster import Cluster
from tests.scenarios.daemon import until
from tests.scenarios.people import make_database
from tests.scenarios.test_backup_rotation import PEOPLE, SLOW, Backup, serving

LEASE_S = 3.0
# The log's clock moves on once a second, and the node looks at it.
MARGIN_S = 3.0
OPTIONS = {"lease": f"{LEASE_S:g}s", "recover-timeout": "12s"}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, coordinator_options=OPTIONS) as running, running.client() as client:
        make_database(client, PEOPLE)
        yield running


def job_of(cluster: Cluster, job_id: str) -> backup_pb2.Job | None:
    with cluster.backups() as backups:
        try:
            return next((job for job in backups.jobs() if job.id == job_id), None)
        except QuiesceError:
            return None


def listens(cluster: Cluster) -> bool:
    with cluster.backups() as backups:
        try:
            backups.jobs()
        except QuiesceError:
            return False
    return True


def ended(cluster: Cluster, job_id: str) -> bool:
    job = job_of(cluster, job_id)
    return job is not None and job.state != backup_pb2.JOB_STATE_RUNNING


def test_the_coordinator_is_killed(cluster: Cluster) -> None:
    backup = Backup(cluster, rate_limit=SLOW)
    job = backup.wait_for("snapshot")
    assert not serving(cluster, job.node_id)()
    cluster.coordinator.kill()
    began = time.monotonic()
    until(serving(cluster, job.node_id), LEASE_S + MARGIN_S, "the replica back in rotation by itself")
    print(f"back after {time.monotonic() - began:.1f} s")
    cluster.coordinator.start()
    until(lambda: ended(cluster, job.id), 20, "the job ended by the next coordinator")
    left = job_of(cluster, job.id)
    assert left is not None
    assert left.state == backup_pb2.JOB_STATE_FAILED
    assert "restarted" in left.error_message
    assert Backup(cluster).end().state == backup_pb2.JOB_STATE_SUCCEEDED


def test_the_coordinator_is_killed_and_started_at_once(cluster: Cluster) -> None:
    # With a long lease, so that it is the new coordinator that gives it back.
    backup = Backup(cluster, rate_limit=SLOW, lease_ms=120_000)
    job = backup.wait_for("snapshot")
    cluster.coordinator.kill()
    cluster.coordinator.start()
    until(serving(cluster, job.node_id), 15, "the replica back in rotation, long before its lease would end")
    until(lambda: ended(cluster, job.id), 10, "the job ended")
    assert Backup(cluster).end().state == backup_pb2.JOB_STATE_SUCCEEDED


def test_the_coordinator_is_asked_to_stop(cluster: Cluster) -> None:
    backup = Backup(cluster, rate_limit=SLOW, lease_ms=120_000)
    job = backup.wait_for("snapshot")
    began = time.monotonic()
    assert cluster.coordinator.stop() == 0
    assert time.monotonic() - began < 6
    until(serving(cluster, job.node_id), 3, "the replica back in rotation at once")
    cluster.coordinator.start()
    until(lambda: ended(cluster, job.id), 20, "the job ended")
    left = job_of(cluster, job.id)
    assert left is not None
    assert left.state == backup_pb2.JOB_STATE_CANCELLED


def test_the_replica_is_killed_and_comes_back(cluster: Cluster) -> None:
    backup = Backup(cluster, rate_limit=SLOW * 4)
    job = backup.wait_for("snapshot")
    cluster.nodes[job.node_id].kill()
    cluster.nodes[job.node_id].start()
    last = backup.end()
    assert last.state == backup_pb2.JOB_STATE_SUCCEEDED, last
    assert last.node_id != job.node_id
    assert last.epoch > job.epoch
    assert any(f"failed on node {job.node_id}" in event.text for event in last.events)
    until(serving(cluster, job.node_id), 10, "the first replica back in rotation")


def test_the_replica_is_killed_and_stays_away(cluster: Cluster) -> None:
    backup = Backup(cluster, rate_limit=SLOW)
    job = backup.wait_for("snapshot")
    cluster.nodes[job.node_id].kill()
    last = backup.end()
    assert last.state == backup_pb2.JOB_STATE_FAILED
    assert backup.error is not None
    assert "snapshot" in str(backup.error)
    with cluster.client() as client:
        statuses = [status for _, status in client.admin.statuses() if not isinstance(status, QuiesceError)]
    assert not any(status.HasField("lease") for status in statuses)
    cluster.nodes[job.node_id].start()
    until(serving(cluster, job.node_id), 20, "the replica back in rotation after its restart")
    again = Backup(cluster).end()
    assert again.state == backup_pb2.JOB_STATE_SUCCEEDED, again.error_message


def test_the_leader_is_killed(cluster: Cluster) -> None:
    # The lease outlasts an election, so the backup goes on under the new leader.
    backup = Backup(cluster, rate_limit=SLOW * 2, lease_ms=15_000)
    job = backup.wait_for("snapshot")
    leader = cluster.leader()
    cluster.nodes[leader].kill()
    last = backup.end()
    assert backup.error is None, backup.error
    assert last.state == backup_pb2.JOB_STATE_SUCCEEDED
    assert last.node_id == job.node_id
    assert last.epoch == job.epoch
    cluster.nodes[leader].start()
    cluster.wait_until_serving()


def test_the_replica_hangs(cluster: Cluster) -> None:
    cluster.coordinator.stop()
    cluster.coordinator.arguments += ["--stall-timeout", "4s"]
    cluster.coordinator.start()
    until(lambda: listens(cluster), 20, "the coordinator listens")
    backup = Backup(cluster, rate_limit=SLOW)
    job = backup.wait_for("snapshot")
    cluster.nodes[job.node_id].pause()
    last = backup.end(60)
    assert last.state == backup_pb2.JOB_STATE_FAILED
    cluster.nodes[job.node_id].resume()
    until(serving(cluster, job.node_id), 15, "the replica back in rotation")
