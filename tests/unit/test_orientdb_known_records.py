"""The quick look at links finds what the careful one finds."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from quiesce._native import KnownRecords
from quiesce.orientdb.links import LinkCheck, LinkWalk
from quiesce.orientdb.record_text import ExportedRecord
from quiesce.orientdb.rid_set import RidSet
from quiesce.v1.record_pb2 import RecordKind

DOCUMENT, BLOB = RecordKind.RECORD_KIND_DOCUMENT, RecordKind.RECORD_KIND_BLOB
WALK = LinkWalk({"A": {"b": "LINKLIST"}}, untyped=True)
NUMBERS = st.integers(-2, 12).map(str) | st.sampled_from(
    ["", "007", "18446744073709551615", "18446744073709551616", "٥"]
)
TEXTS = st.one_of(
    st.builds("#{}:{}".format, NUMBERS, NUMBERS),
    st.builds(
        "{}#{}:{}{}".format, st.sampled_from(["", " ", "#", '"']), NUMBERS, NUMBERS, st.sampled_from(["", " ", '"'])
    ),
    st.text('#:"\\-123é', max_size=6),
)
VALUES = TEXTS | st.lists(TEXTS, max_size=4) | st.dictionaries(TEXTS, TEXTS, max_size=2)
DOCUMENTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=3)
RIDS = st.sets(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=60)


def body(document: dict[str, object], form: str) -> bytes:
    text = json.dumps({"@class": "A", **document}, ensure_ascii=form != "utf-8").encode()
    return text.replace(b'"#1', b'"\\u00231') if form == "escaped" else text


BODIES = st.builds(body, DOCUMENTS, st.sampled_from(["utf-8", "ascii", "escaped"]))


@given(RIDS, RIDS, RIDS, st.lists(st.tuples(st.sampled_from([DOCUMENT, DOCUMENT, BLOB]), BODIES)), st.booleans())
@example({(1, 1)}, set(), set(), [(DOCUMENT, b'{"a":["#1:1","#1:1"]}')], False)
@example({(1, 1)}, set(), set(), [(DOCUMENT, b'{"a":"#1:1","b":"#1:2"}')], False)
@example({(1, 1)}, {(1, 1)}, set(), [(DOCUMENT, b'{"a":"#1:1"}')], False)
@example({(1, 1)}, set(), {(1, 1)}, [(DOCUMENT, b'{"a":"#1:1"}')], False)
def test_both_looks_agree(
    held: set[tuple[int, int]],
    apart: set[tuple[int, int]],
    skipped: set[tuple[int, int]],
    bodies: list[tuple[RecordKind.ValueType, bytes]],
    moving: bool,
) -> None:
    rids = RidSet()
    rids.add(sorted(held))
    rids.close()

    def resolves(rid: tuple[int, int]) -> bool:
        return rid in rids and rid not in apart and rid not in skipped

    def moved(rid: tuple[int, int]) -> tuple[int, int]:
        return rid[0] + 100, rid[1] + 1

    later: set[tuple[int, int]] = set()
    known = KnownRecords(rids.runs(range(13)), frozenset(apart), later)
    later |= skipped
    records = [ExportedRecord(14, at, 1, kind, raw, at) for at, (kind, raw) in enumerate(bodies)]
    careful = LinkCheck(resolves, WALK, moved if moving else None)
    quick = LinkCheck(resolves, WALK, moved if moving else None, known)
    assert quick.look_at(records) == careful.look_at(records)
    assert (quick.resolved, quick.dangling) == (careful.resolved, careful.dangling)
    assert (quick.listed, quick.reach) == (careful.listed, careful.reach)


def test_clusters_that_were_not_named_are_not_known() -> None:
    rids = RidSet()
    rids.add([(1, 1), (2, 1)])
    rids.close()
    known = KnownRecords(rids.runs([2, 3]), frozenset(), set())
    records = [ExportedRecord(14, 0, 1, DOCUMENT, b'{"a":"#%d:1"}' % cluster, 0) for cluster in (1, 2, 3)]
    assert known.look(records, DOCUMENT, False) == (1, [0, 2])
