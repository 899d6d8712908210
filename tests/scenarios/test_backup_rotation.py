"""A backup while clients read and write: what is seen of it, who else may have one, and how it is called off."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quiesce import Client
from quiesce.errors import (
    BackupCancelled,
    InvalidRequest,
    NotAwaitingRestore,
    QuiesceError,
    RotationHeld,
    UnknownJob,
    UnknownNode,
)
from quiesce.records import create
from quiesce.repository import open_repository
from quiesce.v1 import backup_pb2, node_pb2
from quiesce.v1.backup_pb2 import JobProgress
from tests.scenarios.cli import quiesce
from tests.scenarios.cluster import Cluster
from tests.scenarios.daemon import until
from tests.scenarios.people import DATABASE, Writer, contents, make_database, person

PEOPLE = 4_000
# The snapshot of these people takes several seconds at this pace.
SLOW = 20_000


class Backup(threading.Thread):
    """A backup that runs beside the test."""

    def __init__(self, cluster: Cluster, **wanted: Any) -> None:
        super().__init__(daemon=True)
        self.cluster = cluster
        self.wanted = wanted
        self.seen: list[JobProgress] = []
        self.error: QuiesceError | None = None
        self.start()

    def run(self) -> None:
        with self.cluster.backups() as backups:
            try:
                for progress in backups.create(**self.wanted):
                    self.seen.append(progress)
            except QuiesceError as error:
                self.error = error

    @property
    def job(self) -> backup_pb2.Job:
        return self.seen[-1].job if self.seen else backup_pb2.Job()

    def wait_for(self, step: str) -> backup_pb2.Job:
        until(lambda: self.job.step == step or not self.is_alive(), 20, f"the step {step}")
        assert self.job.step == step, f"{self.job} {self.error}"
        return self.job

    def end(self, timeout_s: float = 60) -> backup_pb2.Job:
        self.join(timeout_s)
        assert not self.is_alive(), "the backup hangs"
        return self.job


def serving(cluster: Cluster, node: int) -> Callable[[], bool]:
    """Return a question: is this node in rotation?"""

    def ask() -> bool:
        with cluster.client() as client:
            status = cluster.status(node, client)
        return status is not None and status.serving == node_pb2.SERVING_STATE_SERVING

    return ask


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    with Cluster(directory, coordinator_options={"lease": "3s"}) as running, running.client() as client:
        make_database(client, PEOPLE)
        yield running
    for daemon in (*running.nodes.values(), running.coordinator):
        # gRPC's own words when it holds a fork up, and the daemon with it.
        assert "fork() handlers" not in daemon.log.read_text(errors="replace")


def read_until(client: Client, stop: threading.Event, failures: list[QuiesceError], answered: list[int]) -> None:
    ids = list(contents(client))[:100]
    while not stop.is_set():
        try:
            answered.append(len(client.get(DATABASE, ids)))
        except QuiesceError as error:
            failures.append(error)


def test_no_client_fails_and_the_manifest_tells_what_the_replica_did(cluster: Cluster) -> None:
    stop, failures, answered = threading.Event(), list[QuiesceError](), list[int]()
    with cluster.client() as client:
        writer = Writer(client, first=10_000_000)
        reader = threading.Thread(target=read_until, args=(client, stop, failures, answered), daemon=True)
        writer.start()
        reader.start()
        backup = Backup(cluster, rate_limit=SLOW * 5)
        job = backup.end()
        stop.set()
        writer.end()
        reader.join(20)
        assert backup.error is None
        assert job.state == backup_pb2.JOB_STATE_SUCCEEDED
        assert writer.failures == failures == []
        assert set(answered) == {100}
        assert writer.acknowledged
        writer.check(contents(client))
    steps = [step for step in dict.fromkeys(progress.job.step for progress in backup.seen) if step != "transfer"]
    assert steps[-9:] == ["drain", "mark", "checkpoint", "snapshot", "fence", "publish", "release", "return", "done"]
    assert job.node_id != cluster.leader()
    with cluster.backups() as backups:
        summary = backups.list()[-1]
        assert summary.id == job.snapshot_id == backups.show("latest").summary.id
        assert summary.databases == [DATABASE]
        assert summary.records >= PEOPLE
        assert list(backups.verify(summary.id))[-1].done
        assert backups.jobs(limit=1)[0] == job
        assert [progress.job for progress in backups.watch(job.id)] == [job]
    impact = open_repository(cluster.repository).read_manifest(summary.id).impact
    assert impact is not None
    assert [state["state"] for state in impact["states"]][-2:] == ["DRAINING", "DRAINED"]
    times = [state["at_ms"] for state in impact["states"]]
    assert times == sorted(times)
    with cluster.client() as client:
        history = client.admin.status(job.node_id).history
    assert [change.state for change in history][-2:] == [
        node_pb2.SERVING_STATE_CATCHING_UP,
        node_pb2.SERVING_STATE_SERVING,
    ]


def test_the_next_backup_takes_another_replica_and_a_wanted_leader_hands_over(cluster: Cluster) -> None:
    first, second = Backup(cluster).end(), Backup(cluster).end()
    assert first.node_id != second.node_id
    leader = cluster.leader()
    third = Backup(cluster, node_id=leader).end()
    assert third.state == backup_pb2.JOB_STATE_SUCCEEDED
    assert third.node_id == leader
    assert any(event.step == "transfer" or "leads" in event.text for event in third.events)


def test_a_node_that_backups_are_to_leave_alone_is_left_out_unless_it_is_asked_for(cluster: Cluster) -> None:
    alone, other = cluster.followers()
    daemon = cluster.nodes[alone]
    daemon.stop()
    daemon.arguments.append("--nobackup")
    cluster.start()
    leader = cluster.leader()
    preview = ("backup", "--dry-run", "--coordinator", cluster.coordinator_address)
    answer = quiesce(*preview, "--output", "json")
    assert answer.code == 0, answer.error
    found = json.loads(answer.output)
    assert found["node_id"] == other if leader != other else found["node_id"] != alone
    last = found["candidates"][-1]
    assert (last["node_id"], last["eligible"]) == (alone, False)
    assert "nobackup" in last["why"]
    lines = quiesce(*preview, "--node", str(alone)).output.splitlines()
    assert lines[1].split()[:2] == [str(alone), "taken"]
    with cluster.backups() as backups:
        jobs = len(backups.jobs())
        assert Backup(cluster, node_id=alone).end().state == backup_pb2.JOB_STATE_SUCCEEDED
        assert len(backups.jobs()) == jobs + 1
    assert quiesce(*preview, "--node", "9").code == UnknownNode.exit_code


def test_a_second_backup_is_refused_and_the_first_can_be_cancelled(cluster: Cluster, tmp_path: Path) -> None:
    # Empty: in the usual one, most pages are there already.
    fresh = str(tmp_path / "fresh")
    with cluster.backups() as backups:
        first = Backup(cluster, rate_limit=SLOW, repository=fresh)
        job = first.wait_for("snapshot")
        began = time.monotonic()
        second = Backup(cluster)
        second.end()
        assert isinstance(second.error, RotationHeld)
        assert second.error.fields["job_id"] == job.id
        assert time.monotonic() - began < 5, "it was to be refused at once, not after the first one"
        # Work goes on for longer than a lease without a renewal would last.
        until(lambda: first.job.snapshot_id and time.monotonic() - began > 4, 10, "more than a lease")
        assert first.is_alive()
        with cluster.client() as client:
            assert client.admin.status(job.node_id).lease.epoch == job.epoch
        cancelled = backups.cancel(job.id)
        assert cancelled.state == backup_pb2.JOB_STATE_CANCELLED
        first.end(10)
        assert isinstance(first.error, BackupCancelled)
        until(serving(cluster, job.node_id), 5, "the replica back in rotation")
        assert backups.list(fresh) == []
        with cluster.client() as client:
            assert list(client.admin.status(job.node_id).checkpoints) == []


def test_wrong_requests_touch_no_node(cluster: Cluster) -> None:
    with cluster.backups() as backups:
        with pytest.raises(InvalidRequest):
            list(backups.create(repository="not/absolute"))
        with pytest.raises(InvalidRequest):
            list(backups.create(lease_ms=10))
        with pytest.raises(UnknownJob):
            backups.cancel("job-of-nobody")
        latest = backups.list()[-1].id
        with pytest.raises(NotAwaitingRestore):
            list(backups.restore(latest, cluster.members))
        with pytest.raises(InvalidRequest):
            list(backups.restore(latest, {}))
    with cluster.client() as client:
        assert all(serving(cluster, node)() for node in cluster.members)
        client.write(DATABASE, [create(person(77_777_777), class_name="Person")])
