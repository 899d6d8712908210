"""Dates that an export has as text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from orientdb_cluster_in_memory import ClusterInMemory
from orientdb_files import CLUSTERS, record, write

from quiesce._native import maybe_dated
from quiesce.errors import InvalidRequest
from quiesce.orientdb import ImportOptions, ImportReport, import_export
from quiesce.orientdb.dates import milliseconds
from quiesce.orientdb.record_text import ExportedRecord
from quiesce.v1.record_pb2 import RecordKind

SCHEMA = (
    '"schema":{"classes":[{"name":"A","cluster-ids":[14],"properties":[{"name":"at","type":"DATETIME"},'
    '{"name":"day","type":"DATE"},{"name":"text","type":"STRING"}]}]}'
)


async def imported(
    tmp_path: Path, version: int, *records: str, zone: str = "UTC"
) -> tuple[dict[int, str], ImportReport]:
    cluster = ClusterInMemory()
    info = f'"info":{{"exporter-version":{version}}}'
    path = write(tmp_path / "x.json", *records, sections=(info, CLUSTERS, SCHEMA))
    report = await import_export(cluster, path, "x", ImportOptions(time_zone=zone))
    return {rid[1]: one.body.decode() for rid, one in cluster.databases["x"].records.items()}, report


def test_milliseconds() -> None:
    utc, rome = ZoneInfo("UTC"), ZoneInfo("Europe/Rome")
    assert milliseconds("2014-05-13 16:53:20:123", utc) == 1_400_000_000_123
    assert milliseconds("2014-05-13 16:53:20", utc) == 1_400_000_000_000
    assert milliseconds("2014-05-13", utc) == 1_399_939_200_000
    assert milliseconds("2014-05-13 18:53:20", rome) == 1_400_000_000_000
    assert milliseconds("1969-12-31 23:59:59:999", utc) == -1
    assert milliseconds("2014-13-13 16:53:20", utc) is None
    assert milliseconds("2014-05-13T16:53:20", utc) is None


@given(st.lists(st.from_regex(rb'[{]?("?[0-9]{0,5}-?[0-9]{2}-?[0-9]{0,2}[ :"]*){0,3}', fullmatch=True), max_size=5))
@example(
    [b'"2014-05-13"', b'"2014-05-13', b'2014-05-13"', b'"12014-05-13"', b'"-2014-05-13 00:00:00"', b'""2014-05-13"']
)
def test_no_date_is_overlooked(bodies: list[bytes]) -> None:
    records = [ExportedRecord(14, at, 1, RecordKind.RECORD_KIND_DOCUMENT, body, at) for at, body in enumerate(bodies)]
    begins = re.compile(rb'"\d{4}-\d\d-\d\d')
    assert maybe_dated(records) == [at for at, body in enumerate(bodies) if begins.search(body)]


async def test_a_declared_date_becomes_one(tmp_path: Path) -> None:
    date = "2014-05-13 16:53:20:123"
    bodies, report = await imported(
        tmp_path, 5, record(14, 0, at=date, day="2014-05-13 00:00:00:000", text=date, n=1, **{"@fieldTypes": "n=l"})
    )
    assert json.loads(bodies[0]) == {
        "@class": "A",
        "at": 1_400_000_000_123,
        "day": 1_399_939_200_000,
        "text": date,
        "n": 1,
        "@fieldTypes": "n=l,at=t,day=t",
    }
    assert (report.dates_turned, report.dates_kept) == (2, 0)
    assert any("in the time zone UTC" in note for note in report.notes)


async def test_an_embedded_one_by_its_code_and_in_its_zone(tmp_path: Path) -> None:
    inside = {"@type": "d", "@version": 0, "when": "2014-05-13 18:53:20", "@fieldTypes": "when=t"}
    bodies, report = await imported(
        tmp_path, 13, record(14, 0, inside=inside, deep=[{"k": inside}]), zone="Europe/Rome"
    )
    document = json.loads(bodies[0])
    assert document["inside"]["when"] == document["deep"][0]["k"]["when"] == 1_400_000_000_000
    assert document["inside"]["@fieldTypes"] == "when=t"
    assert report.dates_turned == 2


async def test_what_nothing_says_is_a_date_stays_text(tmp_path: Path) -> None:
    texts = record(14, 3, free="2014-05-13 16:53:20:123", short="2014-05-13 16:53:20", list=["2014-05-13 16:53:20:123"])
    bodies, report = await imported(tmp_path, 5, texts)
    assert json.loads(bodies[3])["free"] == "2014-05-13 16:53:20:123"
    assert (report.dates_turned, report.dates_kept) == (0, 2)
    assert any("#14:3 free, #14:3 list[0]" in note for note in report.notes)
    # Newer engines write dates as numbers: then a text is a text.
    assert (await imported(tmp_path, 11, texts))[1].dates_kept == 0


async def test_a_date_that_is_none_stays_readable(tmp_path: Path) -> None:
    bodies, report = await imported(tmp_path, 13, record(14, 0, x="2014-99-13 16:53:20", **{"@fieldTypes": "x=t"}))
    assert json.loads(bodies[0]) == {"@class": "A", "x": "2014-99-13 16:53:20"}
    assert report.dates_kept == 1


async def test_an_unknown_time_zone(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no time zone `Mars/Base`"):
        await imported(tmp_path, 5, record(14, 0), zone="Mars/Base")


async def test_the_file_of_1_3(shared: Path) -> None:
    cluster = ClusterInMemory()
    path = shared / "orientdb-exports" / "engine-made" / "all-types-1.3.json.gz"
    report = await import_export(cluster, path, "x")
    assert report.dates_turned > 0
    texts = [one.body for one in cluster.databases["x"].records.values()]
    assert not any(b'"2014-05-13' in text for text in texts) or report.dates_kept
