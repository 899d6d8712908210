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
# A coordinator that is stopped leaves its replica out for so long, for the next one.
HAND_OVER_S = 10.0
OPTIONS = {"lease": f"{LEASE_S:g}s", "recover-timeout": "12s"}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, coordinator_options=OPTIONS) as running, running.client() as client:
        make_database(client, PEOPLE)
        yield running


def listens(cluster: Cluster) -> bool:
    with cluster.backups() as backups:
        try:
            backups.jobs()
        except QuiesceError:
            return False
    return True


def test_the_coordinator_is_killed(cluster: Cluster) -> None:
    backup = Backup(cluster, rate_limit=SLOW * 3)
    job = backup.wait_for("snapshot")
    assert not serving(cluster, job.node_id)()
    cluster.coordinator.kill()
    began = time.monotonic()
    until(serving(cluster, job.node_id), LEASE_S + MARGIN_S, "the replica back in rotation by itself")
    print(f"back after {time.monotonic() - began:.1f} s")
    cluster.coordinator.start()
    last = backup.end(90)
    assert last.id == job.id, "the same job goes on, under the eyes of who watched it"
    assert last.state == backup_pb2.JOB_STATE_SUCCEEDED, last
    assert last.epoch > job.epoch
    assert Backup(cluster).end().state == backup_pb2.JOB_STATE_SUCCEEDED


def test_the_coordinator_is_killed_and_started_at_once(cluster: Cluster) -> None:
    backup = Backup(cluster, rate_limit=SLOW * 3, lease_ms=60_000)
    job = backup.wait_for("snapshot")
    # The cluster has had the time to hear of the mark.
    time.sleep(1)
    cluster.coordinator.kill()
    cluster.coordinator.start()
    last = backup.end(90)
    assert last.state == backup_pb2.JOB_STATE_SUCCEEDED, last
    assert (last.id, last.epoch) == (job.id, job.epoch), "it went on under the same lease"
    assert sum("the mark is" in event.text for event in last.events) == 1, "at the same mark"
    until(serving(cluster, job.node_id), 10, "the replica back in rotation")


def test_the_coordinator_is_asked_to_stop(cluster: Cluster) -> None:
    backup = Backup(cluster, rate_limit=SLOW, lease_ms=120_000)
    job = backup.wait_for("snapshot")
    began = time.monotonic()
    assert cluster.coordinator.stop() == 0
    assert time.monotonic() - began < 6
    until(serving(cluster, job.node_id), HAND_OVER_S + MARGIN_S, "the replica back, long before its lease would end")
    cluster.coordinator.start()
    with cluster.backups() as backups:
        until(lambda: listens(cluster), 20, "the coordinator listens")
        assert backups.cancel(job.id).state == backup_pb2.JOB_STATE_CANCELLED
    backup.end()
    until(serving(cluster, job.node_id), 10, "the replica back in rotation")
    assert Backup(cluster).end().state == backup_pb2.JOB_STATE_SUCCEEDED


def test_the_replica_is_killed_and_comes_back(cluster: Cluster) -> None:
    backup = Backup(cluster, rate_limit=SLOW * 4)
    job = backup.wait_for("snapshot")
    cluster.nodes[job.node_id].kill()
    cluster.nodes[job.node_id].start()
    last = backup.end()
    assert last.state == backup_pb2.JOB_STATE_SUCCEEDED, last
    assert last.node_id != job.node_id
    assert last.epoch == job.epoch, "the same lease, which has moved"
    marks = [event.text for event in last.events if event.text.startswith("the mark is")]
    assert len(marks) == 1, "the same mark: the other replica has kept a checkpoint too"
    assert any(f"failed on node {job.node_id}" in event.text for event in last.events)
    until(serving(cluster, job.node_id), 10, "the first replica back in rotation")


def answers(cluster: Cluster) -> bool:
    with cluster.backups() as backups:
        try:
            backups.preview()
        except QuiesceError:
            return False
    return True


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
    # The coordinator's own connection to it may take a moment longer.
    until(lambda: answers(cluster), 20, "the coordinator would take one again")
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
