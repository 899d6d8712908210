"""No command, however odd, may end a replica: an entry stays in the log, so all would end, again after each restart."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from state_entries import (
    BLOB,
    DOCUMENT,
    Entry,
    Replica,
    alter,
    command,
    content,
    create,
    create_in,
    delete,
    entry,
    new_class,
    new_database,
    new_index,
    update,
    write,
)

from nodes.statemachine import ReplicatedState, commands, replicated_state
from nodes.store import index_fill
from nodes.store.constraints import PROPERTY_TYPES
from nodes.store.index_key import KEY_TYPES
from quiesce.errors import QuiesceError
from quiesce.v1 import database_pb2 as db
from quiesce.v1 import node_pb2, peer_pb2, record_pb2


def mostly(common: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What gets past the first check nine times in ten; or else nothing behind it is ever reached."""
    return st.integers(0, 9).flatmap(lambda die: odd if die == 9 else common)


EDGES = (0, 1, 2, 2**15 - 1, 2**15, 2**16 - 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
U32 = st.sampled_from(EDGES) | st.integers(0, 8) | st.integers(0, 2**32 - 1)
U64 = st.sampled_from((*EDGES, 2**32, 2**63 - 1, 2**63, 2**64 - 1)) | st.integers(0, 5) | st.integers(0, 2**64 - 1)
CLUSTERS = mostly(st.integers(3, 10), U32)
POSITIONS = mostly(st.integers(0, 2), U64)
ENUMS = mostly(st.integers(0, 3), st.sampled_from((-(2**31), -1, 4, 2**31 - 1)))


ODD = (
    "",
    " ",
    "\0",
    "a\0b",
    'a"b',
    "a\\b",
    "a\nb",
    "@class",
    "@rid",
    "@fieldTypes",
    "İ",
    "ß",
    "ΑΣ",
    "é",
    "e\u0301",
    "😀",
    "\u202e",
    "\ufffe",
    "#1:2",
    "a" * 600,
    "\x7f",
    "system",
    "null",
)
TEXTS = st.sampled_from(ODD) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
DATABASES = mostly(st.just("people"), st.sampled_from(("filling", "other")) | TEXTS)
CLASSES = mostly(st.sampled_from(("A", "B", "C", "a")), st.just("V") | TEXTS)
FIELDS = mostly(st.sampled_from(("k", "l", "m", 'a"b')), st.just("@class") | TEXTS)
INDEX_NAMES = mostly(st.sampled_from(("i", "j", "h", "A.k", "A.l", "B.k")), TEXTS)
TYPES = mostly(
    st.sampled_from(sorted({*PROPERTY_TYPES, *KEY_TYPES, ""})), st.sampled_from(("string", "NOSUCH")) | TEXTS
)
BOUNDS = (
    st.sampled_from(
        (
            "",
            "0",
            "-1",
            "5",
            "1e999999999",
            "-1e999999999",
            "1e-999999999999999999",
            "NaN",
            "sNaN",
            "Infinity",
            "1_0",
            "٣",
            "2020-01-01",
            "0001-01-01",
            "9999-12-31 23:59:59",
            "0000-00-00",
            "2020-01-01 00:00:00:9999999",
            "1" * 5000,
        )
    )
    | TEXTS
)
PATTERNS = (
    st.sampled_from(
        (
            "",
            "a*",
            "(",
            "(?L)a",
            "(?i)ß+",
            "(?=a)",
            "(a)\\1",
            "(a|b)*c",
            "a{4294967295}",
            "a{1,99999999}",
            "(?a)(?u)",
            "\\N{x}",
            "((a?){9}){9}",
            "(" * 50 + ")" * 50,
            "(|" * 99 + ")" * 99,
            "(|" * 400 + ")" * 400,
            "a?" * 3000,
            "[\0-\U0010ffff]",
            "a++",
        )
    )
    | TEXTS
)

NUMBERS = st.sampled_from(
    (
        "0",
        "-0",
        "-0.0",
        "1",
        "1.0",
        "10E-1",
        "0.1",
        "1e999999999",
        "-1e-999999999",
        "0e999999999",
        "1e99999999999999999999",
        "1e308",
        "1e309",
        "127",
        "128",
        str(2**63),
        str(-(2**63)),
        str(2**64),
        "9" * 300,
        "9" * 4300,
        "9" * 5000,
        "01",
        "1.",
        "-",
        "NaN",
        "Infinity",
        "1e",
        "0." + "3" * 20000,
    )
)
STRINGS = st.sampled_from(
    (
        '""',
        '"a"',
        '"A"',
        '"\\u0000"',
        '"\\ud800"',
        '"\\ud83d\\ude00"',
        '"\\q"',
        '"#1:2"',
        '"#99999:1"',
        '"#1:99999999999999999999"',
        '"#-1:-1"',
        '"YQ=="',
        '"Y"',
        '"=== "',
        '"2020-01-01"',
        '"' + "x" * 20000 + '"',
        '"ß"',
        '"',
        "'a'",
    )
)
VALUES = st.recursive(
    NUMBERS | STRINGS | st.sampled_from(("true", "false", "null", "", "nul", "{}", "[]", '{"@type":"d"}')),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(STRINGS, inner), max_size=3).map(
            lambda items: "{" + ",".join(f"{name}:{value}" for name, value in items) + "}"
        )
    ),
    max_leaves=6,
) | st.sampled_from(("[" * 150 + "]" * 150, "[" * 300 + "]" * 300, "[" * 2000, "[" * 100_000 + "]" * 100_000))
NAMES_IN_JSON = (
    st.sampled_from(('"k"', '"k"', '"l"', '"m"', '"a\\"b"', '"\\u006b"', '"@fieldTypes"', '"@class"', '""')) | STRINGS
)
RAW = st.binary(max_size=12) | st.sampled_from((b"", b"null", b"[]", b"\xef\xbb\xbf{}", b'{"k":"\xff"}', b"{} {}"))


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    if draw(st.integers(0, 9)) == 0:
        return draw(RAW)
    members = [f"{name}:{value}" for name, value in draw(st.lists(st.tuples(NAMES_IN_JSON, VALUES), max_size=4))]
    of = draw(st.sampled_from(("", "", '"@class":"A"', '"@class":"B"', '"@class":"a"', '"@class":null', '"@class":1')))
    return ("{" + ",".join(([of] if of else []) + members) + "}").encode("utf-8", "surrogatepass")


