from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snapshot_fakes import take, world

from quiesce.errors import DamagedObject
from quiesce.repository import DirectoryStore, open_repository, verify_snapshot
from quiesce.repository.collection import GRACE_MS, collect
from quiesce.repository.garbage import Candidate, GarbageList, due, next_list, unreferenced
from quiesce.repository.pins import live_pins, pin, pin_reasons, unpin
from quiesce.repository.publishing import objects_of
from quiesce.repository.removal import remove_snapshot

names = st.sets(st.sampled_from("abcdef"))
NOW = 1_795_000_000_000


@given(names, st.lists(names))
def test_what_something_names_is_no_garbage(there: set[str], named: list[set[str]]) -> None:
    found = unreferenced(there, named)
    assert found <= there
    assert found.isdisjoint(set().union(*named))
    assert there - found <= set().union(*named)


@given(st.lists(st.tuples(names, st.integers(-5, 50)), min_size=1), st.integers(0, 60))
def test_what_is_due_was_in_every_list_for_the_whole_grace_time(rounds: list[tuple[set[str], int]], grace: int) -> None:
    """Whatever the clock does: it may be set back."""
    lists, now = [GarbageList(0, 0, {})], 1_000
    for found, passed in rounds:
        now += passed
        lists.append(next_list(lists[-1], found, now))
    for name in due(lists[-1].objects, [], now_ms=now, grace_ms=grace):
        first = lists[-1].objects[name].number
        assert all(name in one.objects for one in lists[first:])
        assert lists[first].at_ms <= now - grace or any(one.at_ms <= now - grace for one in lists[first:])


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9)), st.lists(st.integers(0, 9)))
def test_what_a_writer_may_have_chosen_is_not_due(listed: dict[str, int], seen: list[int]) -> None:
    candidates = {name: Candidate(0, number) for name, number in listed.items()}
    found = due(candidates, seen, now_ms=100, grace_ms=10)
    assert found == {name for name, number in listed.items() if all(number <= one for one in seen)}


def test_a_removed_object_is_gone_and_may_be_removed_again(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "s")
    assert not store.delete("a/b")
    store.put_new("a/b", b"x")
    assert store.delete("a/b")
    assert not store.delete("a/b")
    with pytest.raises(FileNotFoundError):
        store.get("a/b")
    assert store.put_new("a/b", b"y")


def test_what_two_snapshots_share_stays_with_one_of_them(tmp_path: Path) -> None:
    store = world()
    first, _ = take(store, tmp_path, "s1")
    store.put(1, 3, 0, b"new")
    second, _ = take(store, tmp_path, "s2")
    repository = open_repository(tmp_path)
    assert remove_snapshot(repository, "s1", lambda _: None, now_ms=NOW)
    assert not remove_snapshot(repository, "s1", lambda _: None, now_ms=NOW)
    only = set(objects_of(first)) - set(objects_of(second))
    assert collect(repository, NOW).waiting == len(only) > 0
    assert set(collect(repository, NOW + GRACE_MS).removed) == only
    verify_snapshot(repository, "s2")


def test_what_is_garbage_is_made_anew_under_another_name(tmp_path: Path) -> None:
    store = world()
    first, _ = take(store, tmp_path, "s1")
    repository = open_repository(tmp_path)
    remove_snapshot(repository, "s1", lambda _: None, now_ms=NOW)
    collect(repository, NOW)
    second, _ = take(store, tmp_path, "s2")
    assert second.content_id == first.content_id
    assert set(objects_of(first)).isdisjoint(objects_of(second))
    collect(repository, NOW + GRACE_MS)
    verify_snapshot(repository, "s2")
    # And is used from then on.
    third, counts = take(store, tmp_path, "s3")
    assert objects_of(third) == objects_of(second)
    assert counts.bytes_uploaded == 0


def test_what_cannot_be_read_stops_the_collection(tmp_path: Path) -> None:
    store = world(pages=1)
    take(store, tmp_path, "s1")
    take(store, tmp_path, "s2")
    repository = open_repository(tmp_path)
    path = tmp_path / "snapshots" / "s2.manifest"
    path.write_bytes(path.read_bytes()[:-3])
    remove_snapshot(repository, "s1", lambda _: None, now_ms=NOW)
    with pytest.raises(DamagedObject, match=r"snapshots/s2\.manifest"):
        collect(repository, NOW)
    # The way out, by hand.
    remove_snapshot(repository, "s2", lambda _: None, now_ms=NOW)
    collect(repository, NOW)
    collect(repository, NOW + GRACE_MS)
    assert not list((tmp_path / "packs").rglob("*.pack"))


def test_a_pin_that_cannot_be_read_holds(tmp_path: Path) -> None:
    take(world(pages=1), tmp_path, "s1")
    repository = open_repository(tmp_path)
    name = pin(repository, "s1", "audit", by="me", now_ms=NOW)
    assert pin(repository, "s1", "audit", by="me", now_ms=NOW + 5) == name
    assert pin_reasons(repository, NOW) == {"s1": "audit (me)"}
    (tmp_path / name).write_bytes(b"{}")
    assert "cannot be read" in pin_reasons(repository, NOW)["s1"]
    collect(repository, NOW)
    assert len(live_pins(repository, NOW)) == 1
    assert unpin(repository, "s1") == 1
    assert live_pins(repository, NOW) == []
