from __future__ import annotations

from pathlib import Path

import pytest
from snapshot_fakes import MemoryStore, take, world

from nodes.rate_limit import RateLimit
from nodes.worker import snapshot as snapshot_module
from nodes.worker.base import find_known
from nodes.worker.progress import Counts
from nodes.worker.snapshot import SnapshotMaker, SnapshotRequest
from quiesce.errors import DamagedObject, DamagedStore, RepositoryFull, UnknownDatabase
from quiesce.repository import open_repository, verify_snapshot
from quiesce.snapshot import ManifestMark

_PAGES = 2 * 2 * 4


def packs(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "packs").rglob("*.pack"))


def test_the_first_snapshot_takes_everything(tmp_path: Path) -> None:
    store = world()
    manifest, counts = take(store, tmp_path, "s1")
    assert manifest.totals.records == len(store.records)
    assert (
        manifest.totals.pages == manifest.totals.pages_uploaded == counts.pages_done == counts.pages_total == _PAGES + 2
    )
    assert (manifest.totals.pages_reused, manifest.totals.pages_matched, manifest.base) == (0, 0, None)
    assert [(database.name, database.id) for database in manifest.databases] == [("atlas", 2), ("world", 1)]
    assert manifest.complete


def test_the_same_records_asked_from_another_replica_upload_nothing(tmp_path: Path) -> None:
    first, _ = take(world(), tmp_path, "s1")
    before = packs(tmp_path)
    other = world()
    second, counts = take(other, tmp_path, "s2", node_id=3)
    assert second.content_id == first.content_id
    assert second.table == first.table
    assert second.totals.bytes_uploaded == second.totals.pages_uploaded == 0
    assert counts.pages_reused == _PAGES
    assert other.pages_read == []
    assert packs(tmp_path) == before


def test_two_repositories_get_byte_identical_tables_and_packs(tmp_path: Path) -> None:
    first, _ = take(world(), tmp_path / "a", "s1")
    second, _ = take(world(), tmp_path / "b", "s1", node_id=3)
    assert second.table == first.table
    assert second.packs == first.packs
    assert packs(tmp_path / "a") == packs(tmp_path / "b")


def test_only_what_changed_is_read_and_uploaded(tmp_path: Path) -> None:
    store = world()
    take(store, tmp_path, "s1")
    store.pages_read.clear()
    store.put(1, 9, 2 * 1024 + 7, b"changed")
    store.put(2, 3, 9 * 1024, b"on a page that was not there")
    manifest, _ = take(store, tmp_path, "s2")
    assert store.pages_read == [(2, 3, 9), (1, 9, 2)]
    assert manifest.totals.pages_uploaded == 2
    assert manifest.totals.pages_reused == _PAGES - 1
    assert manifest.base == "s1"
    assert verify_snapshot(open_repository(tmp_path), "s2").records == len(store.records)


def test_an_increment_has_the_content_id_of_a_whole_snapshot(tmp_path: Path) -> None:
    store = world()
    take(store, tmp_path / "a", "s1")
    for position in range(0, 4096, 100):
        store.put(1, 3, position, None)
        store.put(2, 9, position + 1, b"x" * position)
    incremental, _ = take(store, tmp_path / "a", "s2")
    whole, _ = take(store, tmp_path / "b", "s2")
    assert incremental.content_id == whole.content_id
    assert incremental.totals.pages_reused > 0


def test_a_record_written_and_put_back_is_read_but_not_uploaded(tmp_path: Path) -> None:
    store = world()
    first, _ = take(store, tmp_path, "s1")
    old = store.records[1, 3, 7]
    store.put(1, 3, 7, b"other")
    store.put(1, 3, 7, old[2], version=old[0])
    second, counts = take(store, tmp_path, "s2")
    assert (counts.pages_matched, counts.pages_uploaded) == (1 + 2, 0)
    assert second.content_id == first.content_id
    assert second.totals.bytes_uploaded < 2000  # a table with the new stamp


def test_a_page_whose_records_are_all_deleted_leaves_the_snapshot(tmp_path: Path) -> None:
    store = world(pages=2)
    take(store, tmp_path, "s1")
    for database, cluster, position in list(store.records):
        if database == 1 and cluster == 3 and position >= 1024:
            store.put(database, cluster, position, None)
    second, _ = take(store, tmp_path, "s2")
    assert second.totals.pages == 2 + 8 - 1
    store.pages_read.clear()
    third, _ = take(store, tmp_path, "s3")
    assert third.content_id == second.content_id
    assert store.pages_read == []


def test_a_database_that_the_base_left_out_is_not_taken_for_empty(tmp_path: Path) -> None:
    store = world()
    take(store, tmp_path, "s1", databases=("world",))
    manifest, _ = take(store, tmp_path, "s2")
    assert manifest.totals.records == len(store.records)
    assert manifest.totals.pages_reused == _PAGES / 2
    assert not open_repository(tmp_path).read_manifest("s1").complete


