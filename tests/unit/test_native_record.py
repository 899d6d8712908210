"""Records on their way into the store: the quick way and the careful one agree."""

from __future__ import annotations

import struct

import pytest
from hostile_commands import BODIES
from hypothesis import example, given
from hypothesis import strategies as st

from quiesce._native import doubtful_bodies, stored_records
from quiesce.errors import InvalidDocument
from quiesce.indexing.body import class_of


@given(st.lists(BODIES, max_size=6))
@example([b'{"@class":1}', b'{"\\u0040class":1}', b'{"a":{"@class":1}}', b'{"@class":"A","@class":null}'])
@example([b'{"a":"\xff"}', b'{"a":"\\ud800"}', b'{"a":01}', b'{"a":1,}', b'{"a":"\n"}', b"{} {}", b" {} ", b"{", b""])
def test_what_is_beyond_doubt_is_a_document(bodies: list[bytes]) -> None:
    doubtful = doubtful_bodies(bodies)
    for place, body in enumerate(bodies):
        if place not in doubtful:
            class_of(body, "")


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"@class":"A","a":[1,-2.5e+3,true,false,null,"x\\n\\u00e9",{"b":{}}]}',
        ' { "é" : "\\"" , "@type" : "d" } '.encode(),
    ],
)
def test_ordinary_documents_are_beyond_doubt(body: bytes) -> None:
    assert doubtful_bodies([body]) == []


@pytest.mark.parametrize("levels", [101, 102, 201, 100_000])
def test_deep_ones_are_looked_at(levels: int) -> None:
    body = b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"
    assert doubtful_bodies([body]) == ([] if levels <= 101 else [0])
    if levels > 200:
        with pytest.raises(InvalidDocument):
            class_of(body, "")


@given(
    st.dictionaries(st.integers(0, 2**63 - 1), st.tuples(st.integers(0, 2**31 - 1), st.binary(max_size=9)), max_size=9),
    st.integers(1, 2),
)
def test_records_are_packed_as_the_format_says(given_: dict[int, tuple[int, bytes]], kind: int) -> None:
    cluster = struct.pack(">IH", 7, 14)
    positions = sorted(given_)
    versions, bodies = [given_[one][0] for one in positions], [given_[one][1] for one in positions]
    found = stored_records(cluster, kind, positions, versions, bodies)
    assert list(found.items()) == [
        (struct.pack(">IHQ", 7, 14, position), struct.pack(">IB", version, kind) + body)
        for position, version, body in zip(positions, versions, bodies, strict=True)
    ]
