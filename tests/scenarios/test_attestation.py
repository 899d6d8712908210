"""P5: what every replica held at the mark is in the manifest; one that has silently diverged is named, and refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.store.current import directory_in_use
from nodes.store.engine import RECORDS, Engine
from nodes.store.files import Files
from nodes.store.keys import RECORD
from quiesce import RID
from quiesce.errors import LeaseLost, NoCheckpoint, NodesDiverged, NotServing, ReplicaDiverged, Unavailable
from quiesce.records import update
from quiesce.repository import open_repository
from quiesce.v1 import attest_pb2, node_pb2
from tests.scenarios.cli import Answer, quiesce
from tests.scenarios.cluster import Cluster
from tests.scenarios.daemon import until
from tests.scenarios.metrics import value
from tests.scenarios.people import DATABASE, contents, make_database, person

PEOPLE = 3_000


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, metrics=True) as running:
        yield running


def shown_as_diverged(cluster: Cluster, node: int) -> float:
    return value(cluster.metrics[cluster.coordinator_address], "node_diverged", str(node))


def health(cluster: Cluster) -> int:
    return quiesce("health", cluster.coordinator_address, "--service", "quiesce.attestation").code


def asked(cluster: Cluster, *arguments: str) -> Answer:
    """Ask the coordinator; a machine that is busy with other things may not make a connection in time."""
    for _ in range(5):
        answer = quiesce(*arguments, "--coordinator", cluster.coordinator_address)
        if answer.code != Unavailable.exit_code or answer.output:
            break
    return answer


def backup(cluster: Cluster, *options: str) -> tuple[Answer, dict[str, object]]:
    answer = asked(cluster, "--output", "json", "backup", *options)
    lines = [json.loads(line) for line in answer.output.splitlines()]
    return answer, lines[-1] if lines else {}


def flip_silently(cluster: Cluster, node: int, database_id: int, rid: RID) -> None:
    """Change one byte of a record in the store of a node, as RocksDB would write it: every checksum is right."""
    cluster.nodes[node].stop()
    directory = directory_in_use(cluster.data(node) / "store", Files())
    assert directory is not None
    engine = Engine(directory)
    key = RECORD.pack(database_id, rid.cluster, rid.position)
    value = engine.get(RECORDS, key)
    assert value is not None
    # The capital of its name.
    at = value.rindex(b"erson") - 1
    batch = engine.new_batch()
    engine.target(batch, RECORDS)
    batch.put(key, value[:at] + bytes([value[at] ^ 0x01]) + value[at + 1 :])
    engine.write(batch)
    engine.sync()
    engine.close()
    cluster.nodes[node].start()
    cluster.wait_until_serving()


def touch(cluster: Cluster, rid: RID, seen: int) -> None:
    """Change another record of the same page, so that the next backup reads it."""
    with cluster.client() as client:
        client.write(DATABASE, [update(rid, {"@class": "Person", **person(rid.position, seen=seen)})])


def test_a_silently_diverged_replica_is_named_and_its_snapshot_refused(cluster: Cluster, tmp_path: Path) -> None:
    with cluster.client() as client:
        people = make_database(client, PEOPLE)
        database_id = client.database(DATABASE).id
    answer, first = backup(cluster)
    assert answer.code == 0, answer.error
    repository = open_repository(str(cluster.repository))
    manifest = repository.read_manifest(str(first["snapshot_id"]))
    assert manifest.attestations == dict.fromkeys(map(str, cluster.members), manifest.content_id)
    shown = quiesce("snapshots", "show", "latest", "--repository", str(cluster.repository))
    assert "Attested by: node 1, 2, 3" in shown.output

    # The one that the next backup would choose, because the first did not.
    chosen = next(node for node in cluster.followers() if node != first["node_id"])
    flip_silently(cluster, chosen, database_id, people[7])
    touch(cluster, people[8], 1)
    preview = asked(cluster, "--output", "json", "backup", "--dry-run")
    assert json.loads(preview.output)["node_id"] == chosen
    answer, second = backup(cluster)
    assert answer.code == NodesDiverged.exit_code, answer.error
    assert f"node {chosen} did not hold" in answer.error
    assert second["diverged_nodes"] == [chosen]
    assert second["node_id"] not in (0, chosen)
    assert any("Its snapshot is refused" in event["text"] for event in second["events"])  # type: ignore[attr-defined]
    manifest = repository.read_manifest(str(second["snapshot_id"]))
    assert manifest.attestations is not None
    differing = [node for node, held in manifest.attestations.items() if held != manifest.content_id]
    assert differing == [str(chosen)]
    assert len(manifest.attestations) == 3

    # Known to have diverged, it is not chosen any more; nobody has written to the page, and it is named again.
    with cluster.client() as client:
        # Any node may answer, also the one that has diverged and does not know it.
        right = {rid: (v, body.replace(b"Qerson", b"Person")) for rid, (v, body) in contents(client).items()}
    answer, third = backup(cluster)
    assert answer.code == NodesDiverged.exit_code
    assert third["diverged_nodes"] == [chosen]
    assert not any("refused" in event["text"] for event in third["events"])  # type: ignore[attr-defined]
    listed = asked(cluster, "jobs", "list")
    assert f"diverged: node {chosen}" in listed.output
    until(lambda: shown_as_diverged(cluster, chosen) == 1, 30, "the metric that names it")
    until(lambda: health(cluster) == NotServing.exit_code, 30, "the health that says so")

    # Where nobody else may be taken, there is no snapshot.
    touch(cluster, people[8], 3)
    before = len(repository.list_snapshots())
    answer, _ = backup(cluster, "--node", str(chosen))
    assert answer.code == ReplicaDiverged.exit_code, answer.error
    assert f"Node {chosen} did not hold" in answer.error
    assert len(repository.list_snapshots()) == before

    # The byte is as it was: the node attests the same as the others, and all is well.
    flip_silently(cluster, chosen, database_id, people[7])
    touch(cluster, people[8], 4)
    answer, _ = backup(cluster)
    assert answer.code == 0, answer.error
    until(lambda: shown_as_diverged(cluster, chosen) == 0, 30, "the metric that clears it")
    until(lambda: health(cluster) == 0, 30, "the health that says so")

    cluster.stop()
    target = tmp_path / "restored"
    options = ("--repository", str(cluster.repository), "--data", str(target), "--nodes", "1")
    answer = quiesce("restore", str(third["snapshot_id"]), *options)
    assert answer.code == 0, answer.error
    restored = directory_in_use(next(target.rglob("store")), Files())
    assert restored is not None
    engine = Engine(restored, read_only=True)
    held = {RECORD.unpack(key)[1:]: value for key, value in engine.scan(RECORDS, b"", b"\xff" * 32)}
    assert len(held) == len(right)
    for rid, (_, body) in right.items():
        assert held[rid.cluster, rid.position].endswith(body)


def test_every_voter_keeps_its_checkpoint_as_long_as_the_lease(cluster: Cluster) -> None:
    with cluster.client() as client:
        make_database(client, 200)
        open_repository(str(cluster.repository), create=True)
        admin, out = client.admin, cluster.followers()[0]
        lease = admin.drain(out, "test", "a test", 60_000)

        def epochs() -> list[list[int] | None]:
            found = [cluster.status(node, client) for node in cluster.members]
            return [None if status is None else list(status.checkpoints) for status in found]

        for node in cluster.members:
            admin.prepare_mark(node)
        admin.checkpoint(lease.epoch, attest=True)
        until(lambda: epochs() == [[lease.epoch]] * 3, 10, "a checkpoint on every node")
        request = attest_pb2.AttestRequest(epoch=lease.epoch, repository=str(cluster.repository))
        held = {node: list(admin.attest(node, request))[-1].content_id for node in cluster.members}
        assert len(set(held.values())) == 1
        assert len(held[out]) == 64

        admin.drop_checkpoint(out, lease.epoch)
        with pytest.raises(NoCheckpoint):
            list(admin.attest(out, request))
        cluster.nodes[out].kill()
        cluster.nodes[out].start()

        # It would take hours: the end of the lease ends it.
        leader = cluster.leader()
        slow = attest_pb2.AttestRequest(epoch=lease.epoch, repository=str(cluster.repository), rate_limit=10)
        answers = admin.attest(leader, slow)
        next(answers)
        admin.undrain(lease.epoch)
        with pytest.raises(LeaseLost):
            list(answers)
        until(lambda: epochs() == [[]] * 3, 20, "no checkpoint any more")
        mark = node_pb2.Mark()
        with pytest.raises(LeaseLost):
            mark = admin.checkpoint(lease.epoch, attest=True)
        assert not mark.index
