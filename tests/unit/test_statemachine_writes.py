"""Write requests: all or nothing, versions, unique keys within and across batches, page stamps, constraints."""

from pathlib import Path

import pytest
from state_entries import (
    BLOB,
    Replica,
    alter,
    body,
    content,
    create,
    create_in,
    delete,
    new_class,
    new_database,
    new_index,
    texts,
    update,
    write,
)

from nodes.store import keys
from nodes.store.engine import PAGES, RECORDS
from quiesce.v1 import database_pb2 as db

PERSON = 6


@pytest.fixture
def people(tmp_path: Path) -> Replica:
    """A database with the class Person (cluster 6), unique by name."""
    replica = Replica(tmp_path)
    replica.ok(new_database(), alter(new_class("Person"), new_index("Person", "name")))
    return replica


def stamps(replica: Replica) -> dict[tuple[int, int], int]:
    found = {}
    for key, value in replica.state.store.engine.scan(PAGES, b"", keys.after(b"")):
        _, cluster, page = keys.RECORD.unpack(key)
        found[cluster, page] = keys.STAMP.unpack(value)[0]
    return found


def test_create_update_delete(people: Replica) -> None:
    written = people.write(create("Person", name="Ada"), create("Person", name="Bob")).write
    assert [(r.cluster, r.position, r.version, r.body) for r in written.written] == [(6, 0, 1, b""), (6, 1, 1, b"")]
    assert written.index == people.state.applied[0]
    changed = people.write(update(6, 0, body("Person", name="Ann"), 1), delete(6, 1, 1)).write
    assert [(r.position, r.version) for r in changed.written] == [(0, 2), (1, 1)]
    assert people.bodies(PERSON) == [body("Person", name="Ann")]
    with people.state.store.view() as view:
        cluster = view.database("people").clusters[PERSON]
        assert (cluster.records, cluster.next_position) == (1, 2)
        [match] = view.lookup("people", "Person.name", [b'["Ann"]'], 10)
        assert [(r.position, r.version) for r in match.records] == [(0, 2)]
        assert not view.lookup("people", "Person.name", [b'["Bob"]'], 10)[0].records


def test_body_is_kept_byte_by_byte(people: Replica) -> None:
    raw = '{ "@class" : "person","name":"Zoë", "n": 1.10E+2,"@fieldTypes":"n=c"}'.encode()
    people.write(create_in(PERSON, raw))
    assert people.bodies(PERSON) == [raw]


def test_positions_are_never_used_again(people: Replica) -> None:
    people.write(create("Person", name="Ada"))
    people.write(delete(PERSON, 0))
    assert people.write(create("Person", name="Ada")).write.written[0].position == 1


def test_a_batch_sees_itself(people: Replica) -> None:
    people.write(create("Person", name="Ada"), update(PERSON, 0, body("Person", name="Bob")), delete(PERSON, 0))
    assert people.bodies(PERSON) == []
    assert people.index("Person.name") == []


def test_failed_batch_leaves_no_trace(people: Replica) -> None:
    people.write(create("Person", name="Ada"))
    reason, fields = people.refused(write(create("Person", name="Bob"), create("Person", name="Ada")))
    assert (reason, fields) == (
        "DUPLICATE_KEY",
        {"key": '"Ada"', "index": "Person.name", "rid": "#6:0", "other": "#6:2"},
    )
    # Not in the overlay either: the next entry's batch gets the position and the key.
    assert people.write(create("Person", name="Bob")).write.written[0].position == 1


def test_failure_within_an_entry_does_not_touch_its_neighbours(people: Replica) -> None:
    outcomes = people(
        write(create("Person", name="Ada")),
        write(create("Person", name="Bob"), create("Person", name="Ada")),
        write(create("Person", name="Bob")),
    )
    assert [outcome.WhichOneof("outcome") for outcome in outcomes] == ["write", "failure", "write"]
    assert texts(people.bodies(PERSON), "name") == ["Ada", "Bob"]


