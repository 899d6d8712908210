from __future__ import annotations

from pathlib import Path

import pytest
from snapshot_fakes import MemoryStore, take, world
from test_repository_repository import changed_bytes

from nodes.restore.load import SnapshotLoad
from nodes.restore.proof import content_id_of
from quiesce.errors import DamagedObject
from quiesce.repository import open_repository, verify_snapshot
from quiesce.v1.node_pb2 import RestoreProgress


def loaded(root: Path, progress: list[RestoreProgress] | None = None) -> MemoryStore:
    repository = open_repository(root)
    store = MemoryStore()

    def tell(report: RestoreProgress) -> None:
        if progress is not None:
            kept = RestoreProgress()
            kept.CopyFrom(report)
            progress.append(kept)

    SnapshotLoad(repository, repository.find("latest"), tell).run(store)
    return store


def test_every_record_is_there(tmp_path: Path) -> None:
    store = world()
    store.put(1, 3, 5000, b"\x00\xff" * 10, version=2**32 - 1)
    manifest, _ = take(store, tmp_path, "s1")
    progress: list[RestoreProgress] = []
    restored = loaded(tmp_path, progress)
    names = {database.name: database.id for database in restored.databases()}
    original = {database.name: database.id for database in store.databases()}
    for name in ("world", "atlas"):
        there = {key[1:]: value for key, value in restored.records.items() if key[0] == names[name]}
        here = {key[1:]: value for key, value in store.records.items() if key[0] == original[name]}
        assert there == here
    assert content_id_of(restored) == manifest.content_id
    assert progress[-1].pages_done == progress[-1].pages_total == manifest.table.rows
    assert progress[-1].records == len(store.records)


def test_from_many_increments_in_many_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quiesce.snapshot.pack.PACK_BYTES", 500)
    store = world()
    for number in range(12):
        take(store, tmp_path, f"s{number}")
        for page in range(number % 4, 4, 2):
            store.put(1 + number % 2, 3, page * 1024 + 500 + number, b"more" * number)
    manifest, _ = take(store, tmp_path, "s99")
    assert len(manifest.packs) > 6
    restored = loaded(tmp_path)
    assert content_id_of(restored) == manifest.content_id
    assert len(restored.records) == len(store.records)
    assert verify_snapshot(open_repository(tmp_path), "s99").records == len(store.records)


def test_any_one_byte_changed_in_the_repository_is_found_and_named(tmp_path: Path) -> None:
    take(world(pages=1, per_page=3), tmp_path, "s1")
    assert changed_bytes(tmp_path, loaded) > 2000


def test_a_loader_that_does_not_take_everything_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take(world(), tmp_path, "s1")
    monkeypatch.setattr(MemoryStore, "load_records", lambda self, database_id, cluster, records: next(iter(records)))
    with pytest.raises(AssertionError, match="the loader took"):
        loaded(tmp_path)


def test_no_snapshot_is_half_believed(tmp_path: Path) -> None:
    manifest, _ = take(world(), tmp_path, "s1")
    pack = tmp_path / "packs" / manifest.packs[0].digest[:2] / f"{manifest.packs[0].digest}.pack"
    pack.unlink()
    with pytest.raises(DamagedObject, match="it is missing"):
        loaded(tmp_path)
