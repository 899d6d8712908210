"""Commands that nobody in his right mind sends: strategies for tests."""

from typing import Any

from hypothesis import strategies as st
from state_entries import (
    BLOB,
    DOCUMENT,
)

from nodes.store.constraints import PROPERTY_TYPES
from quiesce.indexing.key import KEY_TYPES
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
    record_pb2.Create, cluster=CLUSTERS, kind=KINDS, body=BODIES, position=maybe(POSITIONS)
) | st.builds(record_pb2.Create, class_name=st.just("A"), kind=KINDS, body=BODIES)


@st.composite
def fills(draw: st.DrawFn) -> record_pb2.Fill:
    """Mostly whole ones; some with parts missing, out of order, or twice."""
    one = st.tuples(mostly(st.integers(0, 9), POSITIONS), mostly(st.just(1), U32), BODIES)
    records = draw(st.lists(one, max_size=4))
    if draw(st.integers(0, 4)):
        records = sorted({one[0]: one for one in records}.values())
    found = record_pb2.Fill(cluster=draw(CLUSTERS), kind=draw(KINDS))
    found.positions.extend(one[0] for one in records)
    found.versions.extend(one[1] for one in records[draw(mostly(st.just(0), st.just(1))) :])
    found.bodies.extend(one[2] for one in records)
    return found


OPERATIONS = st.one_of(
    st.builds(record_pb2.Operation, fill=fills()),
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
    st.builds(db.SchemaChange, create_cluster=st.builds(db.Cluster, id=CLUSTERS, name=TEXTS, importing=st.booleans())),
    st.builds(db.SchemaChange, publish_cluster=TEXTS),
    st.builds(db.SchemaChange, discard_cluster=TEXTS),
    st.builds(db.SchemaChange, add_cluster=st.builds(db.AddCluster, class_name=TEXTS, cluster=TEXTS)),
    st.builds(db.SchemaChange, reserve_ids=st.builds(db.ReserveIds, cluster=CLUSTERS, next_position=U64)),
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
NODE_IDS = mostly(st.integers(1, 9), U64)
ADDRESSES = mostly(
    st.integers(1, 10).map(lambda port: f"n:{port}"),
    st.sampled_from(
        ("n:0", "n:65536", "n", ":1", "[::1]:1", "::1:1", "n:" + "9" * 5000, "n" * 5000 + ":1", "n\n:1", "a,b:1")
    )
    | TEXTS,
)
MEMBERS = st.builds(peer_pb2.Membership.Node, node_id=NODE_IDS, address=ADDRESSES, learner=st.booleans())
MEMBERSHIPS = st.builds(
    peer_pb2.Membership, nodes=st.lists(MEMBERS, max_size=10), removed=mostly(st.just([]), st.lists(U64, max_size=3))
)
MEMBERSHIP_CHANGES = st.one_of(
    st.builds(peer_pb2.MembershipChange, add=MEMBERS),
    st.builds(peer_pb2.MembershipChange, promote=NODE_IDS),
    st.builds(peer_pb2.MembershipChange, remove=NODE_IDS),
    st.just(peer_pb2.MembershipChange()),
)
KINDS_OF_COMMAND: dict[str, st.SearchStrategy[Any]] = {
    "open_session": st.builds(record_pb2.OpenSessionRequest, client=TEXTS),
    "write": WRITES,
    "create_database": st.builds(db.CreateDatabaseRequest, name=DATABASES, importing=st.booleans()),
    "drop_database": st.builds(db.DropDatabaseRequest, name=mostly(st.just("filling"), DATABASES)),
    "alter_schema": ALTERS,
    "publish_database": st.builds(db.PublishDatabaseRequest, name=DATABASES),
    "drain": st.builds(node_pb2.DrainRequest, node_id=U64, owner=TEXTS, reason=TEXTS, ttl_ms=U64),
    "renew_drain": st.builds(
        node_pb2.RenewDrainRequest, epoch=EPOCHS, ttl_ms=U64, fence=EPOCHS, take_over_as=mostly(st.just(""), TEXTS)
    ),
    "undrain": st.builds(node_pb2.UndrainRequest, epoch=EPOCHS, fence=EPOCHS),
    "checkpoint": st.builds(node_pb2.CheckpointRequest, epoch=EPOCHS, fence=EPOCHS),
    "advance_clock": st.builds(peer_pb2.AdvanceClock),
    "change_membership": MEMBERSHIP_CHANGES,
    "adopt_membership": MEMBERSHIPS,
    "change_addresses": MEMBERSHIPS,
}
TIMES = st.integers(0, 10) | U64
# What reaches furthest comes most often.
WEIGHTED = [*KINDS_OF_COMMAND, *["write"] * 20, *["alter_schema"] * 20, *["change_membership"] * 3, "none"]
COMMANDS = st.sampled_from(WEIGHTED).flatmap(
    lambda kind: st.builds(
        peer_pb2.Command,
        time_ms=mostly(st.just(0), TIMES),
        **({kind: KINDS_OF_COMMAND[kind]} if kind in KINDS_OF_COMMAND else {}),
    )
)
LOOKUP_KEYS = (VALUES.map(lambda value: f"[{value}]".encode("utf-8", "surrogatepass"))) | RAW