@st.composite
def good_bodies(draw: st.DrawFn) -> bytes:
    """Bodies that get past the first checks: their values are of any kind."""
    of = draw(st.sampled_from(("", '"@class":"A"', '"@class":"A"', '"@class":"B"', '"@class":"C"')))
    names = draw(st.lists(st.sampled_from(('"k"', '"l"', '"m"', '"a\\"b"')), max_size=3, unique=True))
    values = st.sampled_from(
        (
            "1",
            "2.50",
            "true",
            "null",
            '"x"',
            '"X"',
            '["x","y",null]',
            '{"x":1,"@y":2}',
            "0e999999999",
            "1e999999999",
            '"#1:2"',
        )
    )
    return ("{" + ",".join(([of] if of else []) + [f"{name}:{draw(values)}" for name in names]) + "}").encode()


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return mostly(st.none(), values)


BODIES = st.one_of(good_bodies(), good_bodies(), good_bodies(), bodies())
KINDS = mostly(st.just(DOCUMENT), st.just(BLOB) | ENUMS)
CREATES = st.builds(
    record_pb2.Create, cluster=CLUSTERS, kind=KINDS, body=BODIES, position=maybe(POSITIONS), version=maybe(U32)
) | st.builds(record_pb2.Create, class_name=st.just("A"), kind=KINDS, body=BODIES)
OPERATIONS = st.one_of(
    st.builds(record_pb2.Operation, create=CREATES),
    st.builds(
        record_pb2.Operation,
        update=st.builds(
            record_pb2.Update, cluster=CLUSTERS, position=POSITIONS, expected_version=maybe(U32), body=BODIES
        ),
    ),
    st.builds(
        record_pb2.Operation,
        delete=st.builds(record_pb2.Delete, cluster=CLUSTERS, position=POSITIONS, expected_version=maybe(U32)),
    ),
    CREATES.map(lambda create: record_pb2.Operation(create=create)),
    st.just(record_pb2.Operation()) | CREATES.map(lambda create: record_pb2.Operation(create=create)),
)
PROPERTIES = st.builds(
    db.PropertyDefinition,
    name=FIELDS,
    type=TYPES,
    mandatory=st.booleans(),
    read_only=st.booleans(),
    not_null=st.booleans(),
    linked_class=CLASSES,
    linked_type=TYPES,
    min=maybe(BOUNDS),
    max=maybe(BOUNDS),
    collate=st.sampled_from(("", "ci", "CI", "default")) | TEXTS,
    default_value=maybe(BOUNDS),
    regexp=maybe(PATTERNS),
    custom_fields=st.dictionaries(TEXTS, TEXTS, max_size=2),
)
CLASS_DEFINITIONS = st.builds(
    db.ClassDefinition,
    name=CLASSES,
    super_classes=st.lists(CLASSES, max_size=3),
    abstract=st.booleans(),
    cluster_ids=st.lists(CLUSTERS, max_size=3),
    default_cluster_id=maybe(CLUSTERS),
    properties=st.lists(PROPERTIES, max_size=2),
    cluster_selection=TEXTS,
    oversize=st.floats(width=32),
)
INDEX_DEFINITIONS = st.builds(
    db.IndexDefinition,
    name=INDEX_NAMES,
    type=st.sampled_from(
        ("UNIQUE", "NOTUNIQUE", "DICTIONARY", "UNIQUE_HASH_INDEX", "dictionary_hash_index", "FULLTEXT", "")
    ),
    algorithm=st.sampled_from(("", "SBTREE", "LUCENE")),
    class_name=CLASSES,
    fields=st.lists(
        st.builds(
            db.IndexField,
            name=FIELDS,
            key_type=TYPES,
            collate=st.sampled_from(("", "ci", "x")),
            by=ENUMS,
            nulls_ignored=st.booleans(),
        ),
        max_size=3,
    ),
    nulls_ignored=st.booleans(),
    maintained=st.booleans(),
    metadata=RAW,
    id=U32,
)
CHANGES = st.one_of(
    st.builds(db.SchemaChange, create_cluster=st.builds(db.Cluster, id=CLUSTERS, name=TEXTS, next_position=U64)),
    st.builds(db.SchemaChange, drop_cluster=st.sampled_from(("a", "b", "default", "v")) | TEXTS),
    st.builds(db.SchemaChange, create_class=CLASS_DEFINITIONS),
    st.builds(db.SchemaChange, drop_class=CLASSES),
    st.builds(db.SchemaChange, create_property=st.builds(db.CreateProperty, class_name=CLASSES, property=PROPERTIES)),
    st.builds(db.SchemaChange, drop_property=st.builds(db.DropProperty, class_name=CLASSES, name=FIELDS)),
    st.builds(db.SchemaChange, create_index=INDEX_DEFINITIONS),
    st.builds(db.SchemaChange, drop_index=INDEX_NAMES),
    st.builds(db.SchemaChange, preserve=st.builds(db.PreserveSection, section=TEXTS, json=RAW)),
    st.just(db.SchemaChange()),
)
SESSIONS = mostly(st.sampled_from((0, 0, 0, 1 << 16)), U64)
WRITES = st.builds(
    record_pb2.WriteRequest,
    database=DATABASES,
    operations=st.lists(OPERATIONS, min_size=1, max_size=3),
    session_id=SESSIONS,
    sequence=U64,
    acknowledged_through=U64,
)
ALTERS = st.builds(db.AlterSchemaRequest, database=DATABASES, changes=st.lists(CHANGES, min_size=1, max_size=2))
EPOCHS = st.integers(1, 8) | U64
KINDS_OF_COMMAND: dict[str, st.SearchStrategy[Any]] = {
    "open_session": st.builds(record_pb2.OpenSessionRequest, client=TEXTS),
    "write": WRITES,
    "create_database": st.builds(db.CreateDatabaseRequest, name=DATABASES, importing=st.booleans()),
    "drop_database": st.builds(db.DropDatabaseRequest, name=mostly(st.just("filling"), DATABASES)),
    "alter_schema": ALTERS,
    "publish_database": st.builds(db.PublishDatabaseRequest, name=DATABASES),
    "drain": st.builds(node_pb2.DrainRequest, node_id=U64, owner=TEXTS, reason=TEXTS, ttl_ms=U64),
    "renew_drain": st.builds(node_pb2.RenewDrainRequest, epoch=EPOCHS, ttl_ms=U64),
    "undrain": st.builds(node_pb2.UndrainRequest, epoch=EPOCHS),
    "checkpoint": st.builds(node_pb2.CheckpointRequest, epoch=EPOCHS),
    "advance_clock": st.builds(peer_pb2.AdvanceClock),
}
TIMES = st.integers(0, 10) | U64
# What reaches furthest comes most often.
WEIGHTED = [*KINDS_OF_COMMAND, *["write"] * 20, *["alter_schema"] * 20, "none"]
COMMANDS = st.sampled_from(WEIGHTED).flatmap(
    lambda kind: st.builds(
        peer_pb2.Command,
        time_ms=mostly(st.just(0), TIMES),
        **({kind: KINDS_OF_COMMAND[kind]} if kind in KINDS_OF_COMMAND else {}),
    )
)
LOOKUP_KEYS = (VALUES.map(lambda value: f"[{value}]".encode("utf-8", "surrogatepass"))) | RAW


