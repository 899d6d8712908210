"""Policies on real processes: runs by hand and by the clock, and coordinators that die in between."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quiesce.errors import InvalidRequest, PolicyExists, Unavailable, UnknownPolicy
from quiesce.v1 import backup_pb2
from tests.scenarios.cli import Answer, quiesce
from tests.scenarios.cluster import Cluster
from tests.scenarios.daemon import until
from tests.scenarios.people import contents, make_database

PEOPLE = 2_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    with Cluster(directory, coordinator_options={"lease": "3s"}) as running, running.client() as client:
        make_database(client, PEOPLE)
        yield running


def policies(cluster: Cluster, *arguments: str) -> Answer:
    return quiesce("policies", *arguments, "--coordinator", cluster.coordinator_address)


def shown(cluster: Cluster, name: str) -> dict[str, object]:
    answer = policies(cluster, "show", name, "--output", "json")
    assert answer.code == 0, answer.error
    return dict(json.loads(answer.output))


def succeeded(cluster: Cluster, name: str) -> bool:
    """Say whether a run has succeeded, as far as a coordinator that was just started can tell."""
    answer = policies(cluster, "show", name, "--output", "json")
    assert answer.code in (0, Unavailable.exit_code), answer.error
    return answer.code == 0 and bool(json.loads(answer.output)["last_success_ms"])


def test_a_policy_from_its_creation_to_its_end(cluster: Cluster) -> None:
    answer = policies(cluster, "create", "nightly", "--cron", "30 2 * * *", "--zone", "Europe/Berlin")
    assert answer.code == 0, answer.error
    assert policies(cluster, "create", "nightly", "--every", "1h").code == PolicyExists.exit_code
    assert policies(cluster, "create", "other", "--cron", "at noon").code == InvalidRequest.exit_code
    assert policies(cluster, "create", "other", "--cron", "0 2 * * *", "--every", "1h").code == 2
    assert policies(cluster, "show", "nobody").code == UnknownPolicy.exit_code
    runs = json.loads(policies(cluster, "next", "nightly", "--count", "3", "--output", "json").output)["runs"]
    assert len(runs) == 3
    assert all(later["at_ms"] > earlier["at_ms"] for earlier, later in itertools.pairwise(runs))
    assert "30 2 * * * Europe/Berlin" in policies(cluster).output

    assert policies(cluster, "run", "nightly").code == 0
    until(lambda: not shown(cluster, "nightly")["running"], 60, "the run has ended")
    found = shown(cluster, "nightly")
    assert found["last_success_ms"], found
    with cluster.backups() as backups:
        [job] = [job for job in backups.jobs() if job.policy == "nightly"]
        assert job.id == found["job_id"]
        assert job.state == backup_pb2.JOB_STATE_SUCCEEDED
        assert backups.show(job.snapshot_id).summary.records >= PEOPLE

    assert policies(cluster, "pause", "nightly").code == 0
    assert shown(cluster, "nightly")["next_ms"] == 0
    assert json.loads(policies(cluster, "next", "--output", "json").output)["runs"] == []
    assert policies(cluster, "resume", "nightly").code == 0
    assert policies(cluster, "delete", "nightly").code == 0
    assert json.loads(policies(cluster, "list", "--output", "json").output)["policies"] == []


@pytest.mark.timeout(240)
def test_the_clock_starts_runs_also_those_that_fell_due_while_no_coordinator_was_there(cluster: Cluster) -> None:
    assert policies(cluster, "create", "often", "--every", "1m", "--retry-pause", "1s").code == 0
    try:
        due_ms = int(str(shown(cluster, "often")["next_ms"]))
        cluster.coordinator.kill()
        time.sleep(max(0.0, due_ms / 1000 - time.time()) + 1)
        cluster.coordinator.start()
        until(lambda: succeeded(cluster, "often"), 60, "the missed run is made up for")
        assert int(str(shown(cluster, "often")["next_ms"])) > due_ms
    finally:
        policies(cluster, "delete", "often")


def test_a_coordinator_that_is_killed_in_a_run_goes_on_with_it_after_its_restart(
    cluster: Cluster, tmp_path: Path
) -> None:
    with cluster.client() as client:
        expected = contents(client)
    # Empty: in the usual one the pages are there already. At this pace the snapshot takes seconds.
    slowly = ("--rate-limit", "30k", "--repository", str(tmp_path / "fresh"))
    created = policies(cluster, "create", "daily", "--cron", "0 3 * * *", "--retry-pause", "1s", *slowly)
    assert created.code == 0, created.error
    assert policies(cluster, "run", "daily").code == 0

    def under_way() -> bool:
        with cluster.backups() as backups:
            return any(job.policy == "daily" and job.step == "snapshot" for job in backups.jobs())

    until(under_way, 30, "the run writes its snapshot")
    cluster.coordinator.kill()
    cluster.coordinator.start()
    until(lambda: succeeded(cluster, "daily"), 90, "the run has succeeded")
    found = shown(cluster, "daily")
    assert not found["running"]
    assert found["failures"] == 0
    with cluster.backups() as backups:
        states = [job.state for job in backups.jobs() if job.policy == "daily"]
    assert states == [backup_pb2.JOB_STATE_SUCCEEDED]
    with cluster.client() as client:
        assert contents(client) == expected
    policies(cluster, "delete", "daily")
