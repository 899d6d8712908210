"""Classes, properties and clusters that are changed while records are in them."""

from pathlib import Path
from typing import Any

import pytest
from state_entries import Replica, alter, create, new_class, new_database, new_index, write

from quiesce.v1 import database_pb2 as db

REFUSED = "INVALID_SCHEMA_CHANGE"


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    replica = Replica(tmp_path)
    replica.ok(new_database())
    replica.ok(alter(new_class("Named"), new_class("Person"), new_index("Named", "name", kind="NOTUNIQUE")))
    return replica


def definition(replica: Replica, name: str) -> db.ClassDefinition:
    with replica.state.store.view() as view:
        found = next(one for one in view.database("people").classes if one.name == name)
    copy = db.ClassDefinition()
    copy.CopyFrom(found)
    return copy


def altered(replica: Replica, name: str, **fields: Any) -> Any:
    given = definition(replica, name)
    for field in fields:
        given.ClearField(field)  # type: ignore[arg-type]
    given.MergeFrom(db.ClassDefinition(**fields))
    return alter(db.SchemaChange(alter_class=db.AlterClass(definition=given)))


def found_under(replica: Replica, key: bytes) -> int:
    with replica.state.store.view() as view:
        index = view.database("people").indexes[0].name
        return len(view.lookup("people", index, [key], 10)[0].records)


def test_records_enter_and_leave_the_indexes_of_a_super_class(replica: Replica) -> None:
    replica.write(create("Person", name="Ada"))
    assert found_under(replica, b'["Ada"]') == 0
    replica.ok(altered(replica, "Person", super_classes=["Named"]))
    assert found_under(replica, b'["Ada"]') == 1
    replica.write(create("Person", name="Bob"))
    assert found_under(replica, b'["Bob"]') == 1
    replica.ok(altered(replica, "Person", super_classes=[]))
    assert found_under(replica, b'["Ada"]') == found_under(replica, b'["Bob"]') == 0


def test_a_super_class_whose_unique_index_cannot_hold_them_is_refused(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    replica.ok(new_database())
    replica.ok(alter(new_class("Named"), new_class("Person"), new_index("Named", "name")))
    replica.write(create("Person", name="Ada"), create("Person", name="Ada"))
    assert replica.refused(altered(replica, "Person", super_classes=["Named"]))[0] == "DUPLICATE_KEY"
    assert list(definition(replica, "Person").super_classes) == []


def test_what_a_class_cannot_become(replica: Replica) -> None:
    other = definition(replica, "Named").cluster_ids[0]
    own = definition(replica, "Person").cluster_ids[0]
    for fields in (
        {"super_classes": ["Ghost"]},
        {"super_classes": ["Person"]},
        {"abstract": True},
        {"cluster_ids": [own, other]},
        {"cluster_ids": [own, 999]},
        {"default_cluster_id": other},
    ):
        before = definition(replica, "Person")
        assert replica.refused(altered(replica, "Person", **fields))[0] == REFUSED, fields
        assert definition(replica, "Person") == before
    replica.ok(altered(replica, "Person", strict_mode=True, custom_fields={"a": "b"}))
    assert definition(replica, "Person").strict_mode
    # Properties are changed by themselves.
    replica.ok(altered(replica, "Person", properties=[db.PropertyDefinition(name="x", type="LINK")]))
    assert list(definition(replica, "Person").properties) == []


def test_properties(replica: Replica) -> None:
    add = db.CreateProperty(class_name="Person", property=db.PropertyDefinition(name="name", type="STRING"))
    replica.ok(alter(db.SchemaChange(create_property=add)))

    def change(**fields: Any) -> Any:
        declared = db.PropertyDefinition(**{"name": "name", "type": "STRING", **fields})
        given = db.AlterProperty(class_name="person", property=declared)
        return alter(db.SchemaChange(alter_property=given))

    replica.ok(change(mandatory=True, max="3"))
    assert replica.refused(write(create("Person", name="Adele")))[0] == "CONSTRAINT_VIOLATED"
    replica.write(create("Person", name="Ada"))
    for fields in ({"name": "ghost"}, {"type": "TEXT"}, {"min": "x"}):
        assert replica.refused(change(**fields))[0] == REFUSED, fields
    replica.ok(alter(new_index("Person", "name", kind="NOTUNIQUE")))
    # The keys of the index go by them, also where the index is on a class above or below.
    assert replica.refused(change(type="INTEGER"))[0] == REFUSED
    assert replica.refused(change(collate="ci"))[0] == REFUSED
    replica.ok(change(not_null=True))


def test_a_cluster_gets_another_name(replica: Replica) -> None:
    def rename(name: str, to: str) -> Any:
        return alter(db.SchemaChange(alter_cluster=db.AlterCluster(name=name, new_name=to)))

    replica.write(create("Person", name="Ada"))
    number = definition(replica, "Person").cluster_ids[0]
    replica.ok(rename("PERSON", "people"))
    with replica.state.store.view() as view:
        assert [one.name for one in view.database("people").clusters if one.id == number] == ["people"]
        assert sum(len(batch) for batch in view.scan_cluster("people", number)) == 1
    replica.ok(rename("people", "People"))
    for name, to in (("ghost", "x"), ("People", "named"), ("People", "")):
        assert replica.refused(rename(name, to))[0] == REFUSED
