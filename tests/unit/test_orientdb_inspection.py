"""quiesce.orientdb.inspection: each irregularity that an export can have is seen, and none where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quiesce.orientdb.inspection import inspect_export

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ENDS = "bytes below -99, at which OrientDB's import ends"
LISTS = "lists that begin with a text like a record id, at which OrientDB's import ends"
NULL = "empty binaries, which OrientDB's import makes null"
TWICE = "@fieldTypes twice in a document"
STUBS = '{"@type":"d","@rid":"#0:1"},{"@type":"d","@rid":"#0:2"}'
INFO = '"info":{"exporter-version":13}'
CLUSTERS = '"clusters":[{"name":"internal","id":0},{"name":"a","id":1}]'
SCHEMA = '"schema":{"version":1,"blob-clusters":[],"classes":[{"name":"A","cluster-ids":[1]}]}'


def whole(
    record: str = '{"@rid":"#1:0","@class":"A"}',
    *,
    info: str = INFO,
    clusters: str = CLUSTERS,
    schema: str = SCHEMA,
    after: str = '"brokenRids":[],"indexes":[]',
) -> str:
    return f'{{{info},{clusters},{schema},"records":[{STUBS},{record}],{after}}}'


def irregularities(tmp_path: Path, text: str) -> dict[str, int]:
    path = tmp_path / "x.json"
    path.write_bytes(text.encode())
    return inspect_export(path).irregularities


def test_none(tmp_path: Path) -> None:
    assert irregularities(tmp_path, whole()) == {}
    assert inspect_export(EXAMPLES / "orient-3.2-template.json").irregularities == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\ufeff" + whole(), {"a byte order mark": 1}),
        (whole('{"@rid":"#1:0"},,,{"@rid":"#1:1"}'), {"extra commas between records": 2}),
        (whole('{"@rid":"#1:0","@fieldTypes":"a=l","a":1,"@fieldTypes":"a=l"}'), {TWICE: 1}),
        (whole('{"@rid":"#1:0","a":NaN,"b":[-Infinity]}'), {"bare NaN and infinities": 2}),
        (whole('{"@rid":"#1:1"},{"@rid":"#1:0"}'), {"records out of the order of their ids": 1}),
        (whole('{"@rid":"#1:0","a":"#1:0"}'), {"texts without type that OrientDB's import makes links": 1}),
        (whole('{"@rid":"#1:0","a":-100,"@fieldTypes":"a=b"}'), {ENDS: 1}),
        (whole('{"@rid":"#1:0","a":"","@fieldTypes":"a=b"}'), {NULL: 1}),
        (whole('{"@rid":"#1:0","a":"2014-05-13 16:53:20","@fieldTypes":"a=t"}'), {"dates as text": 1}),
        (
            whole('{"@rid":"#1:0","a":"NaNd","@fieldTypes":"a=d"}'),
            {"NaN and infinities, which OrientDB's import makes null": 1},
        ),
        (whole('{"@rid":"#1:0","a":["#1:0",7]}'), {LISTS: 1}),
        (whole('{"@rid":"#1:0","a":["#1:0",null],"b":[7,"#1:0"]}'), {}),
        (whole('{"@rid":"#1:0","a":"-Infinityd"}'), {
            "texts as engines up to 1.7 wrote for NaN and infinities, without type": 1,
        }),
        (whole('{"@rid":"#1:0","a=b":1,"@fieldTypes":"a=b=l"}'), {"fields with `=` in their name": 1}),
        (whole('{"@rid":"#1:0","a":1,"@fieldTypes":"a=q"}'), {"unknown type code `q`": 1}),
        (whole(after='"brokenRids":[#1:2,#1:3],"indexes":[]'), {
            "record ids without quotes in `brokenRids`": 2,
            "records that were broken when they were exported": 2,
        }),
        (whole(after='"indexes":[]'), {"no section `brokenRids`": 1}),
        (whole(after='"indexes":[]', info='"info":{"exporter-version":11}'), {}),
        (whole(after='"indexes":[],"brokenRids":[]'), {"sections in another order": 1}),
        (whole(after='"brokenRids":[],"indexes":[],"more":{}'), {"unknown section `more`": 1}),
        (whole(clusters='"clusters":[{"name":"internal","id":0,"type":"PHYSICAL"},{"name":"a","id":1}]'), {
            "clusters with keys of old engines": 1,
        }),
        (whole(clusters='"clusters":[{"name":"a","id":1}]'), {"clusters that are used and not listed": 1}),
        (whole(clusters='"clusters":[{"name":"internal","id":0},{"name":"a","id":1},{"name":"b","id":5}]'), {
            "cluster ids without a cluster below them": 3,
        }),
        (whole(schema='"schema":{"classes":[{"name":"A","cluster-ids":[1],"super-class":null,"color":1}]}'), {
            "classes with `super-class`, of engines before 2.1": 1,
            "unknown keys in the schema, at `A`": 1,
        }),
        (whole(schema='"schema":{"classes":[],\n"globalProperties":[]}'), {
            "sections in several lines": 1,
            "unknown key `globalProperties` in the schema": 1,
        }),
        (whole(schema='"schema":{"classes":[],\r\n"version":1}'), {"sections with lines that end in CR LF": 1}),
        (whole().replace(STUBS + ",", ""), {
            "records #0:1 and #0:2 missing, without which OrientDB imports nothing": 2,
        }),
    ],
)  # fmt: skip
def test_each_irregularity(tmp_path: Path, text: str, says: dict[str, int]) -> None:
    assert irregularities(tmp_path, text) == says


def test_counts_and_links(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    record = {
        "@rid": "#1:0", "@class": "A", "l": 1, "x": "#1:0", "gone": "#1:9", "n": None, "s": "t", "b": True, "y": 3,
        "e": {"@type": "d", "f": 1.5, "@fieldTypes": "f=f"}, "m": {"a": 1}, "z": [{"@type": "d", "i": 1}],
        "@fieldTypes": "l=l,x=x,gone=x,y=b",
    }  # fmt: skip
    path.write_text(whole(json.dumps(record) + ',{"@rid":"#1:1","@type":"b","value":"AA=="}'))
    found = inspect_export(path)
    assert found.types == {
        "LONG": 1, "LINK": 2, "null": 1, "STRING": 1, "BOOLEAN": 1, "BYTE": 1, "EMBEDDED": 1, "FLOAT": 1,
        "EMBEDDEDMAP": 1, "EMBEDDEDLIST": 1, "INTEGER": 1,
    }  # fmt: skip
    assert (found.records, found.blobs, found.links, found.dangling) == (4, 1, 1, 1)
    assert [str(one) for one in found.dangling_listed] == ["#1:0 gone -> #1:9"]
    assert (found.by_cluster[1], found.by_class["A"]) == (2, 1)