def prelude() -> list[peer_pb2.Command]:
    """Two databases with something in them, so that not everything fails at its name."""
    part = db.IndexField(name="k", key_type="ANY")
    return [
        command(open_session=record_pb2.OpenSessionRequest(client="c")),
        new_database(),
        new_database("filling", importing=True),
        alter(
            db.SchemaChange(create_cluster=db.Cluster(id=7, name="seven")),
            new_class("A"),
            new_class("B", super_classes=["A"]),
            new_index("A", "k", fields=[part]),
            new_index("A", "l", kind="DICTIONARY"),
            new_index("B", "k", kind="NOTUNIQUE", fields=[part]),
        ),
        alter(db.SchemaChange(create_cluster=db.Cluster(id=3, name="default")), new_class("A"), database="filling"),
        write(create("A", k=1, l="x"), create("B", k="b", l="y"), create_in(7, b'{"k":"z","l":"x"}')),
    ]


def apply_all(state: ReplicatedState, entries: list[Entry]) -> list[peer_pb2.Outcome]:
    return [outcome for _, outcome in state.apply(entries)]


def read_all(state: ReplicatedState, keys: list[bytes]) -> None:
    """Read everything in every way; only typed errors may come."""
    with state.store.view() as view:
        for database in view.databases():
            for cluster in database.clusters:
                tried(lambda c=cluster, d=database: list(view.scan_cluster(d.name, c.id)))
            for index in database.indexes:
                tried(lambda i=index, d=database: list(view.scan_index(d.name, i.name)))
                for key in keys:
                    tried(lambda i=index, d=database, k=key: view.lookup(d.name, i.name, [k], 0))


