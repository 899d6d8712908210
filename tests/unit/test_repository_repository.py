from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from snapshot_fakes import take, world

from quiesce.errors import DamagedObject, LeaseLost, QuiesceError, RepositoryUnusable, SnapshotExists, UnknownSnapshot
from quiesce.repository import SegmentReader, VerifyStep, open_repository, verify_snapshot
from quiesce.snapshot import digest
from quiesce.snapshot.sealed import seal


def test_a_repository_is_made_once(tmp_path: Path) -> None:
    made = open_repository(tmp_path / "r", create=True)
    again = open_repository(tmp_path / "r", create=True)
    assert again.id == made.id == open_repository(tmp_path / "r").id
    assert again.list_snapshots() == []


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(RepositoryUnusable, match="no such directory"):
        open_repository(tmp_path / "nothing")
    with pytest.raises(RepositoryUnusable, match="no repository there"):
        open_repository(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_of_other_things_does_not_become_one(tmp_path: Path) -> None:
    (tmp_path / "thesis.odt").write_text("x")
    with pytest.raises(RepositoryUnusable, match="holds other files"):
        open_repository(tmp_path, create=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.odt"]


def test_a_new_file_system_does(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    assert open_repository(tmp_path, create=True).list_snapshots() == []


@pytest.mark.parametrize("document", [{"format": "quiesce-repository", "version": 2}, {"format": "x", "version": 1}])
def test_a_format_that_is_not_known(tmp_path: Path, document: dict[str, object]) -> None:
    (tmp_path / "format.json").write_bytes(seal(document))
    with pytest.raises(RepositoryUnusable, match="this software knows"):
        open_repository(tmp_path, create=True)


def test_a_manifest_is_published_once(tmp_path: Path) -> None:
    store = world(pages=1)
    repository = open_repository(tmp_path, create=True)
    manifest, _ = take(store, repository, "s1", publish=False)
    assert repository.list_snapshots() == []
    repository.publish_manifest(manifest)
    repository.publish_manifest(manifest)
    with pytest.raises(SnapshotExists):
        repository.publish_manifest(msgspec.structs.replace(manifest, node_id=3))
    assert repository.read_manifest("s1") == manifest


def test_a_snapshot_is_published_or_withdrawn_and_never_both(tmp_path: Path) -> None:
    store = world(pages=1)
    repository = open_repository(tmp_path, create=True)
    late, _ = take(store, repository, "s1", publish=False)
    assert repository.withdraw("s1", "another went on")
    assert repository.withdraw("s1", "said twice")
    with pytest.raises(LeaseLost):
        repository.publish_manifest(late)
    with pytest.raises(UnknownSnapshot):
        repository.read_manifest("s1")
    assert repository.list_snapshots() == []
    other, _ = take(store, repository, "s2", publish=False)
    repository.publish_manifest(other)
    assert not repository.withdraw("s2", "too late")
    assert repository.list_snapshots() == [other]


def test_finding_snapshots(tmp_path: Path) -> None:
    store = world(pages=1)
    first, _ = take(store, tmp_path, "zzz")
    store.put(1, 3, 0, b"new")
    second, _ = take(store, tmp_path, "aaa")
    repository = open_repository(tmp_path)
    assert repository.list_snapshots() == [first, second]
    assert repository.find("zzz") == first
    assert repository.find("latest") == second
    for unknown in ("bbb", "../zzz", "", "snapshots/zzz"):
        with pytest.raises(UnknownSnapshot):
            repository.find(unknown)


def test_no_latest(tmp_path: Path) -> None:
    with pytest.raises(UnknownSnapshot):
        open_repository(tmp_path, create=True).find("latest")


def test_a_damaged_manifest_hides_no_other(tmp_path: Path) -> None:
    store = world(pages=1)
    first, _ = take(store, tmp_path, "s1")
    take(store, tmp_path, "s2")
    path = tmp_path / "snapshots" / "s2.manifest"
    path.write_bytes(path.read_bytes()[:-2])
    repository = open_repository(tmp_path)
    with pytest.raises(DamagedObject, match=r"snapshots/s2\.manifest"):
        repository.list_snapshots()
    damages: list[DamagedObject] = []
    assert repository.list_snapshots(damages.append) == [first]
    assert [damage.fields["object"] for damage in damages] == ["snapshots/s2.manifest"]


def test_a_manifest_under_another_name_is_not_believed(tmp_path: Path) -> None:
    take(world(pages=1), tmp_path, "s1")
    (tmp_path / "snapshots" / "s1.manifest").rename(tmp_path / "snapshots" / "s2.manifest")
    with pytest.raises(DamagedObject, match="it is the manifest of snapshot s1"):
        open_repository(tmp_path).read_manifest("s2")


def test_verify_reads_everything_and_says_how_far_it_is(tmp_path: Path) -> None:
    store = world()
    manifest, _ = take(store, tmp_path, "s1")
    steps: list[VerifyStep] = []
    report = verify_snapshot(open_repository(tmp_path), "latest", steps.append)
    assert report.manifest == manifest
    assert report.records == len(store.records) == 320
    assert report.segments == 2 * (1 + 2 * 4)
    assert report.bytes_read >= sum(pack.size for pack in manifest.packs)
    assert [step.pages_done for step in steps] == list(range(1, steps[-1].pages_total + 1))


def objects(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def verified(root: Path) -> None:
    verify_snapshot(open_repository(root), "s1")


def changed_bytes(root: Path, check: Callable[[Path], None], every: int = 1) -> int:
    """Change one byte at a time of every object, and see that it is found and named."""
    count = 0
    for path in objects(root):
        data = path.read_bytes()
        for place in range(0, len(data), every):
            with path.open("r+b") as file:
                os.pwrite(file.fileno(), bytes([data[place] ^ (1 << place % 8)]), place)
            with pytest.raises(DamagedObject) as caught:
                check(root)
            assert caught.value.fields["object"] == str(path.relative_to(root)), place
            count += 1
            with path.open("r+b") as file:
                os.pwrite(file.fileno(), data[place : place + 1], place)
    check(root)
    return count


def test_any_one_byte_changed_in_the_repository_is_found_and_named(tmp_path: Path) -> None:
    take(world(pages=1, per_page=3), tmp_path, "s1")
    assert changed_bytes(tmp_path, verified) > 2000


def test_an_object_that_is_missing_or_cut_is_named(tmp_path: Path) -> None:
    take(world(pages=1), tmp_path, "s1")
    for path in objects(tmp_path):
        data = path.read_bytes()
        for wrong in (data[:-1], b"", data + b"x", None):
            path.unlink()
            if wrong is not None:
                path.write_bytes(wrong)
            with pytest.raises(QuiesceError) as caught:
                verified(tmp_path)
            named = caught.value.fields.get("object") or caught.value.fields.get("snapshot_id") or "format.json"
            assert named in str(path)
            path.write_bytes(data)
    verified(tmp_path)


def test_a_table_that_does_not_make_the_content_id(tmp_path: Path) -> None:
    repository = open_repository(tmp_path, create=True)
    manifest, _ = take(world(pages=1), repository, "s1", publish=False)
    for field, value in (("content_id", "00" * 32), ("packs", []), ("databases", manifest.databases[:1])):
        wrong = msgspec.structs.replace(manifest, snapshot_id=field, **{field: value})
        repository.publish_manifest(wrong)
        with pytest.raises(DamagedObject, match=manifest.table.digest):
            verify_snapshot(repository, field)


def test_a_segment_is_checked_against_its_own_digest_too(tmp_path: Path) -> None:
    repository = open_repository(tmp_path, create=True)
    manifest, _ = take(world(pages=1), repository, "s1")
    table = repository.read_table(manifest)
    reader = SegmentReader(repository, manifest, table)
    assert digest(reader.read(table.rows[1])) == table.rows[1].digest
    with pytest.raises(DamagedObject, match="does not fit its digest"):
        reader.read(msgspec.structs.replace(table.rows[1], digest=table.rows[2].digest))
