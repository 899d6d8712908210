"""Schema changes: all or none, with a clear reason; and what they do to the records and indexes that are there."""

import threading
from pathlib import Path

import pytest
from state_entries import Replica, alter, command, content, create, create_in, new_class, new_database, new_index, write

from nodes.store import keys
from nodes.store.engine import INDEXES, META, PAGES, RECORDS, SCHEMA
from nodes.store.patterns import compile_pattern
from quiesce.v1 import database_pb2 as db

Change = db.SchemaChange


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    replica = Replica(tmp_path)
    replica.ok(new_database())
    return replica


def detail(replica: Replica, *changes: db.SchemaChange) -> str:
    reason, fields = replica.refused(alter(*changes))
    assert reason == "INVALID_SCHEMA_CHANGE"
    return fields["detail"]


def database(replica: Replica, name: str = "people") -> db.Database:
    with replica.state.store.view() as view:
        return view.database(name)


def test_new_database(replica: Replica) -> None:
    found = database(replica)
    assert [(c.id, c.name) for c in found.clusters] == list(
        enumerate(("internal", "index", "manindex", "default", "v", "e"))
    )
    assert [(c.name, list(c.cluster_ids), c.default_cluster_id) for c in found.classes] == [
        ("E", [5], 5),
        ("V", [4], 4),
    ]
    assert (found.id, found.state, found.changed_at) == (1, db.DATABASE_STATE_ONLINE, 1)
    assert not database_of_import(replica).clusters


def database_of_import(replica: Replica) -> db.Database:
    return replica.ok(new_database("importing", importing=True))[0].database


def test_database_names_and_ids(replica: Replica) -> None:
    assert replica.refused(new_database())[0] == "DATABASE_EXISTS"
    assert replica.refused(new_database("a b"))[0] == "INVALID_DATABASE_NAME"
    assert replica.refused(new_database(""))[0] == "INVALID_DATABASE_NAME"
    replica.ok(command(drop_database=db.DropDatabaseRequest(name="people")))
    assert replica.ok(new_database())[0].database.id == 2
    assert replica.refused(command(drop_database=db.DropDatabaseRequest(name="none")))[0] == "UNKNOWN_DATABASE"
    publish = command(publish_database=db.PublishDatabaseRequest(name="people"))
    assert replica.refused(publish)[0] == "DATABASE_NOT_IMPORTING"


def test_a_class_gets_a_cluster_of_its_own(replica: Replica) -> None:
    replica.ok(alter(new_class("Person"), Change(create_cluster=db.Cluster(name="robot")), new_class("Robot")))
    found = database(replica)
    assert [(c.id, c.name) for c in found.clusters][6:] == [(6, "person"), (7, "robot"), (8, "robot_1")]
    assert {c.name: list(c.cluster_ids) for c in found.classes} == {"E": [5], "V": [4], "Person": [6], "Robot": [8]}
    assert found.changed_at == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ([new_class("v")], "a class `v` already"),
        ([new_class("")], "not a name for a class"),
        ([new_class("A", super_classes=["Nothing"])], "super-class `Nothing`, which does not exist"),
        ([new_class("A", super_classes=["B"]), new_class("B", super_classes=["a"])], "its own super-class"),
        ([new_class("A", super_classes=["A"])], "its own super-class"),
        ([new_class("A", cluster_ids=[99])], "cluster 99, which does not exist"),
        ([new_class("A", cluster_ids=[4])], "belongs to class `V`"),
        ([new_class("A", cluster_ids=[3, 3])], "twice"),
        ([new_class("A", cluster_ids=[3], default_cluster_id=2)], "default cluster 2"),
        ([new_class("A", cluster_ids=[3], abstract=True)], "abstract"),
        ([Change(create_cluster=db.Cluster(id=3, name="x"))], "id 3 already"),
        ([Change(create_cluster=db.Cluster(id=40_000, name="x"))], "limit of 32767"),
        ([Change(create_cluster=db.Cluster(name="DEFAULT"))], "cluster `DEFAULT` already"),
        ([Change(drop_cluster="v")], "drop the class"),
        ([Change(drop_cluster="none")], "no cluster `none`"),
        ([new_class("A", super_classes=["V"]), Change(drop_class="V")], "sub-classes: A"),
        ([new_class("A", properties=[db.PropertyDefinition(name="p", type="TEXT")])], "no type `TEXT`"),
        ([new_class("A", properties=[db.PropertyDefinition(name="@p", type="LONG")])], "OrientDB's own"),
        ([new_class("A", properties=[db.PropertyDefinition(name="p", type="LONG", min="x")])], "min `x`"),
        (
            [new_class("A", properties=[db.PropertyDefinition(name="p", type="STRING", regexp="(a+)+")])],
            "unbounded time",
        ),
        ([new_index("V", "a"), new_index("V", "a")], "index `V.a` already"),
        ([new_index("V", "a", kind="FULLTEXT")], "cannot be kept up to date"),
        ([Change(drop_index="none")], "no index"),
        ([Change()], "empty"),
        ([Change(drop_property=db.DropProperty(class_name="V", name="x"))], "no property `x`"),
    ],
)
def test_impossible_changes(replica: Replica, changes: list[db.SchemaChange], reason: str) -> None:
    # The first change is possible and must be undone with the others.
    assert reason in detail(replica, new_class("First"), *changes)


