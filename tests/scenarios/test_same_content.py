"""P1, P6, P7: what a snapshot holds, wherever it comes from, and what the next one costs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from quiesce.errors import DamagedObject
from quiesce.records import create, update
from quiesce.repository import open_repository
from quiesce.v1.backup_pb2 import SnapshotSummary
from tests.scenarios.cli import quiesce
from tests.scenarios.cluster import Cluster
from tests.scenarios.daemon import until
from tests.scenarios.people import DATABASE, contents, make_database, person

PAGE_POSITIONS = 1024


def backup(cluster: Cluster, node_id: int = 0, repository: Path | None = None) -> SnapshotSummary:
    path = "" if repository is None else str(repository)
    with cluster.backups(timeout_s=60) as backups:
        job = [progress.job for progress in backups.create(node_id=node_id, repository=path)][-1]
        return backups.show(job.snapshot_id, repository=path).summary


def test_two_replicas_give_the_same_pages_and_content_id(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster, cluster.client() as client:
        make_database(client, 5000)
        one, other = cluster.followers()
        first, second = backup(cluster, one), backup(cluster, other, tmp_path / "elsewhere")
        assert (first.node_id, second.node_id) == (one, other)
        assert first.content_id == second.content_id
        assert second.pages_uploaded == second.pages, "the second repository was empty: all of it was written anew"
        tables = []
        for path, summary in ((cluster.repository, first), (tmp_path / "elsewhere", second)):
            repository = open_repository(str(path))
            table = repository.read_table(repository.read_manifest(summary.id))
            tables.append(
                [(row.database, row.cluster, row.page, row.segment, row.digest, row.records) for row in table.rows]
            )
        assert tables[0] == tables[1]
        assert len(tables[0]) >= 5000 // PAGE_POSITIONS
        again = backup(cluster, other)
        assert again.content_id == first.content_id
        assert again.pages_uploaded == 0, "the repository had all of it, from the other replica"


def test_the_next_snapshot_uploads_the_changed_pages_only(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster, cluster.client() as client:
        people = make_database(client, 10 * PAGE_POSITIONS)
        backup(cluster)
        # One record in a hundred, all of them in the first, third and last page.
        changed = [*people[:40], *people[2 * PAGE_POSITIONS : 2 * PAGE_POSITIONS + 40], *people[-22:]]
        client.write(DATABASE, [update(rid, {"@class": "Person", **person(rid.position, seen=1)}) for rid in changed])
        second = backup(cluster)
        assert second.pages_uploaded == 3
        assert second.pages >= 10
        client.write(DATABASE, [create(person(999_999), class_name="Person")])
        third = backup(cluster)
        # A new page, and the database's own, which knows the next position.
        assert third.pages_uploaded == 2


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_restored_cluster_holds_the_mark_and_a_damaged_snapshot_does_not_restore(tmp_path: Path, nodes: int) -> None:
    with Cluster(tmp_path / "old") as cluster, cluster.client() as client:
        make_database(client, 3000)
        at_mark = contents(client)
        summary = backup(cluster)
        client.write(DATABASE, [create(person(999_999), class_name="Person")])
    with Cluster(tmp_path / "new", size=nodes, await_restore=True) as restored:
        restored.coordinator.stop()
        restored.coordinator.arguments[-1] = str(cluster.repository)
        restored.coordinator.start()
        coordinator = ("--coordinator", restored.coordinator_address)
        until(lambda: quiesce("snapshots", *coordinator).code == 0, 10, "a coordinator that answers")
        members = [word for node, address in restored.members.items() for word in ("--member", f"{node}={address}")]
        answer = quiesce("restore", summary.id, *coordinator, *members)
        assert answer.code == 0, answer.error
        restored.wait_until_serving()
        with restored.client() as client:
            assert contents(client) == at_mark
            written = client.write(DATABASE, [create(person(1_000_000), class_name="Person")])
            assert written.index > summary.mark.index + 1_000_000_000
            assert client.cluster_id != summary.cluster_id
    if nodes == 1:
        check_damage(tmp_path, cluster.repository, summary.id)


def check_damage(tmp_path: Path, repository: Path, snapshot_id: str) -> None:
    """Flip one byte in each object in turn."""
    objects = sorted(path for path in repository.rglob("*") if path.is_file())
    assert len(objects) >= 4, "a format file, a manifest, a table and a pack at least"
    for path in objects:
        copy = tmp_path / "damaged"
        shutil.copytree(repository, copy)
        damaged = copy / path.relative_to(repository)
        content = bytearray(damaged.read_bytes())
        content[len(content) // 2] ^= 0x01
        damaged.chmod(0o644)
        damaged.write_bytes(content)
        target = tmp_path / "target"
        answer = quiesce("restore", snapshot_id, "--repository", str(copy), "--data", str(target), "--nodes", "1")
        assert answer.code == DamagedObject.exit_code, f"{path}: {answer.code} {answer.error}"
        assert path.name in answer.error
        assert not target.exists() or not any(target.iterdir())
        shutil.rmtree(copy)