def test_unique_keys_within_a_batch(people: Replica) -> None:
    people.write(create("Person", name="Ada"), create("Person", name="Bob"))
    # Both ways round: a key that is freed in a batch is free in all of it.
    assert people.write(delete(PERSON, 0), create("Person", name="Ada")).HasField("write")
    assert people.write(create("Person", name="Bob"), delete(PERSON, 1)).HasField("write")
    swap = (update(PERSON, 2, body("Person", name="Bob")), update(PERSON, 3, body("Person", name="Ada")))
    assert people.write(*swap).HasField("write")
    assert [rid[1:] for rid in people.index("Person.name")] == [(PERSON, 3), (PERSON, 2)]
    assert people.refused(write(create("Person", name="x"), create("Person", name="x")))[0] == "DUPLICATE_KEY"


def test_null_is_a_key_unless_ignored(people: Replica) -> None:
    people.write(create("Person"))
    assert people.refused(write(create("Person", name=None)))[1]["key"] == "null"
    people.ok(alter(new_index("Person", "mail", nulls_ignored=True)))
    assert people.index("Person.mail") == []


def test_dictionary_is_taken_over(people: Replica) -> None:
    people.ok(alter(new_class("Word"), new_index("Word", "w", kind="DICTIONARY")))
    people.write(create("Word", w="a"), create("Word", w="a"))
    [(_, cluster, position)] = people.index("Word.w")
    assert position == 1
    # The one that was overtaken does not take the entry with it.
    people.write(delete(cluster, 0))
    assert [rid[2] for rid in people.index("Word.w")] == [1]


def test_stale_version_and_unknown_records(people: Replica) -> None:
    people.write(create("Person", name="Ada"))
    assert people.refused(write(update(PERSON, 0, body("Person"), 7))) == (
        "STALE_VERSION",
        {"rid": "#6:0", "actual": "1", "expected": "7"},
    )
    assert people.refused(write(delete(PERSON, 0, 2)))[0] == "STALE_VERSION"
    assert people.refused(write(delete(PERSON, 9)))[0] == "UNKNOWN_RECORD"
    assert people.refused(write(delete(99, 0)))[0] == "UNKNOWN_RECORD_CLUSTER"
    assert people.refused(write(delete(1 << 31, 0)))[0] == "UNKNOWN_RECORD_CLUSTER"
    assert people.refused(write(create("Nobody")))[0] == "UNKNOWN_CLASS"
    assert people.refused(write(create("Person"), database="none"))[0] == "UNKNOWN_DATABASE"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b'{"@class":"Person"',
        b'{"@class":"Person","a":\xff}',
        b'{"@class":"Person","a":"\xff"}',
        b'{"@class":"Person","a":NaN}',
        b'{"@class":7}',
        b'{"@class":"Person","a":' + b"[" * 201 + b"]" * 201 + b"}",
        b'{"@class":"Person","a":' + b"[" * 9000 + b"]" * 9000 + b"}",
        b'{"name":"no class"}',
        b'{"@class":"V"}',
    ],
)
def test_what_is_no_document_of_the_cluster_is_refused(people: Replica, raw: bytes) -> None:
    assert people.refused(write(create_in(PERSON, raw)))[0] == "INVALID_DOCUMENT"


def test_brackets_in_strings_are_no_nesting(people: Replica) -> None:
    assert people.write(create_in(PERSON, body("Person", name='[{"' * 300))).HasField("write")


def test_blobs_and_documents_without_class(people: Replica) -> None:
    people.write(create_in(3, b"\x00\xff", BLOB), create_in(3, b'{"a":1}'))
    assert people.bodies(3) == [b"\x00\xff", b'{"a":1}']
    people.write(update(3, 0, b"\x01"))
    assert people.bodies(3)[0] == b"\x01"
    assert people.refused(write(create_in(PERSON, b"\x00", BLOB)))[0] == "INVALID_REQUEST"
    assert people.refused(write(create_in(3, body("Person"))))[0] == "INVALID_DOCUMENT"


def test_abstract_class_holds_no_records(people: Replica) -> None:
    people.ok(alter(new_class("Shape", abstract=True)))
    assert people.refused(write(create("Shape")))[0] == "INVALID_REQUEST"