def test_an_unknown_class_is_named(replica: Replica) -> None:
    assert replica.refused(alter(new_index("Nobody", "x"))) == (
        "UNKNOWN_CLASS",
        {"class_name": "Nobody", "database": "people"},
    )


def test_super_classes_may_come_later_and_in_any_case(replica: Replica) -> None:
    replica.ok(alter(new_class("A", super_classes=["zed", "v"]), new_class("Zed", super_classes=["V"])))
    with replica.state.store.view() as view:
        schema = view.schema("people")
        assert schema.definition("a").super_classes == ["Zed", "V"]
        assert [c.name for c in schema.lineage("A")] == ["A", "Zed", "V"]
        assert view.class_clusters("people", "V") == [4, 6, 7]


def test_used_properties_stay(replica: Replica) -> None:
    prop = db.PropertyDefinition(name="tags", type="EMBEDDEDLIST", linked_type="STRING", collate="ci")
    replica.ok(alter(new_class("A", properties=[prop])))
    replica.ok(
        alter(
            Change(
                create_index=db.IndexDefinition(name="i", type="NOTUNIQUE", class_name="a", fields=[{"name": "tags"}])
            )
        )
    )  # type: ignore[list-item]
    [field] = database(replica).indexes[0].fields
    assert (field.by, field.key_type, field.collate) == (db.IndexField.BY_ITEM, "STRING", "ci")
    dropped = Change(drop_property=db.DropProperty(class_name="A", name="tags"))
    assert "used by the indexes i" in detail(replica, dropped)
    replica.ok(alter(Change(drop_index="i"), dropped))


def test_new_index_is_filled(replica: Replica) -> None:
    replica.ok(alter(new_class("A"), new_class("B", super_classes=["A"])))
    replica.write(create("A", n="x"), create("B", n="y"), create("A"))
    stamps = content(replica.state.store)[PAGES]
    replica.ok(alter(new_index("A", "n", kind="NOTUNIQUE", nulls_ignored=True)))
    assert [entry[1:] for entry in replica.index("A.n")] == [(6, 0), (7, 0)]
    assert content(replica.state.store)[PAGES] == stamps


def test_new_unique_index_over_equal_keys_is_refused(replica: Replica) -> None:
    replica.ok(alter(new_class("A")))
    replica.write(create("A", n="x", m="1"), create("A", n="x", m="2"))
    reason, fields = replica.refused(alter(new_index("A", "m"), new_index("A", "n")))
    assert (reason, fields["rid"], fields["index"]) == ("DUPLICATE_KEY", "#6:0", "A.n")
    reason, fields = replica.refused(alter(new_index("A", "m", fields=[db.IndexField(name="m", key_type="LONG")])))
    assert (reason, fields["where"]) == ("INVALID_DOCUMENT", "#6:0")
    replica.ok(alter(new_index("A", "m")))


def test_dropped_class_leaves_the_indexes_of_its_superclass(replica: Replica) -> None:
    replica.ok(alter(new_class("A"), new_class("B", super_classes=["A"]), new_index("A", "n"), new_index("B", "b")))
    replica.write(create("A", n="x"), create("B", n="y", b="z"))
    replica.ok(alter(Change(drop_class="B")))
    assert [entry[1:] for entry in replica.index("A.n")] == [(6, 0)]
    found = content(replica.state.store)
    assert (len(found[RECORDS]), len(found[INDEXES]), len(found[PAGES])) == (1, 1, 1)
    assert replica.write(create("A", n="y")).HasField("write")


def test_existing_records_of_a_new_class_come_into_inherited_indexes(replica: Replica) -> None:
    replica.ok(alter(Change(create_cluster=db.Cluster(name="old")), new_class("A"), new_index("A", "n")))
    replica.write(create_in(6, b'{"n":"x"}'))
    replica.ok(alter(new_class("B", super_classes=["A"], cluster_ids=[6])))
    assert [entry[1:] for entry in replica.index("A.n")] == [(6, 0)]


