"""A backup that gives way to clients, and a worker whose rate changes while it runs; on real processes under load."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quiesce.errors import InvalidConfiguration, InvalidRequest, LeaseLost, QuiesceError
from quiesce.records import create
from quiesce.repository import open_repository
from quiesce.v1 import backup_pb2
from quiesce.v1.node_pb2 import SnapshotProgress
from tests.scenarios.cli import quiesce
from tests.scenarios.cluster import Cluster
from tests.scenarios.daemon import until
from tests.scenarios.people import DATABASE, Writer, check_all, contents, make_database, person
from tests.scenarios.test_backup_rotation import Backup, read_until

# 16 MB of records: eight seconds and more at the limit below.
RECORDS, RECORD_BYTES = 8_000, 2_000
LIMIT = 2_000_000
# As coordinator/pacing/pace.py has it; this is what users are told.
FLOOR = 1 << 20
_TURNS = itertools.count(1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    with Cluster(directory, coordinator_options={"lease": "10s"}) as running, running.client() as client:
        make_database(client)
        text = "x" * RECORD_BYTES
        for first in range(0, RECORDS, 200):
            people = [create(person(n, text=text), class_name="Person") for n in range(first, first + 200)]
            client.write(DATABASE, people)
        yield running


@contextmanager
def load(cluster: Cluster) -> Iterator[None]:
    """Write and read all the while; no call may fail, and what was acknowledged is there in the end."""
    stop, failures, answered = threading.Event(), list[QuiesceError](), list[int]()
    with cluster.client() as client:
        # Numbers are unique, also from one test to the next.
        writers = [Writer(client, first=1_000_000 * next(_TURNS)) for _ in range(3)]
        for writer in writers:
            writer.start()
        reader = threading.Thread(target=read_until, args=(client, stop, failures, answered), daemon=True)
        reader.start()
        until(lambda: all(writer.acknowledged for writer in writers), 30, "every writer writes")
        try:
            yield
        finally:
            stop.set()
            for writer in writers:
                writer.end()
            reader.join(20)
        assert [writer.failures for writer in writers] == [[]] * 3
        assert failures == []
        check_all(writers, contents(client))


def test_with_a_budget_that_cannot_be_kept_it_goes_at_the_least_rate_and_still_succeeds(
    cluster: Cluster, tmp_path: Path
) -> None:
    with load(cluster):
        tight = Backup(cluster, latency_budget_ms=1, rate_limit=LIMIT, repository=str(tmp_path / "tight")).end(100)
        free = Backup(cluster, rate_limit=LIMIT, repository=str(tmp_path / "free")).end(100)
    assert tight.state == free.state == backup_pb2.JOB_STATE_SUCCEEDED
    assert (tight.clients.budget_ms, tight.clients.most_rate) == (1, LIMIT)
    assert (tight.clients.least_rate, tight.clients.last_rate) == (FLOOR, FLOOR)
    assert tight.clients.over_budget_ms > 0
    assert tight.clients.before.writes > 0
    assert tight.clients.during.writes > 0
    assert tight.clients.during.reads > 0
    texts = [event.text for event in tight.events]
    assert sum("it reads more slowly" in text for text in texts) == 1
    assert sum(text.startswith("before, clients waited ") for text in texts) == 1
    assert sum("over the budget of 1 ms for" in text for text in texts) == 1
    # Without one it is only counted.
    assert free.clients.during.writes > 0
    assert free.clients.most_rate == free.clients.over_budget_ms == 0
    assert not any("budget" in event.text for event in free.events)

    impact = open_repository(tmp_path / "tight").read_manifest(tight.snapshot_id).impact
    assert impact is not None
    assert impact["clients"]["during"]["writes"]["calls"] == tight.clients.during.writes
    shown = quiesce("snapshots", "show", "latest", "--repository", str(tmp_path / "tight"))
    assert "Budget:     1 ms; longer for " in shown.output
    assert "read at 1.0 MiB/s to 1.9 MiB/s" in shown.output
    job = quiesce("jobs", "show", tight.id, "--coordinator", cluster.coordinator_address, "--output", "json")
    assert json.loads(job.output)["clients"]["least_rate"] == FLOOR


def test_a_node_tells_what_its_clients_wait(cluster: Cluster) -> None:
    with load(cluster), cluster.client() as client:
        leader = cluster.leader()
        since = {node: client.admin.client_latency(node).second for node in cluster.members}
        writes = dict.fromkeys(cluster.members, 0)
        reads = dict.fromkeys(cluster.members, 0)

        def told() -> bool:
            for node, known in since.items():
                answer = client.admin.client_latency(node, since=known)
                assert answer.second >= known
                since[node] = answer.second
                writes[node] += sum(answer.writes.calls)
                reads[node] += sum(answer.reads.calls)
                assert answer.writes.p50_us <= answer.writes.p99_us
            return sum(writes.values()) > 50 and sum(reads.values()) > 50

        until(told, 60, "the nodes tell of fifty writes and reads")
        if cluster.leader() == leader:
            # A follower refuses writes, and refusals are none.
            assert [writes[node] for node in cluster.members if node != leader] == [0, 0]


def test_a_rate_that_is_changed_is_taken_up_at_once_and_from_the_lease_s_holder_only(
    cluster: Cluster, tmp_path: Path
) -> None:
    # At this rate the first page alone would take half an hour.
    backup = Backup(cluster, rate_limit=1_000, repository=str(tmp_path / "slow"))
    job = backup.wait_for("snapshot")
    with cluster.client() as client:
        for node in cluster.members:
            for epoch, fence in ((job.epoch - 1, 0), (job.epoch, job.epoch + 1), (job.epoch + 1, 0)):
                with pytest.raises(LeaseLost):
                    client.admin.set_worker_rate(node, epoch, 5, fence=fence)
        until(lambda: backup.seen[-1].snapshot.phase == SnapshotProgress.PHASE_UPLOADING, 30, "the worker reads")
        assert client.admin.set_worker_rate(job.node_id, job.epoch, 0) == 1
        # Those that attest may have no worker yet: it is told when it starts.
        for node in cluster.members:
            assert client.admin.set_worker_rate(node, job.epoch, 0, fence=job.epoch) <= 1
    ended = backup.end(60)
    assert ended.state == backup_pb2.JOB_STATE_SUCCEEDED
    manifest = open_repository(tmp_path / "slow").read_manifest(ended.snapshot_id)
    assert manifest.attestations is not None
    assert len(manifest.attestations) == 3


@pytest.mark.parametrize("text", ["-50ms", "0ms", "0s", "50", "soon", "0.2ms", "2m", "ms", ""])
def test_a_budget_that_is_none_is_refused_before_anything_happens(cluster: Cluster, text: str) -> None:
    address = ("--coordinator", cluster.coordinator_address)
    answer = quiesce("backup", f"--latency-budget={text}", *address)
    assert (answer.code, answer.output) == (2, "")
    assert "--latency-budget" in answer.error
    answer = quiesce("policies", "create", "p", "--every", "1h", f"--latency-budget={text}", *address)
    assert (answer.code, answer.output) == (2, "")
    if text:
        answer = quiesce("coordinator", f"--latency-budget={text}")
        assert answer.code == InvalidConfiguration.exit_code
        assert "latency_budget" in answer.error


def test_a_policy_has_a_budget(cluster: Cluster) -> None:
    address = ("--coordinator", cluster.coordinator_address)
    made = quiesce("policies", "create", "gentle", "--every", "1h", "--latency-budget", "1ms", *address)
    assert made.code == 0, made.error
    assert "Latency budget: 1ms\n" in quiesce("policies", "show", "gentle", *address).output
    assert quiesce("policies", "run", "gentle", *address).code == 0
    with cluster.backups() as backups:

        def ended() -> bool:
            jobs = [job for job in backups.jobs() if job.policy == "gentle"]
            return bool(jobs) and jobs[0].state != backup_pb2.JOB_STATE_RUNNING

        until(ended, 90, "the run has ended")
        [job] = [job for job in backups.jobs() if job.policy == "gentle"]
        assert (job.state, job.clients.budget_ms) == (backup_pb2.JOB_STATE_SUCCEEDED, 1)
        with pytest.raises(InvalidRequest):
            list(backups.create(latency_budget_ms=60_001))
    assert (
        json.loads(quiesce("policies", "show", "gentle", "--output", "json", *address).output)["latency_budget_ms"] == 1
    )
    assert quiesce("policies", "delete", "gentle", *address).code == 0
