from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiesce.snapshot import PAGE_POSITIONS, MalformedObject, decode_segment, encode_page, segment_records
from quiesce.snapshot.segment import SEGMENT_BYTES

_fields = st.tuples(st.integers(0, 2**32 - 1), st.sampled_from([1, 2]), st.binary(max_size=300))
pages = st.integers(0, 2**40)
records = st.dictionaries(st.integers(0, PAGE_POSITIONS - 1), _fields, max_size=60)


def rows_of(page: int, found: dict[int, tuple[int, int, bytes]]) -> list[tuple[int, int, int, bytes]]:
    return [(page * PAGE_POSITIONS + offset, *found[offset]) for offset in sorted(found)]


@given(pages, records)
def test_what_goes_in_comes_out(page: int, found: dict[int, tuple[int, int, bytes]]) -> None:
    rows = rows_of(page, found)
    segments = list(encode_page(page, iter(rows)))
    assert [tuple(record) for raw, _ in segments for record in decode_segment(page, raw)] == rows
    assert sum(count for _, count in segments) == len(rows)
    assert [segment_records(raw) for raw, _ in segments] == [count for _, count in segments]


@given(pages, pages, records)
def test_bytes_depend_on_the_records_in_the_page_alone(
    page: int, other: int, found: dict[int, tuple[int, int, bytes]]
) -> None:
    there = list(encode_page(page, rows_of(page, found)))
    elsewhere = list(encode_page(other, rows_of(other, dict(reversed(found.items())))))
    assert there == elsewhere


def test_the_documented_bytes() -> None:
    ((raw, count),) = encode_page(2, [(2048, 1, 1, b"{}"), (2050, 258, 2, b"\x00")])
    assert count == 2
    assert raw.hex() == "5153470100000002000000020000000100000102010200000002000000017b7d00"


def test_a_page_over_the_limit_is_cut_at_the_same_records_whoever_cuts() -> None:
    bodies = [b"x" * (900 << 10)] * 11 + [b"y" * (SEGMENT_BYTES + 5), b"z"]
    rows = [(position, 1, 1, body) for position, body in enumerate(bodies)]
    segments = list(encode_page(0, rows))
    assert [count for _, count in segments] == [4, 4, 3, 1, 1]
    assert all(len(raw) <= SEGMENT_BYTES for raw, count in segments if count > 1)
    assert [record for raw, _ in segments for record in decode_segment(0, raw)] == rows


@pytest.mark.parametrize(
    "rows",
    [
        [(5, 1, 1, b""), (5, 1, 1, b"")],
        [(6, 1, 1, b""), (5, 1, 1, b"")],
        [(PAGE_POSITIONS, 1, 1, b"")],
        [(0, 2**32, 1, b"")],
        [(0, 1, 3, b"")],
    ],
)
def test_records_that_make_no_page_are_refused(rows: list[tuple[int, int, int, bytes]]) -> None:
    with pytest.raises(MalformedObject):
        list(encode_page(0, rows))


def test_order_is_checked_across_segments_too() -> None:
    big = b"x" * SEGMENT_BYTES
    with pytest.raises(MalformedObject):
        list(encode_page(0, [(5, 1, 1, big), (5, 1, 1, big)]))


@given(records.filter(bool), st.data())
def test_no_bytes_but_a_segment_are_taken_for_one(
    found: dict[int, tuple[int, int, bytes]], data: st.DataObject
) -> None:
    ((raw, _),) = encode_page(0, rows_of(0, found))
    cut = data.draw(st.integers(0, len(raw) - 1))
    for wrong in (raw[:cut], raw + b"\x00"):
        with pytest.raises(MalformedObject):
            decode_segment(0, wrong)


@given(st.binary(max_size=200), st.integers(0, 2**32 - 1))
def test_garbage_is_malformed_and_nothing_worse(garbage: bytes, count: int) -> None:
    for raw in (garbage, b"QSG\x01" + count.to_bytes(4, "big") + garbage):
        try:
            decoded = decode_segment(0, raw)
        except MalformedObject:
            continue
        assert [raw] == [again for again, _ in encode_page(0, decoded)]