def test_an_id_that_is_given_again_does_not_give_positions_again(replica: Replica) -> None:
    replica.ok(alter(Change(create_cluster=db.Cluster(id=20, name="x"))))
    replica.write(create_in(20, b"{}"), create_in(20, b"{}"))
    replica.ok(alter(Change(drop_cluster="x")))
    assert replica.refused(write(create_in(20, b"{}")))[0] == "UNKNOWN_RECORD_CLUSTER"
    assert content(replica.state.store)[RECORDS] == content(replica.state.store)[PAGES] == []
    replica.ok(alter(Change(create_cluster=db.Cluster(name="y"))))
    replica.ok(alter(Change(create_cluster=db.Cluster(id=20, name="x"))))
    assert [c.id for c in database(replica).clusters][-2:] == [20, 21]
    assert replica.write(create_in(20, b"{}")).write.written[0].position == 2
    # In one step as well.
    replica.ok(alter(Change(drop_cluster="x"), Change(create_cluster=db.Cluster(id=20, name="x"))))
    assert replica.bodies(20) == []
    assert replica.write(create_in(20, b"{}")).write.written[0].position == 3


def test_dropped_database_leaves_nothing(replica: Replica) -> None:
    replica.ok(new_database("kept"))
    replica.write(create_in(3, b"{}"), database="kept")
    before = content(replica.state.store)
    replica.ok(new_database("gone"))
    replica.ok(alter(new_class("A"), new_index("A", "n"), database="gone"))
    # The drop shares its entry with writes before it and after it.
    replica.ok(
        write(create("A", n="x"), database="gone"),
        command(drop_database=db.DropDatabaseRequest(name="gone")),
        write(create_in(3, b"{}"), database="kept"),
    )
    after = content(replica.state.store)
    for family in (SCHEMA, INDEXES):
        assert after[family] == before[family]
    assert [key for key, _ in after[META]] == [key for key, _ in before[META]]
    assert len(after[RECORDS]) == 2
    replica.reopen()
    with replica.state.store.view() as view:
        assert [found.name for found in view.databases()] == ["kept", "people"]


def test_preserved_sections(replica: Replica) -> None:
    replica.ok(alter(Change(preserve=db.PreserveSection(section="manualIndexes", json=b"[]"))))
    assert dict(database(replica).preserved) == {"manualIndexes": b"[]"}
    replica.ok(alter(Change(preserve=db.PreserveSection(section="manualIndexes"))))
    assert not database(replica).preserved


def test_an_import_keeps_what_is_not_maintained(replica: Replica) -> None:
    database_of_import(replica)
    odd = db.PropertyDefinition(name="p", type="STRING", regexp="(?=x)", min="odd")
    fulltext = Change(create_index=db.IndexDefinition(name="f", type="FULLTEXT", class_name="A", metadata=b"{}"))
    replica.ok(
        alter(
            Change(create_cluster=db.Cluster(id=0, name="internal")),
            Change(create_cluster=db.Cluster(id=9, name="a")),
            new_class("A", cluster_ids=[9], properties=[odd]),
            fulltext,
            database="importing",
        )
    )
    replica.ok(command(publish_database=db.PublishDatabaseRequest(name="importing")))
    found = database(replica, "importing")
    assert [(i.maintained, i.metadata) for i in found.indexes] == [(False, b"{}")]
    assert found.classes[0].properties[0] == odd
    assert replica.write(create("A", p="anything"), database="importing").HasField("write")


def test_a_write_does_not_rewrite_the_schema(replica: Replica) -> None:
    schema = content(replica.state.store)[SCHEMA]
    replica.write(create_in(3, b"{}"))
    assert content(replica.state.store)[SCHEMA] == schema
    assert b"" not in [key for key, _ in schema]
    assert keys.DATABASE.unpack(schema[0][0]) == (1,)


@pytest.mark.parametrize(
    "pattern", ["(a|a)*", "(a*)*b", "(?=a)b", r"(a)\1", "a{0,99}" * 6, ".*" * 9, "[", "((a{2,9}){2,9}){2,9}"]
)
def test_patterns_that_could_run_away_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="it "):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\\.[A-Za-z]{2,4}", r"(\d{1,3}\.){3}\d{1,3}", "(ab)?.*", "a|b|c*", "^x$"],
)
def test_patterns_of_everyday_are_taken_and_end_soon(pattern: str) -> None:
    found = compile_pattern(pattern)
    worst = threading.Thread(target=found.fullmatch, args=("a.@" * 30_000)[: found.max_text].split("\0"), daemon=True)
    worst.start()
    worst.join(60)
    assert not worst.is_alive()
