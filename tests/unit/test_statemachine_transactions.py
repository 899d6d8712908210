"""A batch is a transaction: what it does is what a model says that throws away states it may not reach."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from state_entries import (
    Replica,
    alter,
    body,
    content,
    create,
    delete,
    new_class,
    new_database,
    new_index,
    update,
    write,
)

from quiesce.records import RID, expect, expect_free_key
from quiesce.v1 import database_pb2 as db
from quiesce.v1 import record_pb2

# The clusters of the two classes; names are unique over both, through their super-class.
CLUSTERS = {"Cat": 6, "Dog": 7}
INDEX = "Animal.name"


def animals(directory: Path) -> Replica:
    replica = Replica(directory)
    classes = [new_class(name, super_classes=["Animal"]) for name in CLUSTERS]
    replica.ok(new_database(), alter(new_class("Animal", abstract=True), *classes, new_index("Animal", "name")))
    with replica.state.store.view() as view:
        found = {each.name: each.default_cluster_id for each in view.database("people").classes}
    assert {name: found[name] for name in CLUSTERS} == CLUSTERS
    return replica


@dataclass
class Model:
    """Record id → (version, name). Positions that were given are never given again."""

    records: dict[tuple[int, int], tuple[int, str]] = field(default_factory=dict)
    next: dict[int, int] = field(default_factory=lambda: dict.fromkeys(CLUSTERS.values(), 0))

    def copy(self) -> "Model":
        return Model(dict(self.records), dict(self.next))

    def after(self, operations: list[tuple[Any, ...]]) -> "Model | str":
        """Return the state after a batch, or the reason why it is refused."""
        state = self.copy()
        for kind, *what in operations:
            if kind == "create":
                cluster, name = CLUSTERS[what[0]], what[1]
                state.records[cluster, state.next[cluster]] = (1, name)
                state.next[cluster] += 1
            elif kind == "free":
                if what[0] in self.names():
                    return "DUPLICATE_KEY"
            else:
                rid, version = what[0], what[1]
                found = (self if kind == "expect" else state).records.get(rid)
                if found is None:
                    return "UNKNOWN_RECORD"
                if version is not None and version != found[0]:
                    return "STALE_VERSION"
                if kind == "update":
                    state.records[rid] = (found[0] + 1, what[2])
                elif kind == "delete":
                    del state.records[rid]
        # Keys count at the end of the batch: in between two records may have the same.
        return state if len(set(state.names())) == len(state.records) else "DUPLICATE_KEY"

    def names(self) -> list[str]:
        return [name for _, name in self.records.values()]


NAMES = st.sampled_from("abcd")
RIDS = st.tuples(st.sampled_from(sorted(CLUSTERS.values())), st.integers(0, 4))
VERSIONS = st.none() | st.integers(1, 3)
OPERATIONS = st.one_of(
    st.tuples(st.just("create"), st.sampled_from(sorted(CLUSTERS)), NAMES),
    st.tuples(st.just("update"), RIDS, VERSIONS, NAMES),
    st.tuples(st.just("delete"), RIDS, VERSIONS),
    st.tuples(st.just("expect"), RIDS, VERSIONS),
    st.tuples(st.just("free"), NAMES),
)


def operation(kind: str, *what: Any) -> record_pb2.Operation:
    if kind == "create":
        return create(what[0], name=what[1])
    if kind == "free":
        return expect_free_key(INDEX, [what[0]])
    cluster, position = what[0]
    if kind == "update":
        class_name = next(name for name, each in CLUSTERS.items() if each == cluster)
        return update(cluster, position, body(class_name, name=what[2]), what[1])
    return delete(cluster, position, what[1]) if kind == "delete" else expect(RID(cluster, position), version=what[1])


def state_of(replica: Replica) -> tuple[dict[tuple[int, int], tuple[int, str]], dict[str, tuple[int, int]]]:
    """Return the records, and what the index says."""
    with replica.state.store.view() as view:
        records = {
            (cluster, record.position): (record.version, json.loads(record.body)["name"])
            for cluster in CLUSTERS.values()
            for batch in view.scan_cluster("people", cluster)
            for record in batch
        }
        matches = {}
        for name in "abcd":
            [match] = view.lookup("people", INDEX, [json.dumps([name]).encode()], 10)
            for record in match.records:
                matches[name] = (record.cluster, record.position)
    return records, matches


@settings(max_examples=40, deadline=None)
@given(batches=st.lists(st.lists(OPERATIONS, min_size=1, max_size=6), min_size=1, max_size=8))
def test_batches_do_what_the_model_says(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[Any, ...]]]
) -> None:
    replica, model = animals(tmp_path_factory.mktemp("animals")), Model()
    for batch in batches:
        before = content(replica.state.store)
        outcome = replica.write(*(operation(*each) for each in batch))
        after = model.after(batch)
        if isinstance(after, str):
            assert outcome.failure.reason == after
            assert content(replica.state.store) == before
        else:
            assert outcome.HasField("write"), outcome
            assert len(outcome.write.written) == len(batch)
            model = after
        records, index = state_of(replica)
        assert records == model.records
        assert index == {name: rid for rid, (_, name) in model.records.items()}
    replica.state.close()


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    return animals(tmp_path)


def test_a_duplicate_key_names_the_index_the_key_and_both_records(replica: Replica) -> None:
    replica.write(create("Cat", name="a"))
    reason, fields = replica.refused(write(create("Dog", name="b"), create("Dog", name="a")))
    assert reason == "DUPLICATE_KEY"
    assert fields["index"] == INDEX
    assert "a" in fields["key"]
    assert (fields["rid"], fields["other"]) == ("#6:0", "#7:1")
    # Inside of one batch, where neither is there yet.
    _, fields = replica.refused(write(create("Cat", name="z"), create("Dog", name="z")))
    assert (fields["rid"], fields["other"]) == ("#6:1", "#7:0")


def test_an_index_that_cannot_be_made_names_both_records(replica: Replica) -> None:
    replica.ok(alter(new_class("Fish")))
    replica.write(create("Fish", name="a"), create("Fish", name="a"))
    _, fields = replica.refused(alter(new_index("Fish", "name")))
    assert (fields["rid"], fields["other"]) == ("#8:0", "#8:1")


def test_a_record_is_expected_as_it_is_before_the_batch(replica: Replica) -> None:
    replica.write(create("Cat", name="a"))
    changed = replica.write(update(6, 0, body("Cat", name="b")), expect(RID(6, 0), version=1))
    assert [record.version for record in changed.write.written] == [2, 1]
    assert replica.refused(write(create("Cat", name="c"), expect(RID(6, 1))))[0] == "UNKNOWN_RECORD"
    assert replica.write(delete(6, 0), expect(RID(6, 0))).HasField("write")


def test_a_free_key_is_one_before_the_batch(replica: Replica) -> None:
    replica.write(create("Cat", name="a"))
    # The batch frees it, and still it was not free.
    reason, fields = replica.refused(write(delete(6, 0), expect_free_key(INDEX, ["a"])))
    assert (reason, fields["rid"], fields["other"]) == ("DUPLICATE_KEY", "#6:0", "nobody")
    # The batch takes it, and it was free.
    assert replica.write(create("Cat", name="b"), expect_free_key(INDEX, ["b"])).HasField("write")


def test_expectations_that_cannot_be_checked(replica: Replica) -> None:
    replica.ok(alter(new_class("Fish"), new_index("Fish", "name", kind="NOTUNIQUE")))
    empty = record_pb2.Operation(expect=record_pb2.Expect())
    for operation_, reason in (
        (expect_free_key("Fish.name", ["a"]), "INVALID_REQUEST"),
        (expect_free_key("none", ["a"]), "UNKNOWN_INDEX"),
        (expect_free_key(INDEX, ["a", "b"]), "INVALID_REQUEST"),
        (expect(RID(900, 0)), "UNKNOWN_RECORD_CLUSTER"),
        (empty, "INVALID_REQUEST"),
    ):
        assert replica.refused(write(operation_))[0] == reason


def test_expectations_of_a_database_that_is_being_imported(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    replica.ok(new_database(importing=True), alter(db.SchemaChange(create_cluster=db.Cluster(id=9, name="nine"))))
    for each in (expect(RID(9, 0)), expect_free_key("none", ["a"])):
        assert replica.refused(write(each))[0] == "DATABASE_IMPORTING"
