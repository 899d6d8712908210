"""P8 on real processes: a snapshot counts as good when it was restored and checked, and nothing is left of that."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from quiesce import BlockingDrills
from quiesce.client.direct import never_sent
from quiesce.errors import DamagedObject, Unavailable, UnknownPolicy, UnknownSnapshot
from quiesce.records import RID, create
from tests.scenarios.cli import Answer, quiesce
from tests.scenarios.cluster import Cluster
from tests.scenarios.daemon import until
from tests.scenarios.people import DATABASE, make_database, person

PEOPLE = 3_000
CONNECTED_WITHIN_S = 60
Result = TypeVar("Result")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    options = {"drill-directory": str(directory / "drills")}
    with Cluster(directory, coordinator_options=options) as running, running.client() as client:
        made = make_database(client, PEOPLE)
        # One link that leads to a record, and one to none.
        friends = [person(PEOPLE, friend=made[0]), person(PEOPLE + 1, friend=RID(900, 5))]
        client.write(DATABASE, [create(one, class_name="Person") for one in friends])
        yield running


def drills(cluster: Cluster, *arguments: str) -> Answer:
    return asked("drills", *arguments, "--coordinator", cluster.coordinator_address)


def policies(cluster: Cluster, *arguments: str) -> Answer:
    return asked("policies", *arguments, "--coordinator", cluster.coordinator_address)


def asked(*arguments: str) -> Answer:
    """Run a command; once more where a busy machine let it find no connection in time."""
    deadline = time.monotonic() + CONNECTED_WITHIN_S
    while True:
        answer = quiesce(*arguments)
        not_connected = answer.code == Unavailable.exit_code and "failed to connect" in answer.error
        if not not_connected or time.monotonic() > deadline:
            return answer


def connected(call: Callable[[], Result]) -> Result:
    """Return what `call` returns, as `asked`."""
    deadline = time.monotonic() + CONNECTED_WITHIN_S
    while True:
        try:
            return call()
        except Unavailable as error:
            if not never_sent(error) or time.monotonic() > deadline:
                raise


def backup(cluster: Cluster, repository: Path | None = None) -> str:
    """Take a snapshot, and return its id."""

    def take() -> str:
        with cluster.backups() as backups:
            *_, last = backups.create(repository=str(repository or ""))
        return last.job.snapshot_id

    return connected(take)


def in_restore(cluster: Cluster, snapshot_id: str = "") -> str:
    """Begin a drill, and return its id as soon as it restores."""

    def begin() -> str:
        with BlockingDrills(cluster.coordinator_address) as client:
            return next(answer.drill.id for answer in client.run(snapshot_id) if answer.drill.step == "restore")

    return connected(begin)


def left_on_disk(cluster: Cluster) -> list[str]:
    return [path.name for path in (cluster.directory / "drills").glob("drill-*")]


def processes_of(directory: Path) -> list[str]:
    """Return the command lines of the processes that work in a directory."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(directory) in line and " coordinator " not in line:
            found.append(line)
    return found


def verified_ms(cluster: Cluster, snapshot_id: str) -> int:
    def ask() -> int:
        with cluster.backups() as backups:
            return int(backups.show(snapshot_id).summary.verified_ms)

    return connected(ask)


def outcome_of(cluster: Cluster, drill_id: str) -> str:
    """Return what a drill has come to, as far as a coordinator that was just started can tell."""
    answer = drills(cluster, "list", "--output", "json")
    assert answer.code in (0, Unavailable.exit_code), answer.error
    found = json.loads(answer.output)["drills"] if answer.code == 0 else []
    return next((str(one["outcome"]) for one in found if one["id"] == drill_id), "")


def test_a_good_snapshot_is_verified_and_nothing_is_left_of_the_drill(cluster: Cluster) -> None:
    snapshot_id = backup(cluster)
    before_ms = time.time_ns() // 1_000_000
    answer = drills(cluster, "run", "--output", "json")
    assert answer.code == 0, answer.error
    said = [json.loads(line) for line in answer.output.splitlines()]
    found = said[-1]
    assert (found["outcome"], found["snapshot_id"]) == ("verified", snapshot_id)
    assert found["records"] == PEOPLE + 2
    assert found["index_entries"] == PEOPLE + 2
    assert (found["links"], found["dangling_links"]) == (1, 1)
    assert list(found["parts_ms"]) == ["choose", "start", "restore", "count", "stop", "check", "record", "clean"]
    assert [one["step"] for one in said if "step" in one][:3] == ["choose", "start", "restore"]
    assert left_on_disk(cluster) == []
    assert processes_of(cluster.directory / "drills") == []

    assert before_ms <= verified_ms(cluster, snapshot_id) <= time.time_ns() // 1_000_000
    # Also without a cluster.
    alone = quiesce("snapshots", "show", snapshot_id, "--repository", str(cluster.repository), "--output", "json")
    assert json.loads(alone.output)["verified_ms"] == verified_ms(cluster, snapshot_id)
    assert json.loads(drills(cluster, "list", "--output", "json").output)["drills"][0]["id"] == found["id"]
    assert drills(cluster, "run", "nobody").code == UnknownSnapshot.exit_code
    assert drills(cluster, "run", "--policy", "nobody").code == UnknownPolicy.exit_code


