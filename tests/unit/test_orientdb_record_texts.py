"""RecordTexts of quiesce._native: the quick way of records into an export writes what the careful way writes."""

from __future__ import annotations

import json

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from record_strategies import documents

from quiesce._native import RecordTexts
from quiesce.orientdb.cluster_ids import ClusterIds
from quiesce.orientdb.layout import STUBS
from quiesce.orientdb.record_form import format_record
from quiesce.records import encode_document
from quiesce.records.rid import MAX_POSITION
from quiesce.v1.database_pb2 import Cluster, Database
from quiesce.v1.record_pb2 import Record, RecordKind, ScanResponse

DOCUMENT = RecordKind.RECORD_KIND_DOCUMENT
BLOB = RecordKind.RECORD_KIND_BLOB
FLAT = frozenset({"#0:5", "#4:5", "#14:5"})
SEPARATOR = b",\n"
MOVED = {4: 21, 21: 4, 12: 5}

# What a text is made of that takes care: escapes, values that are traps, links, and what JSON has not.
_PIECES = [
    '"', "\\", "\\\\", '\\"', "\\u0022", "\\u005C", "\\u0041", "\\u00E9", "\\u00e9", "\\uD83D\\uDE00", "\\u12", "\\b",
    "\\f", "\\n", "\\r", "\\t", "\\/", "/", "\\x", "é", "😀", "\x7f", "\u2028", "\x00", "\x1f", "\n", "\r", "\t", " ",
    "{", "}", "[", "]", ":", ",", "=", "=b", "==b", '"a":-128,', '"a":"",', '"@fieldTypes":"a=b"', ":-10", ":-1000,",
    '"#4:1"', '"#4:x"', "#4:1", '"#14:1"', '"#41:1"', '"#21:7"', '"\\u00234:1"', "4", "true",
]  # fmt: skip
pieces = st.lists(st.sampled_from(_PIECES), max_size=12).map("".join)


def _json(document: bytes) -> st.SearchStrategy[bytes]:
    """The same document as several writers would have it."""
    value = json.loads(document)
    return st.sampled_from(
        [
            document,
            json.dumps(value, separators=(",", ":")).encode(),
            json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(),
            json.dumps(value).encode(),
            json.dumps(value, indent=1).encode(),
        ]
    )


_documents = documents.map(encode_document).flatmap(_json)
bodies = st.one_of(
    _documents,
    pieces.map(lambda text: json.dumps({"a": text}, separators=(",", ":"), ensure_ascii=False).encode()),
    pieces.map(lambda text: ("{" + text + "}").encode()),
    pieces.map(str.encode),
    st.binary(max_size=20),
)
records = st.builds(
    Record,
    cluster=st.sampled_from([0, 3, 4, 12, 14, 21, 32_767]),
    position=st.integers(0, 6) | st.integers(0, MAX_POSITION),
    version=st.integers(0, 2**31 - 1),
    kind=st.sampled_from([DOCUMENT, DOCUMENT, DOCUMENT, BLOB]),
    body=bodies,
)


def careful_way(found: list[Record], wanted: list[int] | None, ids: ClusterIds) -> tuple[bytes, list[tuple[int, int]]]:
    texts, counts = [], []
    for one in found:
        if (one.cluster, one.position) in STUBS or (wanted is not None and one.cluster not in wanted):
            continue
        texts.append(SEPARATOR + format_record(one, FLAT, ids))
        if counts and counts[-1][0] == one.cluster:
            counts[-1] = (one.cluster, counts[-1][1] + 1)
        else:
            counts.append((one.cluster, 1))
    return b"".join(texts), counts


def writer(wanted: list[int] | None, ids: ClusterIds, seen: list[Record]) -> RecordTexts:
    def careful(cluster: int, position: int, version: int, kind: int, body: bytes) -> bytes | None:
        one = Record(cluster=cluster, position=position, version=version, kind=kind, body=body)  # type: ignore[arg-type]
        seen.append(one)
        return None if (cluster, position) in STUBS else format_record(one, FLAT, ids)

    return RecordTexts(
        separator=SEPARATOR, apart=list(STUBS), wanted=wanted, moved=list(ids.ids.items()), careful=careful
    )


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@settings(deadline=None, max_examples=1000)
@given(
    found=st.lists(records, max_size=6),
    wanted=st.none() | st.just([3, 4, 14]),
    moved=st.sampled_from([{}, MOVED]),
    first=st.booleans(),
)
@example(
    found=[Record(cluster=14, kind=DOCUMENT, body=b'{"a":"","@fieldTypes":"a=b"}')], wanted=None, moved={}, first=False
)
@example(found=[Record(cluster=14, kind=DOCUMENT, body=b"{\\/")], wanted=None, moved={}, first=False)
@example(found=[Record(cluster=14, kind=DOCUMENT, body=b'{"a":"\\u00234:1"}')], wanted=None, moved=MOVED, first=False)
def test_both_ways_write_the_same(
    found: list[Record], wanted: list[int] | None, moved: dict[int, int], first: bool
) -> None:
    ids = ClusterIds(moved)
    database = Database(name="d", clusters=[Cluster(id=3)]) if first else None
    message = ScanResponse(index=42, records=found, database=database).SerializeToString()
    texts = writer(wanted, ids, [])
    try:
        expected = careful_way(found, wanted, ids)
    except ValueError as error:
        # The body is not JSON in UTF-8.
        with pytest.raises(type(error)):
            texts.of(message)
    else:
        assert texts.of(message) == (42, *expected)


@pytest.mark.parametrize("moved", [{}, MOVED])
@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"@class":"Person","number":7,"out_Knows":["#15:1","#15:2"],"@fieldTypes":"out_Knows=g,number=l"}',
        '{"text":"Zoë 😀 \\n \\u0022 \\\\","flag":true,"none":null,"at":-128.5E-3}',
        '{"byte":-99,"@fieldTypes":"byte=b"}',
    ],
)
def test_what_is_plain_goes_the_quick_way(body: str, moved: dict[int, int]) -> None:
    seen: list[Record] = []
    found = [Record(cluster=12, position=MAX_POSITION, version=0, kind=DOCUMENT, body=body.encode())]
    writer(None, ClusterIds(moved), seen).of(ScanResponse(records=found).SerializeToString())
    assert seen == []


@settings(deadline=None)
@given(count=st.integers(0, 4), cut=st.integers(0, 60))
def test_a_message_is_read_as_protobuf_reads_it(count: int, cut: int) -> None:
    """A part of one, too, which is a message where it ends between two fields."""
    found = [Record(cluster=9, position=300 * at, version=at, kind=DOCUMENT, body=b"{}") for at in range(count)]
    message = ScanResponse(index=300, records=found).SerializeToString()[:cut]
    texts = writer(None, ClusterIds({}), [])
    try:
        expected = ScanResponse.FromString(message)
    except DecodeError:
        with pytest.raises(ValueError, match="decode"):
            texts.of(message)
    else:
        assert texts.of(message) == (expected.index, *careful_way(list(expected.records), None, ClusterIds({})))


@pytest.mark.parametrize(
    "message", [b"\x12\x05\x08", b"\x12\x02\x2a\x05", b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x08"]
)
def test_a_message_that_is_cut_short_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match="decode"):
        writer(None, ClusterIds({}), []).of(message)