def test_pages_are_stamped_with_the_last_entry_that_touched_them(people: Replica) -> None:
    people.write(*[create_in(3, b"{}") for _ in range(1025)])
    first = people.state.applied[0]
    assert stamps(people) == {(3, 0): first, (3, 1): first}
    people.write(delete(3, 1024))
    second = people.state.applied[0]
    assert stamps(people) == {(3, 0): first, (3, 1): second}
    people.write(update(3, 1023, b"{}"))
    assert stamps(people) == {(3, 0): second + 1, (3, 1): second}
    people(write(update(3, 0, b"{}"), delete(3, 77_777)))
    assert stamps(people) == {(3, 0): second + 1, (3, 1): second}


def test_subclass_records_are_in_the_indexes_of_the_superclass(people: Replica) -> None:
    people.ok(alter(new_class("Employee", super_classes=["person"]), new_index("Person", "city", kind="NOTUNIQUE")))
    people.write(create("Person", name="Ada", city="Rome"), create("Employee", name="Bob", city="Rome"))
    assert [rid[1:] for rid in people.index("Person.city")] == [(6, 0), (7, 0)]
    assert people.refused(write(create("Employee", name="Ada")))[1]["rid"] == "#6:0"
    with people.state.store.view() as view:
        assert view.class_clusters("people", "PERSON") == [6, 7]
        [match] = view.lookup("people", "Person.city", [b'["Rome"]'], 1)
        assert len(match.records) == 1
        assert match.truncated


def test_indexes_by_item_and_by_map_key(people: Replica) -> None:
    tags = db.IndexField(name="tags", key_type="STRING", by=db.IndexField.BY_ITEM)
    names = db.IndexField(name="names", key_type="STRING", by=db.IndexField.BY_MAP_KEY)
    people.ok(
        alter(
            new_class("Tagged"),
            new_index("Tagged", "tags", kind="NOTUNIQUE", fields=[tags]),
            new_index("Tagged", "names", kind="UNIQUE", fields=[names], nulls_ignored=True),
        )
    )
    people.write(create("Tagged", tags=["a", "b", "a"], names={"x": 1, "@type": "d"}), create("Tagged", tags=[]))
    assert [key for key, _, _ in people.index("Tagged.tags")] == [b"\x02a\0\0", b"\x02b\0\0"]
    assert [key for key, _, _ in people.index("Tagged.names")] == [b"\x02x\0\0"]
    people.write(update(7, 0, body("Tagged", tags=["b", "c"], names={"y": 1})))
    assert [key for key, _, _ in people.index("Tagged.tags")] == [b"\x02b\0\0", b"\x02c\0\0"]
    assert people.refused(write(create("Tagged", tags="text")))[0] == "INVALID_DOCUMENT"


def test_composite_unique_key(people: Replica) -> None:
    people.ok(alter(new_class("Seat"), new_index("Seat", "row", "place")))
    people.write(create("Seat", row="a", place="1"), create("Seat", row="a", place="2"))
    assert people.refused(write(create("Seat", row="a", place="2")))[1]["key"] == '["a", "2"]'


def test_decimal_keys_are_exact(people: Replica) -> None:
    price = db.IndexField(name="price", key_type="DECIMAL")
    people.ok(alter(new_class("Item"), new_index("Item", "price", fields=[price])))
    near = b'{"@class":"Item","price":0.1000000000000000000001}'
    assert people.write(create("Item", price=0.1), create_in(7, near)).HasField("write")
    assert people.refused(write(create_in(7, near)))[1]["key"].strip('"') == "0.1000000000000000000001"