def test_a_flipped_byte_of_a_pack_is_named_and_the_snapshot_is_verified_no_more(
    cluster: Cluster, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    snapshot_id = backup(cluster, repository)
    whole = drills(cluster, "run", snapshot_id, "--repository", str(repository))
    assert whole.code == 0, whole.error
    [pack, *_] = sorted(repository.glob("packs/*/*.pack"))
    content = bytearray(pack.read_bytes())
    content[len(content) // 2] ^= 1
    pack.chmod(0o644)
    pack.write_bytes(content)

    answer = drills(cluster, "run", snapshot_id, "--repository", str(repository), "--output", "json")
    assert answer.code == DamagedObject.exit_code, answer.error
    error = json.loads(answer.error.splitlines()[-1])
    assert error["fields"]["object"] == str(pack.relative_to(repository))
    listed = quiesce("snapshots", "list", "--repository", str(repository), "--output", "json")
    assert [one["verified_ms"] for one in json.loads(listed.output)["snapshots"]] == [0]
    assert left_on_disk(cluster) == []


def test_a_policy_tells_how_long_ago_its_snapshots_were_proven_and_raises_its_alarm(cluster: Cluster) -> None:
    assert policies(cluster, "create", "nightly", "--cron", "0 2 1 1 *", "--drill-cron", "0 5 1 1 *").code == 0
    try:
        early = drills(cluster, "run", "--policy", "nightly")
        assert early.code == UnknownSnapshot.exit_code, early.error
        assert policies(cluster, "run", "nightly").code == 0

        def shown() -> dict[str, object]:
            return dict(json.loads(policies(cluster, "show", "nightly", "--output", "json").output))

        until(lambda: shown()["last_success_ms"], 60, "the policy has a snapshot", every_s=0.5)
        assert shown()["verified_age_s"] is None
        done = drills(cluster, "run", "--policy", "nightly", "--output", "json")
        assert done.code == 0, done.error
        until(lambda: shown()["last_verified_ms"], 20, "the policy knows", every_s=0.2)
        found = shown()
        assert isinstance(found["verified_age_s"], float)
        assert not found["alarm"]
        assert "Last verified: 20" in policies(cluster, "show", "nightly").output

        snapshot_id = json.loads(done.output.splitlines()[-1])["snapshot_id"]
        manifest = cluster.repository / "snapshots" / f"{snapshot_id}.manifest"
        aside = manifest.rename(manifest.with_name(".aside"))
        assert drills(cluster, "run", "--policy", "nightly").code == UnknownSnapshot.exit_code
        until(lambda: shown()["alarm"], 20, "the alarm", every_s=0.2)
        assert "no snapshot" in json.dumps(shown()["drill"])
        aside.rename(manifest)
        assert drills(cluster, "run", "--policy", "nightly").code == 0
        until(lambda: not shown()["alarm"], 20, "the end of the alarm", every_s=0.2)
    finally:
        policies(cluster, "delete", "nightly")


def test_a_coordinator_that_is_killed_in_a_drill_leaves_nothing(cluster: Cluster) -> None:
    snapshot_id = backup(cluster)
    drill_id = in_restore(cluster, snapshot_id)
    assert left_on_disk(cluster)
    assert processes_of(cluster.directory / "drills")
    cluster.coordinator.kill()
    # Before anybody has cleaned up: the system ends it.
    until(lambda: not processes_of(cluster.directory / "drills"), 10, "the node has gone with its coordinator")
    assert left_on_disk(cluster), "the drill had ended before: the test shows nothing"
    cluster.coordinator.start()
    until(lambda: not left_on_disk(cluster), 60, "the directory is removed")
    until(lambda: outcome_of(cluster, drill_id) == "interrupted", 60, "the drill is called interrupted", every_s=0.5)
    assert verified_ms(cluster, snapshot_id) == 0
    answer = drills(cluster, "run", snapshot_id)
    assert answer.code == 0, answer.error
    assert verified_ms(cluster, snapshot_id)


def test_a_coordinator_that_is_stopped_in_a_drill_cleans_up_itself(cluster: Cluster) -> None:
    drill_id = in_restore(cluster)
    assert cluster.coordinator.stop() == 0
    assert left_on_disk(cluster) == []
    assert processes_of(cluster.directory / "drills") == []
    cluster.coordinator.start()
    until(lambda: outcome_of(cluster, drill_id) == "interrupted", 60, "the drill is called interrupted", every_s=0.5)
