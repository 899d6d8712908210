"""quiesce.orientdb.exporter and compare: what goes out is what came in, and in OrientDB's form."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orientdb_cluster_in_memory import ClusterInMemory

from quiesce.errors import FileExists, FileUnusable, InvalidRequest, Unavailable, UnknownDatabase
from quiesce.orientdb import ExportPlan, ExportProgress, compare_exports, export_database, export_path, import_export
from quiesce.orientdb.compare import compare_with_database
from quiesce.orientdb.escapes import ascii_json, quoted
from quiesce.orientdb.export_file import ExportFile
from quiesce.orientdb.export_options import parse_export_options
from quiesce.orientdb.record_form import format_record
from quiesce.v1.database_pb2 import ClassDefinition, Cluster
from quiesce.v1.record_pb2 import Record, RecordKind

DOCUMENT = RecordKind.RECORD_KIND_DOCUMENT
BLOB = RecordKind.RECORD_KIND_BLOB


@pytest.fixture
def cluster() -> ClusterInMemory:
    return ClusterInMemory()


def small(cluster: ClusterInMemory, count: int = 5) -> None:
    records = [Record(cluster=4, position=n, version=1, kind=DOCUMENT, body=b'{"n":%d}' % n) for n in range(count)]
    cluster.add("small", records, [Cluster(id=0, name="internal"), Cluster(id=4, name="some")])


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


async def test_every_file_survives_the_round_trip(cluster: ClusterInMemory, shared: Path, tmp_path: Path) -> None:
    folder = shared / "orientdb-exports"
    # The large file goes through three real nodes in tests/scenarios.
    for path in [*folder.glob("[!w]*.json*"), *folder.glob("*/*.json*")]:
        await import_export(cluster, path, "first")
        out = tmp_path / f"{path.name}.out.gz"
        report = await export_database(cluster, "first", out)
        document = json.loads(gzip.decompress(out.read_bytes()))
        assert list(document)[:6] == ["info", "clusters", "schema", "records", "brokenRids", "indexes"]
        assert [one["id"] for one in document["clusters"]] == list(range(len(document["clusters"])))
        assert gzip.decompress(out.read_bytes()).isascii()
        assert len(document["records"]) == report.records + 3

        differences = compare_exports(path, out)
        assert differences.listed == [], path.name
        assert differences.equal_records == report.records
        # And once more: now byte by byte, from another database.
        await import_export(cluster, out, "second")
        again = tmp_path / "again.gz"
        await export_database(cluster, "second", again, overwrite=True)
        one, other = (json.loads(gzip.decompress(file.read_bytes())) for file in (out, again))
        assert (one["info"].pop("name"), other["info"].pop("name")) == ("first", "second")
        assert one == other
        await cluster.drop_database("first")
        await cluster.drop_database("second")


async def test_template_comes_out_as_it_went_in(cluster: ClusterInMemory, shared: Path, tmp_path: Path) -> None:
    """The file that OrientDB 3.2 is known to take whole is the model: but for `info`, ours equals it."""
    path = shared / "orientdb-exports" / "templates" / "orient-3.2-template.json"
    await import_export(cluster, path, "empty32")
    out = tmp_path / "out.json"
    await export_database(cluster, "empty32", out, gzip=False)
    model, ours = json.loads(path.read_text()), json.loads(out.read_text())
    info, expected = ours.pop("info"), model.pop("info")
    assert list(info) == [*(key for key in expected if key != "engine-build"), "quiesce"]
    for key in ("name", "default-cluster-id", "exporter-version", "schemaRecordId", "indexMgrRecordId"):
        assert info[key] == expected[key]
    model["schema"]["classes"].sort(key=lambda one: one["name"])
    assert ours == model
    # Not only the same values: the same order of keys.
    assert json.dumps(ours) == json.dumps(model)


async def test_the_same_content_gives_the_same_bytes(cluster: ClusterInMemory, tmp_path: Path) -> None:
    number = random.Random(1).randrange
    records = [
        Record(cluster=4, position=n, version=1, kind=DOCUMENT, body=b'{"n":%d}' % number(10**9)) for n in range(40_000)
    ]
    cluster.add("small", records, [Cluster(id=0, name="internal"), Cluster(id=4, name="some")])
    for batch, name in ((350, "a"), (3700, "b")):
        cluster.batch = batch
        await export_database(cluster, "small", tmp_path / f"{name}.json", gzip=False)
        await export_database(cluster, "small", tmp_path / f"{name}.gz")
    # Whatever messages they came in, compressed or not.
    for kind in ("json", "gz"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == (tmp_path / "a.json").read_bytes()


async def test_gaps_are_filled_and_forgotten_again(cluster: ClusterInMemory, tmp_path: Path) -> None:
    small(cluster)
    out = tmp_path / "out.json"
    await export_database(cluster, "small", out, gzip=False)
    names = [one["name"] for one in json.loads(out.read_text())["clusters"]]
    assert names == ["internal", "index", "manindex", "default", "some"]
    await import_export(cluster, out, "back")
    assert [one.name for one in cluster.databases["back"].definition.clusters] == [
        "internal", "index", "manindex", "some",
    ]  # fmt: skip


async def test_progress_and_report(cluster: ClusterInMemory, tmp_path: Path) -> None:
    seen: list[object] = []

    class Lines(ExportProgress):
        def started(self, plan: ExportPlan) -> None:
            seen.append((plan.database, plan.records))

        def advanced(self, records: int) -> None:
            seen.append(records)

        def cluster_done(self, cluster: int, name: str, records: int) -> None:
            seen.append((cluster, name, records))

    small(cluster, 150)
    report = await export_database(cluster, "small", tmp_path / "x.gz", progress=Lines())
    assert seen == [("small", 150), (0, "internal", 0), 100, 150, (4, "some", 150)]
    assert (report.index, report.records, report.clusters) == (7, 150, {"some": 150})
    assert report.bytes_out == (tmp_path / "x.gz").stat().st_size


async def test_nothing_is_overwritten_unasked(cluster: ClusterInMemory, tmp_path: Path) -> None:
    small(cluster)
    out = tmp_path / "x.json.gz"
    out.write_text("mine")
    with pytest.raises(FileExists):
        await export_database(cluster, "small", out)
    assert out.read_text() == "mine"
    await export_database(cluster, "small", out, overwrite=True)
    assert names(tmp_path) == ["x.json.gz"]
    assert len(json.loads(gzip.decompress(out.read_bytes()))["records"]) == 8


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    file = ExportFile(tmp_path / "x", level=None)
    file.write(b"{}")
    (tmp_path / "x").write_text("mine")
    with pytest.raises(FileExists):
        file.publish()
    file.discard()
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("x", "mine")]


def test_two_exports_to_one_file_do_not_mix(tmp_path: Path) -> None:
    file = ExportFile(tmp_path / "x")
    with pytest.raises(FileUnusable, match="another export"):
        ExportFile(tmp_path / "x")
    file.discard()
    ExportFile(tmp_path / "x").discard()


async def test_a_failed_export_leaves_no_file(cluster: ClusterInMemory, tmp_path: Path) -> None:
    with pytest.raises(UnknownDatabase):
        await export_database(cluster, "absent", tmp_path / "x")
    with pytest.raises(FileUnusable):
        await export_database(cluster, "absent", tmp_path / "no folder" / "x")
    small(cluster, 500)
    cluster.break_scan = (2, Unavailable(addresses="a", seconds=1, detail="gone"), 99)
    with pytest.raises(Unavailable):
        await export_database(cluster, "small", tmp_path / "x")
    assert names(tmp_path) == []


async def test_a_scan_that_breaks_begins_again(cluster: ClusterInMemory, tmp_path: Path) -> None:
    small(cluster, 500)
    await export_database(cluster, "small", tmp_path / "whole")
    cluster.break_scan = (2, Unavailable(addresses="a", seconds=1, detail="gone"), 2)
    await export_database(cluster, "small", tmp_path / "broken")
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "broken").read_bytes()


async def test_a_record_where_orientdb_keeps_its_own(cluster: ClusterInMemory, tmp_path: Path) -> None:
    ours = Record(cluster=0, position=1, version=1, kind=DOCUMENT, body=b"{}")
    cluster.add("x", [ours], [Cluster(id=0, name="internal")])
    report = await export_database(cluster, "x", tmp_path / "x")
    assert report.notes[0] == "record #0:1 is not in the file: OrientDB keeps its own there"
    # Nothing is missed where no records were asked for.
    options = parse_export_options("-includeRecords=false")
    report = await export_database(cluster, "x", tmp_path / "none", options=options)
    assert (report.records, [note for note in report.notes if "#0:1" in note]) == (0, [])


async def test_an_index_of_the_same_name_is_not_taken_for_the_imported_one(
    cluster: ClusterInMemory, tmp_path: Path
) -> None:
    stream = '{"keyTypes":["STRING"]}'
    text = (
        '{"name":"m","type":"UNIQUE","definition":{"defClass":"x.OSimpleKeyIndexDefinition","stream":' + stream + "}}"
    )
    path = tmp_path / "in.json"
    path.write_text('{"records":[],"indexes":[' + text + "]}")
    await import_export(cluster, path, "x")
    out = tmp_path / "out.json"
    await export_database(cluster, "x", out, gzip=False)
    assert json.loads(out.read_text())["indexes"] == [json.loads(text)]
    cluster.databases["x"].definition.indexes[0].type = "NOTUNIQUE"
    await export_database(cluster, "x", out, gzip=False, overwrite=True)
    assert json.loads(out.read_text())["indexes"] == []


# --- strings and records


@settings(deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_strings_are_written_as_orientdb_reads_them(text: str) -> None:
    written = quoted(text)
    assert json.loads(written) == text
    for form in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
        assert ascii_json(form.encode()).decode() == written
    assert not any(f"\\{one}" in written.replace("\\\\", "") for one in "bfnrt/")
    assert written.isascii()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (rb'"\u0022\u005c\\u0022"', rb'"\"\\\\u0022"'),
        (rb'"\b\/\u00E9\u0041"', rb'"\u0008/\u00e9A"'),
        ('"é😀"'.encode(), rb'"\u00e9\ud83d\ude00"'),
        (b'{"a":1E+400,"b":0.10}', b'{"a":1E+400,"b":0.10}'),
    ],
)
def test_escapes(text: bytes, written: bytes) -> None:
    assert ascii_json(text) == written


def test_records_are_written_as_orientdb_does() -> None:
    records = [
        Record(cluster=14, position=2**62, version=7, kind=DOCUMENT, body=b'{"@class":"A","x":1}'),
        Record(cluster=0, position=0, version=0, kind=DOCUMENT, body=b"{}"),
        Record(cluster=3, position=1, version=2, kind=BLOB, body=b"\xfb\xff"),
        Record(cluster=3, position=2, version=2, kind=BLOB, body='a"é'.encode()),
    ]
    assert [format_record(one, frozenset({"#3:2"})) for one in records] == [
        b'{"@type":"d","@rid":"#14:4611686018427387904","@version":7,"@class":"A","x":1}',
        b'{"@type":"d","@rid":"#0:0","@version":0}',
        b'{"@type":"b","@rid":"#3:1","@version":2,"value":"+/8="}',
        b'{"@type":"f","@rid":"#3:2","@version":2,"value":"a\\"\\u00e9"}',
    ]


@pytest.mark.parametrize(
    ("name", "gzip", "expected"),
    [
        ("", True, "db.json.gz"),
        ("x", True, "x.json.gz"),
        ("x.export", True, "x.export.gz"),
        ("d/x.json.gz", True, "d/x.json.gz"),
        ("x.json", False, "x.json"),
        ("x", False, "x.json"),
    ],
)
def test_names_of_files(name: str, gzip: bool, expected: str) -> None:
    assert export_path(name, "db", gzip=gzip) == Path(expected)


# --- comparing


async def test_comparison_sees_each_difference(cluster: ClusterInMemory, tmp_path: Path) -> None:
    def put(name: str, bodies: dict[int, tuple[int, bytes]], *, strict: bool) -> None:
        records = [Record(cluster=4, position=n, version=v, kind=DOCUMENT, body=b) for n, (v, b) in bodies.items()]
        cluster.add(name, records, [Cluster(id=4, name="c")]).definition.classes.append(
            ClassDefinition(name="A", cluster_ids=[4], default_cluster_id=4, strict_mode=strict)
        )

    put(
        "left",
        {0: (1, b'{"a":1.0}'), 1: (1, b'{"a":["x","y"],"@fieldTypes":"a=e"}'), 2: (1, b'{"a":1}'), 3: (1, b"{}")},
        strict=False,
    )
    put(
        "right",
        {0: (1, b'{"a":1.00}'), 1: (1, b'{"a":["y","x"],"@fieldTypes":"a=e"}'), 2: (2, b'{"a":1}'), 4: (1, b"{}")},
        strict=True,
    )
    for name in ("left", "right"):
        await export_database(cluster, name, tmp_path / name)
    differences = compare_exports(tmp_path / "left", tmp_path / "right")
    assert differences
    assert differences.equal_records == 1
    assert [str(one) for one in differences.listed] == [
        "class A: strict_mode: (nothing) | true",
        "record #4:0: a: 1.0 | 1.00",
        "record #4:2: @version: 1 | 2",
        "record #4:3 is only on the left",
        "record #4:4 is only on the right",
    ]
    assert compare_exports(tmp_path / "left", tmp_path / "right", versions=False).count == 4
    assert not await compare_with_database(tmp_path / "right", cluster, "right")
    assert await compare_with_database(tmp_path / "right", cluster, "left")


async def test_comparison_needs_the_order_of_ids(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    records = ",".join(msgspec.json.encode({"@type": "d", "@rid": f"#4:{n}", "@version": 1}).decode() for n in (2, 1))
    path.write_text('{"records":[' + records + "]}")
    with pytest.raises(InvalidRequest, match="order"):
        compare_exports(path, path)