CONSTRAINTS = [
    (db.PropertyDefinition(name="p", type="STRING", mandatory=True), {}, "mandatory"),
    (db.PropertyDefinition(name="p", type="STRING", not_null=True), {"p": None}, "null"),
    (db.PropertyDefinition(name="p", type="INTEGER"), {"p": "1"}, "type INTEGER"),
    (db.PropertyDefinition(name="p", type="SHORT"), {"p": 70_000}, "fit type SHORT"),
    (db.PropertyDefinition(name="p", type="LINK"), {"p": "12:3"}, "type LINK"),
    (db.PropertyDefinition(name="p", type="LINKSET"), {"p": {}}, "type LINKSET"),
    (db.PropertyDefinition(name="p", type="INTEGER", min="3"), {"p": 2}, "minimum"),
    (db.PropertyDefinition(name="p", type="DOUBLE", max="3.5"), {"p": 3.6}, "maximum"),
    (db.PropertyDefinition(name="p", type="DOUBLE", max="3.5"), {"p": "Infinity"}, "maximum"),
    (db.PropertyDefinition(name="p", type="DOUBLE"), {"p": "nan"}, "type DOUBLE"),
    (db.PropertyDefinition(name="p", type="DECIMAL"), {"p": "NaN"}, "type DECIMAL"),
    (db.PropertyDefinition(name="p", type="STRING", max="3"), {"p": "four"}, "length 4"),
    (db.PropertyDefinition(name="p", type="EMBEDDEDLIST", min="1"), {"p": []}, "size 0"),
    (db.PropertyDefinition(name="p", type="DATE", min="2020-01-01"), {"p": 0}, "minimum"),
    (db.PropertyDefinition(name="p", type="STRING", regexp="[A-Z]+"), {"p": "Ab"}, "regexp"),
]


@pytest.mark.parametrize(("declared", "fields", "detail"), CONSTRAINTS)
def test_constraints(people: Replica, declared: db.PropertyDefinition, fields: dict[str, object], detail: str) -> None:
    people.ok(alter(new_class("Base", abstract=True, properties=[declared]), new_class("C", super_classes=["Base"])))
    reason, given = people.refused(write(create("C", **fields)))
    assert (reason, given["property"], given["class_name"]) == ("CONSTRAINT_VIOLATED", "p", "Base")
    assert detail in given["detail"]


def test_nan_is_a_double(people: Replica) -> None:
    bounded = db.PropertyDefinition(name="p", type="DOUBLE", min="1", max="2")
    people.ok(alter(new_class("C", properties=[bounded]), new_index("C", "p")))
    assert people.write(create("C", p="NaN")).HasField("write")


def test_read_only(people: Replica) -> None:
    people.ok(alter(new_class("C", properties=[db.PropertyDefinition(name="p", type="LONG", read_only=True)])))
    people.write(create("C", p=1, q=1))
    assert people.write(update(7, 0, body("C", p=1, q=2))).HasField("write")
    assert people.refused(write(update(7, 0, body("C", p=2))))[0] == "CONSTRAINT_VIOLATED"


def test_a_record_may_expect_its_position(people: Replica) -> None:
    name, link = body("Person", name="Ada"), b'{"link":"#3:1"}'
    first = people.write(create_in(3, b"{}", position=0)).write.written[0]
    assert (first.position, first.version) == (0, 1)
    # The whole batch is refused where others were quicker, and nothing of it stays.
    before = content(people.state.store)
    assert people.refused(write(create_in(3, link, position=1), create_in(3, b"{}", position=1)))[0] == "POSITION_TAKEN"
    assert people.refused(write(create_in(3, name, position=0)))[0] != ""
    assert people.refused(write(create_in(3, b"{}", position=5)))[0] == "POSITION_TAKEN"
    assert content(people.state.store) == before
    both = people.write(create_in(3, b'{"next":"#3:2"}', position=1), create_in(3, b"{}", position=2))
    assert [record.position for record in both.write.written] == [1, 2]


def test_records_of_equal_prefix_databases_do_not_mix(people: Replica) -> None:
    people.ok(new_database("other"))
    people.write(create_in(3, b'{"a":1}'))
    people.write(create_in(3, b'{"b":1}'), database="other")
    assert people.bodies(3) == [b'{"a":1}']
    assert people.bodies(3, "other") == [b'{"b":1}']
    assert len(list(people.state.store.engine.scan(RECORDS, b"", keys.after(b"")))) == 2
