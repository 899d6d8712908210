"""Tables, and values in them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from quiesce.console.tables import result_table, table
from quiesce.console.values import cell, facts, record_json, record_text
from quiesce.records import RID, Document, Float, LinkBag, Long
from quiesce.sql.rows import Computed, Element


def test_a_table() -> None:
    rows = [["0", "Ada", "7"], ["1", "a\nb\x1b", "12345"]]
    drawn = table(["#", "NAME", ">COUNT"], rows, width=80, footer=["", "TOTAL", "9"])
    # What would move the cursor does not.
    assert drawn.splitlines() == [
        "+----+-----+-----+",
        "|#   |NAME |COUNT|",
        "+----+-----+-----+",
        "|0   |Ada  |    7|",
        "|1   |a b  |12345|",
        "+----+-----+-----+",
        "|    |TOTAL|    9|",
        "+----+-----+-----+",
    ]


def test_wide_columns_are_cut() -> None:
    drawn = table(["#", "TEXT", "OTHER"], [["0", "x" * 500, "y" * 30]], width=60)
    assert {len(line) for line in drawn.splitlines()} <= set(range(50, 61))
    assert "..." in drawn
    # Where nothing is left to be cut, the line is longer than asked for.
    assert len(table([str(n) for n in range(30)], [["1"] * 30], width=40).splitlines()[0]) == 30 * 5 + 1


def test_columns_of_a_result() -> None:
    record = Element(RID(12, 3), 4, Document({"@class": "Person", "name": "Ada", "age": 36}))
    lines = result_table([record, Computed({"name": "Bob", "extra": True})], 20, width=100).splitlines()
    assert lines[1] == "|#   |@RID |@CLASS|name|age |extra|"
    assert lines[3] == "|20  |#12:3|Person|Ada |36  |     |"
    assert lines[4] == "|21  |     |      |Bob |    |true |"
    assert result_table([Computed({"a": 1})], 0, width=100).splitlines()[1] == "|#   |a   |"


def test_cells() -> None:
    assert cell(None) == ""
    assert cell(LinkBag([RID(1, 2), RID(1, 3)])) == "[#1:2,#1:3]"
    assert cell(list(range(11))) == "[11]"
    assert cell({"b", "a"}) == "[a,b]"
    assert cell(b"xyz") == "byte[3]"
    assert cell(Document({"@class": "At", "lat": 1.0})) == "At{lat:1.0}"
    assert cell(datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2020-01-02 03:04:05"
    assert [cell(value) for value in (1e7, 1.5e-5, 123456.75, Float(0.1), Decimal("1.50"))] == [
        "1.0E7",
        "1.5E-5",
        "123456.75",
        "0.1",
        "1.50",
    ]


def test_records_as_text_and_json() -> None:
    fields = {"n": Long(7), "l": LinkBag([RID(1, 2)]), "d": Decimal("1.0")}
    record = Element(RID(12, 3), 4, Document({"@class": "P", **fields}))
    assert record_text(record) == "P#12:3{n:7,l:[#1:2],d:1.0} v4"
    found = msgspec.json.decode(record_json(record))
    assert found == {"@rid": "#12:3", "@version": 4, "@class": "P", "n": 7, "l": ["#1:2"], "d": "1.0"}
    assert facts(record)["fields"]["n"] == 7
