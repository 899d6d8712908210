"""Requests that once ended every replica, and the second line of defence: docs/decisions/0011."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from state_entries import (
    Replica,
    alter,
    command,
    content,
    create,
    create_in,
    delete,
    fill,
    new_class,
    new_database,
    new_index,
    update,
    write,
)

from nodes.statemachine import commands, replicated_state
from nodes.store import index_fill
from quiesce.v1 import database_pb2 as db

# --- what was found


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    made = Replica(tmp_path)
    made.ok(new_database(), alter(new_class("A")))
    yield made
    made.state.close()


@pytest.mark.parametrize("name", ["@class", 'a"b', "a\\b", "a\0b", "a\nb"])
def test_index_over_a_name_that_no_struct_has(replica: Replica, name: str) -> None:
    replica.ok(write(create("A", **{name: "A"}), create("A")))
    index = db.IndexDefinition(name="i", type="NOTUNIQUE", class_name="A", fields=[db.IndexField(name=name)])
    replica.ok(alter(db.SchemaChange(create_index=index)))
    replica.ok(write(create("A", **{name: "A"}), create("A")))
    assert len(replica.index("i")) == 4
    with replica.state.store.view() as view:
        [match] = view.lookup("people", "i", [b'["A"]'], 0)
    assert len(match.records) == (4 if name == "@class" else 2)


def test_property_of_a_name_that_no_struct_has(replica: Replica) -> None:
    declared = db.PropertyDefinition(name='a"b', type="STRING", mandatory=True)
    replica.ok(alter(db.SchemaChange(create_property=db.CreateProperty(class_name="A", property=declared))))
    assert replica.refused(write(create("A", k=1)))[0] == "CONSTRAINT_VIOLATED"
    replica.ok(write(create("A", **{'a"b': "x"})))


def test_pattern_is_bounded(replica: Replica) -> None:
    for pattern in ("(|" * 101 + ")" * 101, "a" * 5000):
        declared = db.PropertyDefinition(name="k", type="STRING", regexp=pattern)
        change = db.SchemaChange(create_property=db.CreateProperty(class_name="A", property=declared))
        assert replica.refused(alter(change))[0] == "INVALID_SCHEMA_CHANGE"


def test_failed_change_gives_a_dictionary_its_key_back(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_fill, "BATCH_ENTRIES", 1)
    replica.ok(alter(new_index("A", "k", kind="DICTIONARY"), new_index("A", "u")))
    replica.ok(alter(db.SchemaChange(create_cluster=db.Cluster(id=20, name="loose"))))
    replica.ok(write(create("A", k="x", u="1"), create_in(20, b'{"k":"x","u":"1"}')))
    before = replica.index("A.k")
    # The class would bring its records into both indexes, and the unique one has their key.
    taking = new_class("D", super_classes=["A"], cluster_ids=[20])
    assert replica.refused(alter(taking))[0] == "DUPLICATE_KEY"
    assert replica.index("A.k") == before
    replica.ok(alter(db.SchemaChange(drop_index="A.u")))
    replica.ok(alter(taking))
    assert [cluster for _, cluster, _ in replica.index("A.k")] == [20]


def test_records_that_do_not_fit_come_into_no_index(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_fill, "BATCH_ENTRIES", 1)
    replica.ok(alter(new_index("A", "k", kind="NOTUNIQUE")))
    replica.ok(alter(db.SchemaChange(create_cluster=db.Cluster(id=20, name="loose"))))
    replica.ok(write(create_in(20, b'{"k":"x"}'), create_in(20, b'{"k":[1]}')))
    taking = alter(new_class("D", super_classes=["A"], cluster_ids=[20]))
    assert replica.refused(taking)[0] == "INVALID_DOCUMENT"


def test_small_records_with_many_long_keys(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    by_item = db.IndexField.BY_ITEM
    parts = [
        db.IndexField(name="k", key_type="STRING", by=by_item),
        db.IndexField(name="n", key_type="LONG", by=by_item),
    ]
    replica.ok(alter(new_index("A", "k", "n", kind="NOTUNIQUE", fields=parts)))
    one = create("A", k=["x" * 4_000], n=list(range(3_000)))
    assert replica.refused(write(create("A", k=["x" * 4_000], n=list(range(5_000)))))[0] == "INVALID_DOCUMENT"
    assert replica.refused(write(*[one] * 10))[0] == "BATCH_TOO_LARGE"
    monkeypatch.setattr(replicated_state, "FLUSH_INDEX_BYTES", 1 << 20)
    replica.ok(write(one), write(create("A")), write(one))
    before = content(replica.state.store, progress=True)
    assert len(before["indexes"]) == 6_001
    replica.reopen()
    assert content(replica.state.store, progress=True) == before
    replica.ok(write(delete(replica_cluster(replica), 0)))
    assert len(content(replica.state.store)["indexes"]) == 3_001


def test_scan_behind_the_last_position_ends(replica: Replica) -> None:
    replica.ok(new_database("filling", importing=True))
    replica.ok(alter(db.SchemaChange(create_cluster=db.Cluster(id=3, name="default")), database="filling"))
    replica.ok(write(fill(3, (2**63 - 1, 1, b"{}")), database="filling"))
    replica.ok(command(publish_database=db.PublishDatabaseRequest(name="filling")))
    with replica.state.store.view() as view:
        for after, count in ((2**63 - 2, 1), (2**63 - 1, 0), (2**64 - 1, 0)):
            assert sum(map(len, view.scan_cluster("filling", 3, after))) == count
    assert replica.refused(write(create_in(3, b"{}"), database="filling"))[0] == "INVALID_REQUEST"


# --- the second line of defence


FAULTS = (ValueError, KeyError, TypeError, OverflowError, RecursionError, AttributeError)


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_in_a_write_ends_that_write_alone(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, fault: type[Exception]
) -> None:
    from nodes.statemachine.index_changes import IndexChanges

    replica.ok(alter(new_index("A", "k")))
    replica.ok(write(create("A", k="a")))
    real = IndexChanges.settle

    def settle(self: Any, draft: Any) -> None:
        real(self, draft)
        if any(b"poison" in (value or b"") for value in draft.records.values()):
            raise fault("at 0x7f00")

    monkeypatch.setattr(IndexChanges, "settle", settle)
    poison = write(update(replica_cluster(replica), 0, b'{"@class":"A","k":"poison"}'), create("A", k="c"))
    reason, fields = replica.refused(poison)
    assert reason == "QUIESCE_ERROR"
    assert fault.__name__ in fields["detail"]
    assert "0x" not in fields["detail"]
    before, after = replica(write(create("A", k="b")), poison, write(create("A", k="c")))[::2]
    assert before.write.written
    assert after.write.written
    assert [key for key, _, _ in replica.index("A.k")] == sorted(b"\x02" + k + b"\0\0" for k in (b"a", b"b", b"c"))
    replica.ok(write(delete(replica_cluster(replica), 0)))


def replica_cluster(replica: Replica) -> int:
    with replica.state.store.view() as view:
        return view.class_clusters("people", "A")[0]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("place", ["set_database", "counted", "set_allocation"])
def test_fault_in_a_change_of_schema_leaves_no_trace(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, fault: type[Exception], place: str
) -> None:
    from nodes.statemachine.working import Working

    replica.ok(write(create("A", k="a")))
    real = getattr(Working, place)

    def then_fail(self: Any, *given: Any) -> Any:
        real(self, *given)
        raise fault("poison")

    dropping = alter(db.SchemaChange(drop_class="A"), new_class("Z"), new_index("Z", "k"))
    with monkeypatch.context() as patch:
        patch.setattr(Working, place, then_fail)
        for poison in (alter(new_class("Y")), new_database("other"), dropping):
            assert replica.refused(poison)[0] == "QUIESCE_ERROR"
    replica.ok(dropping, new_database("other"))
    replica.reopen()
    with replica.state.store.view() as view:
        assert [found.name for found in view.databases()] == ["other", "people"]
        assert view.database("other").id == 2


def test_fault_in_writing_to_the_store_ends_the_process(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    def commit(*_: Any) -> None:
        raise TypeError

    with monkeypatch.context() as patch:
        patch.setattr(replica.state.store, "commit", commit)
        with pytest.raises(TypeError):
            replica(command(drop_database=db.DropDatabaseRequest(name="people")))
    replica.reopen()
    replica.log.pop()
    replica.ok(command(drop_database=db.DropDatabaseRequest(name="people")))


@pytest.mark.parametrize("error", [MemoryError, OSError, RuntimeError])
def test_what_is_of_one_node_ends_it(replica: Replica, monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def write_or_die(*_: Any) -> None:
        raise error

    monkeypatch.setattr(commands, "write", write_or_die)
    with pytest.raises(error):
        replica(write(create("A")))
