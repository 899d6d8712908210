"""Where record ids change every link follows: shown by the names at both ends, not by ids."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orientdb_cluster_in_memory import ClusterInMemory
from orientdb_files import CLUSTERS, SCHEMA, record, write

from quiesce.orientdb import ImportOptions, import_export
from quiesce.orientdb.escapes import pairs, written
from quiesce.orientdb.links import LinkCheck, LinkWalk
from quiesce.orientdb.reader import ExportReader
from quiesce.orientdb.record_text import ExportedRecord
from quiesce.orientdb.rid_map import RidMap
from quiesce.orientdb.rid_set import RidSet
from quiesce.records.decoding import decode_document
from quiesce.records.rid import RID
from quiesce.records.types import Document
from quiesce.v1.database_pb2 import Cluster
from quiesce.v1.record_pb2 import RecordKind

DENSE = ImportOptions(preserve_rids=False)
ALL_NEW = ImportOptions(preserve_rids=False, preserve_cluster_ids=False)
WAYS = [ImportOptions(), DENSE, ALL_NEW, ImportOptions(merge=True), ImportOptions(merge=True, preserve_rids=False)]


@pytest.fixture
def cluster() -> ClusterInMemory:
    return ClusterInMemory()


def documents(cluster: ClusterInMemory, database: str) -> dict[RID, Document]:
    return {
        RID(*rid): decode_document(one.body)
        for rid, one in cluster.databases[database].records.items()
        if one.kind == RecordKind.RECORD_KIND_DOCUMENT
    }


def named(value: Any, by_id: dict[RID, Document], field: str) -> Any:
    """Put the name of a record in place of each link."""
    if isinstance(value, RID):
        return ("link", by_id[value].get(field)) if value in by_id else ("nothing",)
    if isinstance(value, dict):
        # A map of links carries no type in any export.
        links = not isinstance(value, Document)
        return {
            key: named(RID.parse(item) if links and isinstance(item, str) and item[:1] == "#" else item, by_id, field)
            for key, item in value.items()
        }
    if isinstance(value, set | frozenset):
        return sorted((named(item, by_id, field) for item in value), key=repr)
    if isinstance(value, list):
        return [named(item, by_id, field) for item in value]
    return value


def in_file(path: Path) -> dict[RID, Document]:
    """Return the documents of an export, read without the importer."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode().replace(",,", ",")
    found = {}
    for one in json.loads(text)["records"]:
        rid = RID.parse(one["@rid"])
        if one["@type"] == "d" and rid.cluster > 2:
            found[rid] = decode_document(json.dumps(one).encode())
    return found


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize(
    ("file", "field"), [("templates/link-swap-all-kinds.json", "name"), ("arcadedb-small-3.1.13.json.gz", "id")]
)
async def test_the_names_at_both_ends_are_those_of_the_file(
    cluster: ClusterInMemory, shared: Path, options: ImportOptions, file: str, field: str
) -> None:
    path = shared / "orientdb-exports" / file
    if options.merge:
        # All ids of the file are taken.
        taken = [Cluster(id=number, name=f"taken_{number}") for number in range(60)]
        cluster.add("x", [], taken)
    report = await import_export(cluster, path, "x", options)
    assert report.dangling == 0
    before, after = in_file(path), documents(cluster, "x")
    # Every document as a whole, with names where links are.
    ours, theirs = (sorted(repr(named(one, side, field)) for one in side.values()) for side in (after, before))
    assert ours == theirs
    assert bool(set(after) & set(before)) == (not options.merge)
    links = sum(text.count("('link'") for text in ours)
    assert links >= (10 if field == "name" else 30_000)


async def test_links_of_every_form_follow(cluster: ClusterInMemory, tmp_path: Path) -> None:
    inside = {"@type": "d", "@version": 0, "to": "#15:9", "@fieldTypes": "to=x"}
    text = {"@type": "d", "@version": 0, "text": "#15:9"}
    path = write(
        tmp_path / "x.json",
        record(14, 3, code="#15:9", next="#15:9", inside=inside, many=[inside, {"deep": [inside]}]),
        record(
            14,
            8,
            code="two",
            list=["#14:3", None, "#15:9"],
            set=["#14:3"],
            bag=["#14:3", "#14:3"],
            map={"k": "#15:9", "gone": "#15:5"},
            **{"@fieldTypes": "list=z,set=n,bag=g"},
        ),
        record(15, 9, code="end", words=text),
    )
    report = await import_export(cluster, path, "x", ALL_NEW)
    found = documents(cluster, "x")
    one, two, end = RID(1, 0), RID(1, 1), RID(2, 0)
    assert report.moved_clusters == {14: 1, 15: 2}
    # Text stays what it is, in a STRING as in a field of no type.
    assert (found[one]["code"], found[end]["words"]["text"]) == ("#15:9", "#15:9")
    assert found[one]["next"] == str(end) or found[one]["next"] == end
    assert found[one]["inside"]["to"] == end
    assert found[one]["many"][0]["to"] == found[one]["many"][1]["deep"][0]["to"] == end
    assert list(found[two]["list"]) == [one, None, end]
    assert (set(found[two]["set"]), list(found[two]["bag"])) == ({one}, [one, one])
    # What leads nowhere still does, to an id that no record has or will have.
    assert found[two]["map"]["k"] == str(end)
    gone = RID.parse(found[two]["map"]["gone"])
    assert gone not in found
    assert cluster.databases["x"].reserved == {gone.cluster: gone.position + 1}