def tried(read: Any) -> None:
    try:
        read()
    except QuiesceError as error:
        assert error.exit_code < 70, error  # noqa: PT017 most reads succeed


@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.lists(COMMANDS, min_size=4, max_size=8), st.lists(LOOKUP_KEYS, max_size=2), st.data())
def test_no_command_ends_a_replica(sent: list[peer_pb2.Command], keys: list[bytes], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        # So that what fills an index is written in parts.
        patch.setattr(index_fill, "BATCH_ENTRIES", 1)
        patch.setattr(replicated_state, "FLUSH_INDEX_BYTES", 1)
        # The second line of defence would hide what the first lets through.
        patch.setattr(commands, "_FAULTS", ())
        single = ReplicatedState(Path(directory, "single"), 1)
        everything = [*prelude(), *sent]
        outcomes: list[peer_pb2.Outcome] = []
        for index, it in enumerate(everything, 1):
            before = content(single.store)
            # Whatever the clock expires is no trace of the command itself.
            moves = it.time_ms > single.store.state.log_time_ms
            [outcome] = apply_all(single, [entry(index, it)])
            assert outcome.WhichOneof("outcome")
            if outcome.HasField("failure") and not moves and not it.write.session_id:
                assert content(single.store) == before, outcome
            if index == len(prelude()):
                assert not any(was.HasField("failure") for was in outcomes), outcomes
            outcomes.append(outcome)
        read_all(single, keys)
        expected = content(single.store, progress=True)
        single.close()
        again = ReplicatedState(Path(directory, "single"), 1)
        assert content(again.store, progress=True) == expected
        again.close()
        # The same entries, handed over in other groups, and with a restart between.
        grouped = ReplicatedState(Path(directory, "grouped"), 2)
        entries = [entry(index, it) for index, it in enumerate(everything, 1)]
        cut = data.draw(st.integers(0, len(entries)))
        found = apply_all(grouped, entries[:cut])
        grouped.close()
        grouped = ReplicatedState(Path(directory, "grouped"), 2)
        found += apply_all(grouped, entries[cut:])
        assert content(grouped.store, progress=True) == expected
        assert found == outcomes
        grouped.close()


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
    replica.ok(write(create_in(3, b"{}", position=2**63 - 1), database="filling"))
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