def test_a_database_dropped_and_made_again_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    store = world()
    take(store, tmp_path, "s1")
    store.definitions[0].id = 9
    for key in [key for key in store.stamps if key[0] == 1]:
        store.stamps[9, key[1], key[2]] = store.stamps.pop(key)
    for key in [key for key in store.records if key[0] == 1]:
        del store.records[key]
    store.records[9, 3, 0] = (1, 1, b"the only one")
    manifest, _ = take(store, tmp_path, "s2")
    assert {database.name: database.records for database in manifest.databases} == {"atlas": 160, "world": 1}


def test_a_snapshot_of_a_later_mark_is_no_base(tmp_path: Path) -> None:
    early, late = world(), world()
    late.put(1, 3, 0, b"later")
    take(late, tmp_path, "s2")
    manifest, counts = take(early, tmp_path, "s1")
    assert counts.pages_reused == 0
    assert counts.pages_uploaded == 1
    assert manifest.content_id == take(world(), tmp_path / "other", "s1")[0].content_id


def test_after_a_restore_the_old_cluster_s_packs_are_used_but_not_its_stamps(tmp_path: Path) -> None:
    first, _ = take(world(), tmp_path, "s1")
    restored = world()
    restored.put(1, 3, 0, b"written in the new cluster")
    restored.stamps = dict.fromkeys(restored.stamps, 1)
    second, counts = take(restored, tmp_path, "s2", cluster_id="c2")
    assert counts.pages_reused == 0
    assert counts.pages_uploaded == 1
    assert second.content_id != first.content_id


def test_a_pack_that_is_gone_or_cut_short_is_made_anew(tmp_path: Path) -> None:
    store = world()
    take(store, tmp_path, "s1")
    (pack,) = (tmp_path / "packs").rglob("*.pack")
    pack.unlink()
    warnings: list[str] = []
    manifest, counts = take(store, tmp_path, "s2", warnings=warnings)
    assert counts.pages_uploaded == _PAGES + 2
    assert len(warnings) == 1
    assert verify_snapshot(open_repository(tmp_path), "s2").manifest == manifest
    with pack.open("r+b") as file:
        file.truncate(pack.stat().st_size - 1)
    with pytest.raises(DamagedObject, match=pack.name):
        take(store, tmp_path, "s3")


def test_a_pack_that_has_rotted_does_not_become_part_of_one_more_snapshot(tmp_path: Path) -> None:
    take(world(), tmp_path, "s1")
    (pack,) = (tmp_path / "packs").rglob("*.pack")
    data = bytearray(pack.read_bytes())
    data[100] ^= 1
    pack.write_bytes(data)
    (tmp_path / "snapshots" / "s1.manifest").unlink()
    with pytest.raises(DamagedObject, match=pack.name):
        take(world(), tmp_path, "s2")
    pack.unlink()
    take(world(), tmp_path, "s2")
    verify_snapshot(open_repository(tmp_path), "s2")


def test_a_damaged_base_is_told_and_the_one_before_it_is_used(tmp_path: Path) -> None:
    store = world()
    take(store, tmp_path, "s1")
    store.put(1, 3, 0, b"x")
    second, _ = take(store, tmp_path, "s2")
    table = next((tmp_path / "tables").rglob(f"{second.table.digest}.table"))
    table.write_bytes(b"garbage")
    warnings: list[str] = []
    store.put(1, 3, 1024, b"y")
    third, counts = take(store, tmp_path, "s3", warnings=warnings)
    assert third.base == "s1"
    assert (counts.pages_reused, counts.pages_uploaded) == (_PAGES - 2, 2)
    assert any(second.table.digest in warning for warning in warnings)
    assert verify_snapshot(open_repository(tmp_path), "s3").records == len(store.records)


def test_what_a_worker_that_died_has_uploaded_is_used_by_the_next(tmp_path: Path) -> None:
    first, _ = take(world(), tmp_path, "s1", publish=False)
    other = world()
    second, counts = take(other, tmp_path, "s2", node_id=3)
    assert counts.pages_uploaded == 0
    assert counts.pages_matched == _PAGES + 2
    assert second.content_id == first.content_id


@pytest.mark.parametrize("place", [6, 200, -100])
def test_a_stray_pack_that_is_damaged_is_not_used(tmp_path: Path, place: int) -> None:
    take(world(), tmp_path, "s1", publish=False)
    (pack,) = (tmp_path / "packs").rglob("*.pack")
    data = bytearray(pack.read_bytes())
    data[place] ^= 1
    pack.write_bytes(data)
    store = world()
    store.put(1, 3, 0, b"so that the new pack has another name")
    warnings: list[str] = []
    _, counts = take(store, tmp_path, "s2", warnings=warnings)
    assert counts.pages_matched == 0
    assert warnings
    verify_snapshot(open_repository(tmp_path), "s2")


