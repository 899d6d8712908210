"""Retention on real processes: rules, pins, a worker that stands still while what it reuses is to go, a restore."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from quiesce.errors import LastSnapshot, SnapshotPinned
from quiesce.records import create
from quiesce.repository import layout, open_repository, verify_snapshot
from quiesce.repository.pins import live_pins
from tests.scenarios.cli import ROOT, Answer, quiesce
from tests.scenarios.cluster import Cluster
from tests.scenarios.daemon import until
from tests.scenarios.people import DATABASE, contents, make_database, person

PEOPLE = 2_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    with Cluster(directory) as running, running.client() as client:
        make_database(client, PEOPLE)
        yield running


def command(cluster: Cluster, *arguments: str, code: int = 0) -> Answer:
    answer = quiesce(*arguments, "--coordinator", cluster.coordinator_address)
    assert answer.code == code, answer.error
    return answer


def snapshots(cluster: Cluster) -> list[str]:
    return [manifest.snapshot_id for manifest in open_repository(cluster.repository).list_snapshots()]


def run(cluster: Cluster, policy: str) -> None:
    command(cluster, "policies", "run", policy)

    def ended() -> bool:
        answer = command(cluster, "policies", "show", policy, "--output", "json")
        return not json.loads(answer.output)["running"]

    until(ended, 60, "the run has ended")


def write(cluster: Cluster, first: int, count: int) -> None:
    with cluster.client() as client:
        for start in range(first, first + count, 500):
            numbers = range(start, min(start + 500, first + count))
            client.write(DATABASE, [create(person(n), class_name="Person") for n in numbers])


def test_rules_pins_and_what_is_left(cluster: Cluster, tmp_path: Path) -> None:
    command(cluster, "policies", "create", "nightly", "--cron", "0 3 * * *", "--keep-last", "2")
    assert "Keeps: last 2" in command(cluster, "policies", "show", "nightly").output
    run(cluster, "nightly")
    (first,) = snapshots(cluster)
    command(cluster, "snapshots", "pin", "latest", "--reason", "before the change")
    for number in range(4):
        write(cluster, 10_000 + number, 1)
        run(cluster, "nightly")
    until(lambda: len(snapshots(cluster)) == 3, 30, "the rules were carried out")
    kept = snapshots(cluster)
    assert kept[0] == first
    explained = json.loads(command(cluster, "snapshots", "why", first, "--output", "json").output)
    assert any("before the change" in reason for reason in explained["reasons"])
    assert "last 2 of 2" in command(cluster, "snapshots", "why", kept[1]).output
    shown = command(cluster, "policies", "show", "nightly").output
    assert shown.count("removed: no rule keeps it") == 2

    command(cluster, "snapshots", "delete", first, "--force", code=SnapshotPinned.exit_code)
    command(cluster, "snapshots", "unpin", first)
    prune = ("snapshots", "prune", "--policy", "nightly")
    dry = json.loads(command(cluster, *prune, "--dry-run", "--output", "json").output)
    assert [one["id"] for one in dry["snapshots"] if not one["keep"]] == [first]
    assert first in snapshots(cluster)
    command(cluster, *prune)
    assert snapshots(cluster) == kept[1:]
    command(cluster, "snapshots", "delete", kept[1])
    command(cluster, "snapshots", "delete", kept[2], code=LastSnapshot.exit_code)

    repository = str(cluster.repository)
    waiting = json.loads(quiesce("snapshots", "collect", "--repository", repository, "--output", "json").output)
    assert waiting["removed"] == 0
    assert waiting["waiting"] > 0
    swept = json.loads(
        quiesce("snapshots", "collect", "--repository", repository, "--grace", "1ms", "--output", "json").output
    )
    assert swept["removed"] == waiting["waiting"]
    verify_snapshot(open_repository(repository), kept[2])
    answer = quiesce("restore", kept[2], "--repository", repository, "--data", str(tmp_path / "restored"))
    assert answer.code == 0, answer.error
    assert live_pins(open_repository(repository), 0) == []
    command(cluster, "policies", "delete", "nightly")


def workers(cluster: Cluster) -> list[int]:
    """Return the process ids of the workers that make a snapshot; others only attest."""
    children = (
        int(child)
        for node in cluster.nodes.values()
        for child in Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text().split()
    )
    return [child for child in children if b"--snapshot-id=" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_what_a_worker_that_stands_still_may_reuse_does_not_go(cluster: Cluster) -> None:
    before = snapshots(cluster)
    write(cluster, 20_000, 2_000)
    repository = open_repository(cluster.repository)
    arguments = ["backup", "--rate-limit", "60k", "--coordinator", cluster.coordinator_address]
    backup = subprocess.Popen(
        [sys.executable, "-m", "quiesce", *arguments],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until(lambda: bool(list(repository.objects.list_objects(layout.WRITERS))), 30, "a worker has announced itself")
        (worker,) = workers(cluster)
        os.kill(worker, signal.SIGSTOP)
        try:
            for snapshot_id in before:
                command(cluster, "snapshots", "delete", snapshot_id, "--force")
            for _ in range(2):
                answer = quiesce("snapshots", "collect", "--repository", repository.location, "--grace", "1ms")
                assert answer.code == 0, answer.error
                assert answer.output.startswith("0 objects removed"), answer.output
        finally:
            os.kill(worker, signal.SIGCONT)
        _, error = backup.communicate(timeout=90)
        assert backup.returncode == 0, error
    finally:
        backup.kill()
    (made,) = snapshots(cluster)
    verify_snapshot(repository, made)
    assert list(repository.objects.list_objects(layout.WRITERS)) == []
    with cluster.client() as client:
        assert len(contents(client)) == repository.read_manifest(made).totals.records


def test_a_coordinator_that_is_killed_while_it_removes(cluster: Cluster) -> None:
    command(cluster, "policies", "create", "daily", "--cron", "0 3 * * *")
    for number in range(5):
        write(cluster, 30_000 + number, 1)
        run(cluster, "daily")
    command(cluster, "policies", "delete", "daily")
    # The same name: it owns what the one before it has left.
    command(cluster, "policies", "create", "daily", "--cron", "0 3 * * *", "--keep-last", "1")
    kill = threading.Timer(0.6, cluster.coordinator.kill)
    kill.start()
    quiesce("snapshots", "prune", "--policy", "daily", "--coordinator", cluster.coordinator_address)
    kill.join()
    cluster.coordinator.start()
    repository = open_repository(cluster.repository)
    for manifest in repository.list_snapshots():
        verify_snapshot(repository, manifest.snapshot_id)

    def kept() -> bool:
        return [one.policy for one in repository.list_snapshots()].count("daily") == 1

    until(kept, 60, "the next coordinator has gone on")
