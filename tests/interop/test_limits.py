"""tests/interop/limits.py: each rule explains what it is for, and nothing near it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quiesce.orientdb import Difference, Differences, compare_exports, survey
from tests.interop.limits import LIMITS, Side, explanation

RECORDS: list[dict[str, Any]] = [
    {"@rid": "#3:0", "@type": "f", "value": 'say "no"'},
    {
        "@rid": "#4:0",
        "@class": "ORole",
        "rules": {"database": 2},
        "policies": {"*": "#5:0"},
    },
    {
        "@rid": "#9:1",
        "link": "#9:1",
        "text": "#9:1",
        "gone": ["#9:1", "#9:77"],
        "map": {"a": "#9:1", "b": "#9:77"},
        "empty": "",
        "byte": 7,
        "low": -100,
        "nan": "NaN",
        "nothing": None,
        "day": 86_400_000,
        "float": 1e30,
        "at": {"@type": "d", "@version": 0, "when": 1_234, "@fieldTypes": "when=t"},
        "a=b": 7,
        "n": 7,
        "list": [1],
        "texts": ["#9:1", None],
        "old": "2014-05-13 16:53:20:123",
        "@fieldTypes": "link=x,gone=z,map=m,empty=b,byte=b,low=b,nan=d,nothing=l,day=a,float=f,a=b=l,n=l,list==[s,"
        "old=t",
    },
]


def export(path: Path, records: list[dict[str, Any]]) -> Path:
    whole = [{"@type": "d", "@version": 1} | one for one in records]
    clusters = [{"name": "x", "id": 3}, {"name": "orole", "id": 4}, {"name": "data", "id": 9}]
    info = {"exporter-version": 13, "quiesce": {"preserved": {"flatRecords": ["#3:0"]}}}
    path.write_text(json.dumps({"info": info, "clusters": clusters, "records": whole}))
    return path


def explained(tmp_path: Path, right: list[dict[str, Any]], exporter: int = 13) -> list[str | None]:
    ours = export(tmp_path / "ours.json", RECORDS)
    theirs = export(tmp_path / "theirs.json", right)
    side = Side(survey(ours), exporter)
    found: list[str | None] = []
    compare_exports(ours, theirs, found=Differences(each=lambda one: found.append(explanation(one, side))))
    return found


def changed(number: int, fields: dict[str, Any], codes: dict[str, str | None] | None = None) -> list[dict[str, Any]]:
    """The records, with other fields and types in one of them."""
    records: list[dict[str, Any]] = json.loads(json.dumps(RECORDS))
    records[number] |= fields
    entries = records[number].get("@fieldTypes", "").split(",")
    for name, code in (codes or {}).items():
        entries = [one for one in entries if not one.startswith(f"{name}=") or one.startswith(f"{name}=b=")]
        entries += [f"{name}={code}"] if code else []
    records[number]["@fieldTypes"] = ",".join(filter(None, entries))
    return records


def test_the_same_is_the_same(tmp_path: Path) -> None:
    assert explained(tmp_path, RECORDS) == []


@pytest.mark.parametrize(
    ("number", "fields", "codes", "limit"),
    [
        (2, {"@version": 5}, {}, "versions"),
        (2, {"empty": None}, {"empty": None}, "empty-binary"),
        (2, {"byte": None}, {}, None),
        (2, {}, {"byte": None}, None),
        (2, {}, {"low": None}, "low-byte"),
        (2, {"low": -101}, {"low": None}, None),
        (2, {"nan": None}, {}, "no-number"),
        (2, {"float": None}, {}, None),
        (2, {}, {"nothing": None}, "type-of-null"),
        (2, {}, {"n": None}, None),
        (2, {"n": 8}, {}, None),
        (2, {"at": RECORDS[2]["at"] | {"when": "1970-01-01 00:00:01"}}, {}, "embedded-date"),
        (2, {"at": RECORDS[2]["at"] | {"when": "1970-01-01 00:00:02"}}, {}, None),
        (2, {}, {"day": "t"}, "date-code"),
        (2, {"day": 0}, {"day": "t"}, None),
        (2, {"float": 1.0000000001e30}, {}, "number-text"),
        (2, {"float": 1.001e30}, {}, None),
        (2, {}, {"map": None}, "link-map"),
        (2, {"map": {"a": "#9:1", "b": None}}, {"map": None}, "lost-links"),
        (2, {"map": {"a": None, "b": "#9:77"}}, {"map": None}, None),
        (2, {"map": {"a": "#9:77", "b": "#9:1"}}, {"map": None}, None),
        (2, {"gone": ["#9:1"]}, {}, "lost-links"),
        (2, {"gone": ["#9:77"]}, {}, None),
        (2, {"link": "#9:2"}, {}, None),
        (2, {"link": None}, {}, None),
        (2, {}, {"text": "x"}, "rid-text"),
        (2, {"text": "#9:2"}, {"text": "x"}, None),
        (2, {"texts": ["#9:1"]}, {"texts": "z"}, "rid-text"),
        (2, {"texts": ["#9:2"]}, {"texts": "z"}, None),
        (2, {}, {"list=": None}, "item-types"),
        (2, {"old": "2014-05-13 16:53:21:123"}, {}, None),
        (0, {"value": 'say \\"no\\"'}, {}, "flat-record"),
        (0, {"value": "say no"}, {}, None),
        (1, {"rules": {"database": 31}}, {}, "role-rules"),
        (1, {"policies": {}}, {}, None),
    ],
)
def test_each_rule(
    tmp_path: Path, number: int, fields: dict[str, Any], codes: dict[str, str | None], limit: str | None
) -> None:
    assert explained(tmp_path, changed(number, fields, codes)) == [limit]


def test_links_without_type_come_from_old_engines_alone(tmp_path: Path) -> None:
    right = changed(2, {}, {"text": "x"})
    assert explained(tmp_path, right, exporter=8) == ["link-type"]
    assert explained(tmp_path, right, exporter=9) == ["rid-text"]


def test_records_are_never_explained_away(tmp_path: Path) -> None:
    assert explained(tmp_path, RECORDS[:2]) == [None]
    assert explained(tmp_path, [*RECORDS, {"@rid": "#9:5"}]) == [None]


@pytest.mark.parametrize(
    ("what", "name", "path", "left", "right", "limit"),
    [
        ("class", "OSecurityPolicy", "", None, "{}", "policies"),
        ("class", "Person", "", None, "{}", None),
        ("class", "Person", "", "{}", None, None),
        ("class", "A", "custom_fields.x", '"a \\"b\\""', '"a \\\\\\"b\\\\\\""', "custom-attributes"),
        ("class", "A", "custom_fields.x", '"a"', '"b"', None),
        ("class", "A", "properties.p.type", '"LONG"', '"INTEGER"', None),
        ("index", "A.x", "algorithm", None, '"CELL_BTREE"', "old-index"),
        ("index", "A.x", "type", '"UNIQUE"', '"NOTUNIQUE"', None),
        ("index", "A.x", "algorithm", '"SBTREE"', '"HASH_INDEX"', "hash-index"),
        ("index", "A.x", "", "{}", None, None),
        ("manual index", "m", "content[0].@fieldTypes", None, '"rid=x"', "manual-index-types"),
        ("manual index", "dictionary", "", None, "{}", "dictionary"),
        ("manual index", "m", "content[0].rid", '"#9:1"', '"#9:2"', None),
    ],
)
def test_definitions(
    tmp_path: Path, what: str, name: str, path: str, left: str | None, right: str | None, limit: str | None
) -> None:
    side = Side(survey(export(tmp_path / "ours.json", RECORDS)))
    assert explanation(Difference(what, name, path, left, right), side) == limit


def test_names_are_unique() -> None:
    assert len({one.name for one in LIMITS}) == len(LIMITS)
