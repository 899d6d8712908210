from __future__ import annotations

import msgspec
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from quiesce.snapshot import MalformedObject, PageTable, Row, TableDatabase, content_id, decode_table, encode_table
from quiesce.snapshot.content import merkle_root

sizes = st.integers(1, 2**40)
places = st.tuples(st.integers(0, 1), st.integers(-1, 40), st.integers(0, 9), st.integers(0, 2))
digests = st.binary(min_size=32, max_size=32)


@st.composite
def tables(draw: st.DrawFn) -> PageTable:
    packs = draw(st.lists(digests, min_size=1, max_size=3, unique=True))
    rows = [
        Row(
            *place,
            draw(digests),
            draw(sizes),
            draw(sizes),
            draw(st.integers(0, len(packs) - 1)),
            *draw(st.tuples(sizes, sizes, sizes)),
        )
        for place in sorted(draw(st.sets(places, max_size=12)))
    ]
    return PageTable([TableDatabase("atlas", 7), TableDatabase("wörld", 3)], packs, rows)


@given(tables())
def test_what_goes_in_comes_out(table: PageTable) -> None:
    assert decode_table(encode_table(table)) == table


@given(tables(), st.data())
def test_the_content_id_is_that_of_the_content_alone(table: PageTable, data: st.DataObject) -> None:
    replace = msgspec.structs.replace
    moved = [replace(row, pack=0, offset=5, stored_length=6, stamp=99, raw_length=1, records=0) for row in table.rows]
    elsewhere = PageTable([replace(database, id=database.id + 1) for database in table.databases], table.packs, moved)
    assert content_id(elsewhere) == content_id(table)
    if table.rows:
        number = data.draw(st.integers(0, len(table.rows) - 1))
        row = table.rows[number]
        for changed in (
            replace(row, digest=row.digest[1:] + bytes([row.digest[0] ^ 1])),
            replace(row, page=row.page + 10),
            replace(row, segment=9),
        ):
            rows = [*table.rows[:number], changed, *table.rows[number + 1 :]]
            assert content_id(PageTable(table.databases, table.packs, rows)) != content_id(table)
        fewer = table.rows[:number] + table.rows[number + 1 :]
        assert content_id(PageTable(table.databases, table.packs, fewer)) != content_id(table)


@given(st.lists(st.binary(max_size=5), max_size=40))
def test_the_tree_is_that_of_rfc_9162(items: list[bytes]) -> None:
    def hashed(part: list[bytes]) -> bytes:
        if not part:
            return blake3(b"").digest()
        if len(part) == 1:
            return blake3(b"\x00" + part[0]).digest()
        split = 1 << (len(part) - 1).bit_length() - 1
        return blake3(b"\x01" + hashed(part[:split]) + hashed(part[split:])).digest()

    assert merkle_root(items) == hashed(items)


def row(**fields: int) -> Row:
    base = {"database": 0, "cluster": 3, "page": 0, "segment": 0, "records": 1, "raw_length": 9, "pack": 0,
            "offset": 4, "stored_length": 9, "stamp": 1, **fields}  # fmt: skip
    return Row(digest=bytes(32), **base)


@pytest.mark.parametrize(
    "rows",
    [
        [row(page=1), row(page=0)],
        [row(), row()],
        [row(database=1)],
        [row(pack=1)],
        [row(cluster=-2)],
        [row(stored_length=0)],
    ],
)
def test_rows_that_make_no_table_are_refused(rows: list[Row]) -> None:
    table = PageTable([TableDatabase("a", 1)], [bytes(32)], rows)
    with pytest.raises(MalformedObject):
        encode_table(table)


def test_a_table_for_ten_million_records_is_small() -> None:
    rows = [row(page=page, offset=page * 200_000) for page in range(10_000)]
    rows = [msgspec.structs.replace(r, digest=blake3(str(r.page).encode()).digest(), stamp=10**7) for r in rows]
    data = encode_table(PageTable([TableDatabase("a", 1)], [bytes(32)], rows))
    assert len(data) < 1_000_000


@given(st.binary(max_size=100))
def test_garbage_is_malformed_and_nothing_worse(garbage: bytes) -> None:
    for data in (garbage, b"QPT\x01" + garbage):
        with pytest.raises(MalformedObject):
            decode_table(data)
