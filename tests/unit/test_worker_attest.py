"""What a replica attests is the content id of the snapshot that it would be, with a base and without."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshot_fakes import MemoryStore, take, world

from nodes.rate_limit import RateLimit
from nodes.worker.attest import attest
from nodes.worker.base import find_base, find_known
from nodes.worker.sample import Sample
from nodes.worker.snapshot import SnapshotMaker, SnapshotRequest
from nodes.worker.walk import Walk
from quiesce.errors import DamagedStore, UnknownDatabase
from quiesce.repository import Repository, open_repository
from quiesce.snapshot import PAGE_POSITIONS, ManifestMark

changes = st.lists(
    st.tuples(
        st.sampled_from([1, 2]),
        st.sampled_from([3, 9]),
        st.integers(0, 5 * PAGE_POSITIONS),
        st.none() | st.binary(min_size=1, max_size=30),
    ),
    max_size=8,
)


def attested(
    store: MemoryStore, repository: Repository, names: tuple[str, ...] = (), index: int = 0, budget: int = 0
) -> str:
    mark = ManifestMark(store.term, index or store.index, 5, 5)
    wanted = names or tuple(database.name for database in store.databases())
    base = find_base(repository, "c1", mark, wanted, lambda _: None)
    sample = Sample(base, mark, budget)
    return attest(Walk(store, base, RateLimit(0), lambda _: None, sample), mark, names)


@settings(max_examples=40, deadline=None)
@given(st.lists(changes, min_size=1, max_size=3), st.sampled_from([(), ("world",), ("atlas", "world")]))
def test_it_is_that_of_a_snapshot(
    rounds: list[list[tuple[int, int, int, bytes | None]]], names: tuple[str, ...]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        repository = open_repository(Path(directory) / "r", create=True)
        nowhere = open_repository(Path(directory) / "empty", create=True)
        store = world(pages=2, per_page=3)
        for number, round_ in enumerate(rounds):
            for database, cluster, position, body in round_:
                store.put(database, cluster, position, body)
            held = attested(store, repository, names)
            assert held == attested(store, nowhere, names)
            manifest, _ = take(store, repository, f"s{number}", databases=names)
            assert held == manifest.content_id == attested(store, repository, names)


def test_a_difference_in_a_page_that_has_changed_shows(tmp_path: Path) -> None:
    repository = open_repository(tmp_path / "r", create=True)
    one, other = world(), world()
    take(one, repository, "s1")
    key = (1, 3, 7)
    version, kind, body = other.records[key]
    other.records[key] = version, kind, body.replace(b"0", b"1", 1)
    # Nothing was written to its page since the base: it is read by the sample only.
    assert attested(one, repository) == attested(other, repository)
    assert attested(one, repository, budget=1 << 20) != attested(other, repository, budget=1 << 20)
    for store in (one, other):
        store.pages_read.clear()
        store.put(1, 3, 14, b"{}")
    assert attested(one, repository) != attested(other, repository)
    assert other.pages_read == [(1, 3, 0)]


def test_a_checkpoint_of_another_moment_and_a_database_that_is_not_there(tmp_path: Path) -> None:
    repository = open_repository(tmp_path / "r", create=True)
    with pytest.raises(DamagedStore, match="not at the mark"):
        attested(world(), repository, index=3)
    with pytest.raises(UnknownDatabase):
        attested(world(), repository, ("moon",))


def test_a_sample_reads_about_its_budget_and_every_page_has_its_turn(tmp_path: Path) -> None:
    repository = open_repository(tmp_path / "r", create=True)
    store = world(pages=25)
    manifest, _ = take(store, repository, "s1")
    pages = [(d.name, cluster, page) for d in store.databases() for cluster, page, _ in store.pages(d.id)]
    mark = ManifestMark(store.term, store.index, 5, 5)
    base = find_base(repository, "c1", mark, ["world", "atlas"], lambda _: None)
    taken: list[set[tuple[str, int, int]]] = []
    for index in range(200):
        sample = Sample(base, ManifestMark(mark.term, mark.index + index, 5, 5), manifest.totals.bytes_raw // 10)
        taken.append({page for page in pages if sample.takes(*page)})
    assert 0.08 < sum(map(len, taken)) / len(taken) / len(pages) < 0.12
    assert set.union(*taken) == set(pages)
    assert all(Sample(base, mark, manifest.totals.bytes_raw).takes(*page) for page in pages)
    assert not any(Sample(base, mark, 0).takes(*page) for page in pages)


def test_a_base_that_is_wrong_is_put_right_by_all_alike(tmp_path: Path) -> None:
    repository = open_repository(tmp_path / "r", create=True)
    wrong, right = world(), world()
    wrong.records[1, 3, 7] = (9, 1, b"{}")
    take(wrong, repository, "s1")
    mark = ManifestMark(right.term, right.index, 5, 5)
    names = tuple(database.name for database in right.databases())
    known = find_known(repository, "c1", mark, names, lambda _: None)
    sample = Sample(known.base, mark, 1 << 20)
    maker = SnapshotMaker(right, repository, known, RateLimit(0), lambda _: None, sample)
    manifest = maker.run(SnapshotRequest("s2", "c1", 2, mark), started_ms=1)
    empty = open_repository(tmp_path / "empty", create=True)
    assert manifest.content_id == attested(right, repository, budget=1 << 20) == attested(right, empty)