def test_equal_pages_are_stored_once(tmp_path: Path) -> None:
    store = MemoryStore()
    store.add_database(world().definitions[0])
    for page in range(50):
        store.put(1, 3, page * 1024 + 5, b"the same" * 1000)
    manifest, counts = take(store, tmp_path, "s1")
    assert counts.pages_uploaded == 2
    assert verify_snapshot(open_repository(tmp_path), "s1").records == 50
    assert manifest.totals.bytes_uploaded < 10_000


def test_large_pages_and_many_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quiesce.snapshot.pack.PACK_BYTES", 100_000)
    monkeypatch.setattr("quiesce.snapshot.segment.SEGMENT_BYTES", 20_000)
    store = world(pages=1)
    for position in range(500):
        store.put(1, 9, position, position.to_bytes(4, "big") * 400, version=3)
    manifest, _ = take(store, tmp_path, "s1")
    assert manifest.table.rows > 40
    assert len(manifest.packs) == len(packs(tmp_path)) >= 1
    assert verify_snapshot(open_repository(tmp_path), "s1").records == len(store.records)


def test_a_checkpoint_of_another_mark_is_refused(tmp_path: Path) -> None:
    store = world(pages=1)
    repository = open_repository(tmp_path, create=True)
    mark = ManifestMark(store.term, store.index - 1, 0, 1)
    known = find_known(repository, "c1", mark, [], print)
    maker = SnapshotMaker(store, repository, known, RateLimit(0), lambda counts: None)
    with pytest.raises(DamagedStore, match="not at the mark"):
        maker.run(SnapshotRequest("s1", "c1", 2, mark), started_ms=0)
    assert packs(tmp_path) == []


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnknownDatabase):
        take(world(pages=1), tmp_path, "s1", databases=("world", "moon"))


def test_a_full_repository_ends_it_without_a_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = open_repository(tmp_path, create=True)

    def full(name: str, data: bytes) -> bool:
        raise RepositoryFull(repository=tmp_path, detail=name)

    monkeypatch.setattr(repository.objects, "put_new", full)
    with pytest.raises(RepositoryFull):
        take(world(), repository, "s1")
    assert repository.list_snapshots() == []


@pytest.mark.parametrize("crash_at", range(4))
def test_a_crash_between_two_puts_leaves_no_snapshot_and_the_next_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash_at: int
) -> None:
    class Crashed(BaseException):
        pass

    monkeypatch.setattr("quiesce.snapshot.pack.PACK_BYTES", 3000)
    repository = open_repository(tmp_path, create=True)
    real, done = repository.objects.put_new, []

    def put_new(name: str, data: bytes) -> bool:
        if name.startswith(("packs", "tables", "snapshots")):
            if len(done) == crash_at:
                raise Crashed
            done.append(name)
        return real(name, data)

    with monkeypatch.context() as patch:
        patch.setattr(repository.objects, "put_new", put_new)
        with pytest.raises(Crashed):
            take(world(), repository, "s1")
    assert repository.list_snapshots() == []
    manifest, counts = take(world(), repository, "s1")
    assert counts.pages_matched >= crash_at
    assert verify_snapshot(repository, "s1").manifest == manifest
    assert manifest.content_id == take(world(), tmp_path / "other", "s1")[0].content_id


def test_progress_may_stop_it(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def progress(counts: Counts) -> None:
        if counts.pages_done == 5:
            raise Enough

    store = world()
    repository = open_repository(tmp_path, create=True)
    mark = ManifestMark(store.term, store.index, 0, 1)
    maker = SnapshotMaker(store, repository, find_known(repository, "c1", mark, [], print), RateLimit(0), progress)
    with pytest.raises(Enough):
        maker.run(SnapshotRequest("s1", "c1", 2, mark), started_ms=0)
    assert len(store.pages_read) <= 5


def test_the_rate_is_kept_to_on_average() -> None:
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    limit = RateLimit(1000, clock=lambda: now[0], sleep=sleep)
    for _ in range(100):
        limit.take(100)
    assert now[0] == pytest.approx(10.0)
    now[0] += 60  # a pause does not pay for a long burst
    slept.clear()
    for _ in range(10):
        limit.take(100)
    assert sum(slept) >= 0.7
    RateLimit(0, clock=lambda: now[0], sleep=sleep).take(10**12)


def test_every_new_segment_is_taken_from_the_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(snapshot_module.RateLimit, "take", lambda self, size: taken.append(size))
    manifest, _ = take(world(), tmp_path, "s1")
    assert sum(taken) == manifest.totals.bytes_raw == manifest.totals.bytes_read


def test_a_page_whose_stamp_is_not_the_base_s_is_read_whatever_the_mark(tmp_path: Path) -> None:
    store = world()
    take(store, tmp_path, "s1")
    other = world()
    other.stamps[1, 3, 0] -= 1
    other.records[1, 3, 0] = (1, 1, b"another history")
    manifest, counts = take(other, tmp_path, "s2")
    assert other.pages_read == [(1, 3, 0)]
    assert counts.pages_uploaded == 1
    assert verify_snapshot(open_repository(tmp_path), "s2").manifest == manifest
