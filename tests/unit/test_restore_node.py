"""Restores into real stores."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from snapshot_fakes import MemoryStore, take, world

from nodes.data_directory import DataDirectory
from nodes.identity import read_identity
from nodes.restore import node as node_module
from nodes.restore import restore_cluster, restore_into
from nodes.restore_command import restore
from nodes.store import Store
from quiesce.cli.main import run
from quiesce.cli.output import Output
from quiesce.cli.up.layout import new_layout, read_layout
from quiesce.errors import (
    DamagedObject,
    DamagedStore,
    DirectoryInUse,
    DirectoryNotEmpty,
    DiskFailed,
    UnknownSnapshot,
)
from quiesce.repository import Repository, open_repository
from quiesce.v1.node_pb2 import RestoreProgress

MEMBERS = {1: "127.0.0.1:7101", 2: "127.0.0.1:7102"}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    opened = open_repository(tmp_path / "repository", create=True)
    take(world(), opened, "s1")
    return opened


def contents(data: Path) -> dict[tuple[str, int, int], tuple[int, int, bytes]]:
    store = Store(data / "store")
    found = {}
    with store.view() as view:
        for database in view.databases():
            for cluster in database.clusters:
                for batch in view.scan_cluster(database.name, cluster.id):
                    for record in batch:
                        key = (database.name, record.cluster, record.position)
                        found[key] = (record.version, int(record.kind), record.body)
    store.close()
    return found


def expected(store: MemoryStore) -> dict[tuple[str, int, int], tuple[int, int, bytes]]:
    names = {database.id: database.name for database in store.databases()}
    return {(names[key[0]], *key[1:]): value for key, value in store.records.items()}


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def test_a_node_of_a_new_cluster_with_the_old_records(repository: Repository, tmp_path: Path) -> None:
    manifest = repository.find("s1")
    progress: list[bool] = []
    report = restore_into(
        tmp_path / "n1", repository, "latest", 1, "new", MEMBERS, lambda told: progress.append(told.done)
    )
    assert contents(tmp_path / "n1") == expected(world())
    assert report.manifest == manifest
    assert (report.index, report.term) == (manifest.mark.index + 1_000_000_000, manifest.mark.term + 1)
    with_view = Store(tmp_path / "n1" / "store")
    with with_view.view() as view:
        assert view.applied == (report.index, report.term)
    with_view.close()
    identity = read_identity(tmp_path / "n1")
    assert identity is not None
    assert (identity.node_id, identity.cluster_id, dict(identity.members)) == (1, "new", MEMBERS)
    assert progress[-1]
    assert not any(progress[:-1])
    assert names(tmp_path / "n1") == ["identity.json", "raft", "store"]


def test_a_directory_that_holds_something_is_left_alone(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "n1").mkdir()
    (tmp_path / "n1" / "thesis.odt").touch()
    with pytest.raises(DirectoryNotEmpty):
        restore_into(tmp_path / "n1", repository, "s1", 1, "new", MEMBERS)
    restore_into(tmp_path / "n2", repository, "s1", 2, "new", MEMBERS)
    before = contents(tmp_path / "n2")
    with pytest.raises(DirectoryNotEmpty):
        restore_into(tmp_path / "n2", repository, "s1", 2, "newer", MEMBERS)
    assert contents(tmp_path / "n2") == before
    assert names(tmp_path / "n1") == ["thesis.odt"]


def test_no_such_snapshot_makes_no_directory(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(UnknownSnapshot):
        restore_into(tmp_path / "n1", repository, "s9", 1, "new", MEMBERS)
    assert not (tmp_path / "n1").exists()


def damage(repository: Repository) -> tuple[Path, bytes]:
    (pack,) = (Path(repository.location) / "packs").rglob("*.pack")
    data = pack.read_bytes()
    pack.write_bytes(data[:300] + bytes([data[300] ^ 1]) + data[301:])
    return pack, data


def test_damage_leaves_nothing_and_a_second_try_in_the_same_process_works(
    repository: Repository, tmp_path: Path
) -> None:
    pack, data = damage(repository)
    with pytest.raises(DamagedObject, match=pack.name) as caught:
        restore_into(tmp_path / "n1", repository, "s1", 1, "new", MEMBERS)
    assert names(tmp_path / "n1") == []
    pack.write_bytes(data)
    restore_into(tmp_path / "n1", repository, "s1", 1, "new", MEMBERS)
    assert contents(tmp_path / "n1") == expected(world())
    assert caught.value.exit_code == 45


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", ["StoreLoader", "content_id_of", "initialise_log", "write_identity"])
def test_a_crash_at_any_step_leaves_no_node_and_the_next_restore_begins_anew(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def kill(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(node_module, step, kill)
        # A process that is killed cleans nothing up.
        begin = DataDirectory.begin
        calls = []

        def begin_once(self: DataDirectory) -> None:
            calls.append(self)
            if len(calls) > 1:
                raise Killed
            begin(self)

        patch.setattr(DataDirectory, "begin", begin_once)
        with pytest.raises(Killed):
            restore_into(tmp_path / "n1", repository, "s1", 1, "new", MEMBERS)
    assert read_identity(tmp_path / "n1") is None
    assert names(tmp_path / "n1") != []
    restore_into(tmp_path / "n1", repository, "s1", 1, "new", MEMBERS)
    assert contents(tmp_path / "n1") == expected(world())
    assert names(tmp_path / "n1") == ["identity.json", "raft", "store"]


def test_a_store_that_does_not_read_back_as_the_snapshot_is_refused(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = node_module.StoreLoader.load_records

    def forgetful(self: object, database_id: int, cluster: int, records: object) -> int:
        return real(self, database_id, cluster, list(records)[:-1])  # type: ignore[arg-type, call-overload, no-any-return]

    monkeypatch.setattr(node_module.StoreLoader, "load_records", forgetful)
    with pytest.raises(DamagedStore, match="content id"):
        restore_into(tmp_path / "n1", repository, "s1", 1, "new", MEMBERS)
    assert names(tmp_path / "n1") == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mounted = tmp_path / "small"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(mounted)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("needs root, and the right to mount a small tmpfs")
    yield mounted
    subprocess.run(["umount", "--lazy", str(mounted)], check=True)


def test_a_node_whose_disk_is_full(tmp_path: Path, small_disk: Path) -> None:
    store = world()
    for position in range(700, 900):
        store.put(1, 3, position, os.urandom(8_000))
    take(store, tmp_path / "repository", "s1")
    with pytest.raises(DiskFailed, match="No space left"):
        restore_into(small_disk, tmp_path / "repository", "s1", 1, "new", MEMBERS)
    assert names(small_disk) == []


def test_a_data_directory_that_cannot_be_made(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskFailed, match="Not a directory"):
        restore_into(tmp_path / "file" / "n1", repository, "s1", 1, "new", MEMBERS)


def test_a_whole_cluster(repository: Repository, tmp_path: Path) -> None:
    directory = tmp_path / "new"
    layout = new_layout(directory, host="127.0.0.1", first_port=7200, nodes=3, repository="")
    report = restore_cluster(directory, repository, "s1", layout)
    assert names(directory) == ["cluster.json", "node-1", "node-2", "node-3", "up.lock"]
    assert read_layout(directory) == layout
    for node_id in (1, 2, 3):
        data = directory / f"node-{node_id}"
        identity = read_identity(data)
        assert identity is not None
        assert (identity.node_id, identity.cluster_id, dict(identity.members)) == (
            node_id, layout.cluster_id, dict(layout.members),
        )  # fmt: skip
        assert contents(data) == expected(world())
        assert names(data) == ["identity.json", "raft", "store"]
    assert report.records == len(world().records)
    files = list((directory / "node-1" / "store").rglob("*.sst"))
    assert files
    assert all(path.stat().st_nlink == 1 for path in files)


def test_a_cluster_that_cannot_be_restored_leaves_nothing(repository: Repository, tmp_path: Path) -> None:
    damage(repository)
    directory = tmp_path / "new"
    layout = new_layout(directory, host="127.0.0.1", first_port=7200, nodes=3, repository="")
    with pytest.raises(DamagedObject):
        restore_cluster(directory, repository, "s1", layout)
    assert not directory.exists()
    directory.mkdir()
    with pytest.raises(DamagedObject):
        restore_cluster(directory, repository, "s1", layout)
    assert names(directory) == ["up.lock"]


def test_a_cluster_is_not_restored_over_another_or_beside_a_second_restore(
    repository: Repository, tmp_path: Path
) -> None:
    directory = tmp_path / "new"
    layout = new_layout(directory, host="127.0.0.1", first_port=7200, nodes=1, repository="")

    def again(_: RestoreProgress) -> None:
        with pytest.raises(DirectoryInUse):
            restore_cluster(directory, repository, "s1", layout)

    restore_cluster(directory, repository, "s1", layout, again)
    # As after a crash between the cluster file and the removal of the marker.
    (directory / "restore.unfinished").touch()
    with pytest.raises(DirectoryNotEmpty):
        restore_cluster(directory, repository, "s1", layout)
    assert contents(directory / "node-1") == expected(world())


def test_a_restore_of_a_cluster_that_was_killed_is_begun_anew(repository: Repository, tmp_path: Path) -> None:
    directory = tmp_path / "new"
    (directory / "node-7" / "store").mkdir(parents=True)
    (directory / "restore.unfinished").touch()
    layout = new_layout(directory, host="127.0.0.1", first_port=7200, nodes=1, repository="")
    restore_cluster(directory, repository, "s1", layout)
    assert names(directory) == ["cluster.json", "node-1", "up.lock"]


def test_the_command(repository: Repository, tmp_path: Path) -> None:
    directory = tmp_path / "new"
    arguments = ["latest", "--repository", repository.location, "--data", str(directory), "--nodes", "2"]
    done = CliRunner().invoke(restore, arguments, obj=Output(json=True), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["snapshot_id"], result["records"]) == ("s1", len(world().records))
    assert result["members"] == {"1": "127.0.0.1:7101", "2": "127.0.0.1:7102"}
    assert contents(directory / "node-2") == expected(world())


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["s9", "--repository", "{r}", "--data", "{d}"], 44),
        (["s1", "--repository", "/nonexistent", "--data", "{d}"], 46),
        (["s1", "--repository", "{r}", "--data", "{r}"], 76),
        (["s1", "--data", "{d}"], 2),
        (["s1", "--repository", "{r}"], 2),
        (["s1", "--repository", "{r}", "--data", "{d}", "--member", "1=a:1"], 2),
        (["s1", "--member", "1=a:1"], 2),
        (["s1", "--coordinator", "127.0.0.1:1", "--member", "1=a"], 2),
        (["s1", "--coordinator", "127.0.0.1:1", "--member", "1=127.0.0.1:2"], 10),
    ],
)
def test_what_the_command_refuses(repository: Repository, tmp_path: Path, arguments: list[str], code: int) -> None:
    given = [argument.format(r=repository.location, d=tmp_path / "new") for argument in arguments]
    assert run(["restore", *given]) == code
    assert not (tmp_path / "new").exists()
