"""Clusters that a merge fills: unseen until one change of the schema brings them in, indexes and all, or not at all."""

from pathlib import Path
from typing import Any

import pytest
from state_entries import (
    Replica,
    alter,
    body,
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

from quiesce.errors import UnknownRecordCluster
from quiesce.v1 import database_pb2 as db
from quiesce.v1.record_pb2 import RecordId

# V and E have 4 and 5 in a new database.
PERSON, FILLED = 6, 14


def new_cluster(name: str, wish: int = 0) -> db.SchemaChange:
    return db.SchemaChange(create_cluster=db.Cluster(name=name, id=wish, importing=True))


def publish(name: str) -> db.SchemaChange:
    return db.SchemaChange(publish_cluster=name)


def give(class_name: str, cluster: str) -> db.SchemaChange:
    return db.SchemaChange(add_cluster=db.AddCluster(class_name=class_name, cluster=cluster))


def filled(position: int, version: int = 7, **fields: Any) -> Any:
    return write(fill(FILLED, (position, version, body("Person", **fields))))


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    replica = Replica(tmp_path)
    replica.ok(new_database(), alter(new_class("Person"), new_index("Person", "name")))
    replica.ok(write(create("Person", name="Ada")), alter(new_cluster("more", FILLED)))
    return replica


def test_nobody_sees_a_cluster_that_is_filled(replica: Replica) -> None:
    replica.ok(filled(3, name="Bob"), filled(9, name="Ada"))
    with replica.state.store.view() as view:
        assert view.get("people", [RecordId(cluster=FILLED, position=3)])[0] == []
        with pytest.raises(UnknownRecordCluster):
            view.scan_cluster("people", FILLED)
        assert view.class_clusters("people", "Person") == [PERSON]
    changes = update(FILLED, 3, body("Person")), delete(FILLED, 3), create_in(FILLED, body("Person"))
    for change in changes:
        assert replica.refused(write(change))[0] == "UNKNOWN_RECORD_CLUSTER"
    assert replica.refused(alter(give("Person", "more")))[0] == "INVALID_SCHEMA_CHANGE"
    assert replica.refused(alter(new_class("Other", cluster_ids=[FILLED])))[0] == "INVALID_SCHEMA_CHANGE"


def test_it_comes_in_whole_with_its_index(replica: Replica) -> None:
    replica.ok(filled(3, name="Bob"), alter(publish("more"), give("Person", "more")))
    with replica.state.store.view() as view:
        [match] = view.lookup("people", "Person.name", [b'["Bob"]'], 0)
        assert [(one.cluster, one.position, one.version) for one in match.records] == [(FILLED, 3, 7)]
        assert view.class_clusters("people", "Person") == [PERSON, FILLED]
    # In service it is a cluster like any other.
    replica.ok(write(update(FILLED, 3, body("Person", name="Bobby"))))
    assert replica.refused(filled(10, name="Eve"))[0] == "DATABASE_NOT_IMPORTING"
    assert replica.refused(alter(publish("more"), give("Person", "more")))[0] == "INVALID_SCHEMA_CHANGE"


def test_definitions_of_an_export_come_with_it(replica: Replica) -> None:
    """What only OrientDB reads or keeps up is kept, as in an import of a whole database."""
    regexp = db.PropertyDefinition(name="name", type="STRING", regexp=r"\S+(.*\S+)*")
    definitions = [new_class("Odd", properties=[regexp]), new_index("Odd", "name", kind="FULLTEXT")]
    assert replica.refused(alter(*definitions))[0] == "INVALID_SCHEMA_CHANGE"
    replica.ok(alter(publish("more"), *definitions))


def test_a_key_that_is_taken_leaves_everything_as_it_was(replica: Replica) -> None:
    replica.ok(filled(3, name="Bob"), filled(4, name="Ada"))
    reason, fields = replica.refused(alter(publish("more"), new_class("Added"), give("Person", "more")))
    assert reason == "DUPLICATE_KEY"
    assert {fields["rid"], fields["other"]} == {f"#{PERSON}:0", f"#{FILLED}:4"}
    with replica.state.store.view() as view:
        assert [one.name for one in view.database("people").clusters if one.importing] == ["more"]
        assert view.lookup("people", "Person.name", [b'["Bob"]'], 0)[0].records == []
    replica.ok(alter(db.SchemaChange(drop_cluster="more")))


def test_an_id_that_was_given_is_not_given_to_it(replica: Replica) -> None:
    replica.ok(alter(db.SchemaChange(drop_cluster="more")), alter(new_cluster("again", FILLED)))
    replica.ok(alter(new_cluster("wished", 40)), alter(new_cluster("any")))
    with replica.state.store.view() as view:
        found = {one.name: one.id for one in view.database("people").clusters if one.importing}
    assert found == {"again": FILLED + 1, "wished": 40, "any": 41}


def test_reserved_ids_are_not_used(replica: Replica) -> None:
    def reserve(cluster: int, following: int) -> db.SchemaChange:
        return db.SchemaChange(reserve_ids=db.ReserveIds(cluster=cluster, next_position=following))

    replica.ok(alter(reserve(PERSON, 100), reserve(PERSON, 50), reserve(60, 7)))
    replica.ok(write(create("Person", name="Bob")), alter(new_class("Later")))
    with replica.state.store.view() as view:
        assert view.get("people", [RecordId(cluster=PERSON, position=100)])[0]
        assert view.class_clusters("people", "Later") == [61]
    assert replica.refused(alter(reserve(40_000, 1)))[0] == "INVALID_SCHEMA_CHANGE"