async def test_ids_that_dangling_links_lead_to_stay_out_of_use(cluster: ClusterInMemory, tmp_path: Path) -> None:
    links = ["#15:40", "#15:3", "#77:2", f"#15:{(1 << 63) - 1}", "#-1:-1"]
    path = write(tmp_path / "x.json", record(14, 0, list=links[:3], **{"@fieldTypes": "list=z"}))
    report = await import_export(cluster, path, "x")
    assert report.dangling == 3
    assert cluster.databases["x"].reserved == {15: 41, 77: 3}
    path = write(tmp_path / "y.json", record(14, 0, list=links, **{"@fieldTypes": "list=z"}))
    assert (await import_export(cluster, path, "y")).dangling == 5
    assert cluster.databases["y"].reserved == {77: 3}


async def test_what_is_only_kept_follows_too(cluster: ClusterInMemory, tmp_path: Path) -> None:
    manual = (
        '"manualIndexes":[{"name":"m","content":[{"@type":"d","@version":0,"binary":false,"key":"#14:3","rid":"#14:3",'
        '"@fieldTypes":"rid=x"}]}]'
    )
    sections = (CLUSTERS, SCHEMA.replace('"blob-clusters":[]', '"blob-clusters":[15]'), manual, '"brokenRids":[#15:3]')
    flat = '{"@type":"f","@rid":"#15:8","@version":1,"value":"text"}'
    path = write(tmp_path / "x.json", record(14, 3), flat, sections=sections)
    await import_export(cluster, path, "x", ALL_NEW)
    kept = {name: json.loads(text) for name, text in cluster.databases["x"].definition.preserved.items()}
    assert kept["flatRecords"] == ["#2:0"]
    assert kept["manualIndexes"][0]["content"][0]["rid"] == "#1:0"
    # The key of a manual index is text here.
    assert kept["manualIndexes"][0]["content"][0]["key"] == "#14:3"
    assert kept["schema"]["section"]["blob-clusters"] == [2]
    assert kept["brokenRids"] == ["#2:12"]
    [other] = [one for one in cluster.databases["x"].definition.classes if one.name == "B"]
    assert (list(other.cluster_ids), other.default_cluster_id) == ([2], 2)


async def test_links_can_be_left_and_that_is_said(cluster: ClusterInMemory, tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", record(14, 5, next="#14:5"))
    report = await import_export(cluster, path, "x", ImportOptions(preserve_rids=False, migrate_links=False))
    assert cluster.databases["x"].records[14, 0].body == b'{"@class":"A","next":"#14:5"}'
    assert any("may lead to other records" in note for note in report.notes)


async def test_the_mapping_can_be_kept(cluster: ClusterInMemory, tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", record(14, 5, code="a"), record(14, 7, code="b"), record(15, 0, code="c"))
    await import_export(cluster, path, "x", ImportOptions(preserve_rids=False, delete_rid_mapping=False))
    mapping = [one for one in documents(cluster, "x").values() if one.class_name == "___exportImportRIDMap"]
    assert [(one["key"], str(one["value"])) for one in mapping] == [("#14:5", "#14:0"), ("#14:7", "#14:1")]
    assert [one.name for one in cluster.databases["x"].definition.indexes] == ["A.code", "___exportImportRIDMapIndex"]


def test_a_map_is_one_to_one_for_missing_records_too(tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", *(record(14, n) for n in (0, 1, 5, 9, 10, 11)), sections=())
    rids = RidSet()
    with ExportReader(path) as reader:
        for part in reader:
            if isinstance(part, list):
                rids.add([one for one in part if one.cluster == 14])
    rids.close()
    moved = RidMap(rids, {14: 3}, dense=True)
    assert [moved[14, n][1] for n in (0, 1, 5, 9, 10, 11)] == list(range(6))
    everything = [moved[14, n] for n in range(40)]
    assert len(set(everything)) == 40
    assert dict(moved.changed())[14, 5] == (3, 2)


TEXTS = st.sampled_from(["#14:0", "#15:3", "a #14:0", "\\", '"#14:0"', "é", "#-1:-1"])
CODES = st.sampled_from(["", "x", "z", "n", "g", "m", "e", "l"])


def documents_of(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return documents with the fields a to d, some of which have a code, and some a declared type."""
    fields = st.dictionaries(st.sampled_from("abcd"), st.tuples(values, CODES), max_size=4)

    def document(given: dict[str, tuple[Any, str]]) -> dict[str, Any]:
        types = ",".join(f"{name}={code}" for name, (_, code) in given.items() if code)
        named = {name: value for name, (value, _) in given.items()}
        return {"@type": "d", "@class": "A", **named, **({"@fieldTypes": types} if types else {})}

    return fields.map(document)


VALUES = st.recursive(
    TEXTS | st.none() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3) | documents_of(inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(document=documents_of(VALUES), untyped=st.booleans(), ascii_only=st.booleans())
def test_the_quick_way_and_the_careful_one_agree(document: dict[str, Any], untyped: bool, ascii_only: bool) -> None:
    body = json.dumps(document, ensure_ascii=ascii_only).encode().replace(b"#15", b"\\u002315" if untyped else b"#15")
    walk = LinkWalk({"A": {"a": "STRING", "b": "LINKLIST"}}, untyped)

    def moved(rid: tuple[int, int]) -> tuple[int, int]:
        return rid[0] + 100, rid[1] + 1

    record = ExportedRecord(14, 0, 1, RecordKind.RECORD_KIND_DOCUMENT, body, 0)
    [quick] = LinkCheck(lambda _: True, walk, moved).look_at([record])
    careful = walk.document(pairs(body), LinkCheck(lambda _: True, walk, moved)._visit)
    assert json.loads(quick.body) == json.loads(written(careful))
