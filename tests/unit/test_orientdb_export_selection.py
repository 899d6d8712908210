"""quiesce.orientdb.export_selection, layout and security: files that can be imported by themselves, for each engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from orientdb_cluster_in_memory import ClusterInMemory
from orientdb_own_database import own_database

from quiesce.errors import UnknownClass, UnknownRecordCluster
from quiesce.orientdb import ExportOptions, ExportReport, export_database, import_export, parse_export_options
from quiesce.orientdb.engine_versions import ENGINES
from quiesce.records import RID, LinkBag, LinkList, LinkSet, decode_document

CODEWORD = "correct horse"
ALL = ["Animal", "City", "Dog", "E", "V"]
BOTH = ["Animal.name", "V.name"]


@pytest.fixture
def cluster() -> ClusterInMemory:
    made = ClusterInMemory()
    own_database(made)
    return made


async def written(
    cluster: ClusterInMemory, tmp_path: Path, options: ExportOptions | str, name: str = "own"
) -> tuple[dict[str, Any], ExportReport]:
    """Export, see that the file comes in by itself, and return what is in it."""
    chosen = parse_export_options(options) if isinstance(options, str) else options
    out = tmp_path / "out.json"
    report = await export_database(cluster, name, out, options=chosen, gzip=False, overwrite=True)
    document = json.loads(out.read_text())
    if chosen.info and chosen.clusters and chosen.schema:
        await import_export(cluster, out, "back")
        await cluster.drop_database("back")
    return document, report


def classes(document: dict[str, Any]) -> list[str]:
    return [one["name"] for one in document["schema"]["classes"]]


def rids(document: dict[str, Any]) -> list[str]:
    return [one["@rid"] for one in document["records"] if not one["@rid"].startswith("#0:")]


@pytest.mark.parametrize(
    ("options", "schema", "records", "indexes"),
    [
        ("", ALL, ["#4:0", "#4:1", "#7:1", "#8:2", "#9:0"], BOTH),
        # With what it extends, and what it links to, but not their records.
        ("-includeClass=dog", ["Animal", "City", "Dog"], ["#7:1"], ["Animal.name"]),
        ("-includeClass=City", ["City"], ["#8:2"], []),
        ("-excludeClass=Animal", ALL, ["#4:0", "#4:1", "#7:1", "#8:2", "#9:0"], BOTH),
        ("-excludeClass='Dog City'", ["Animal", "E", "V"], ["#4:0", "#4:1", "#9:0"], BOTH),
        ("-includeCluster=notes", ALL, ["#9:0"], BOTH),
        ("-excludeCluster='v notes'", ALL, ["#7:1", "#8:2"], BOTH),
    ],
)  # fmt: skip
async def test_filters(
    cluster: ClusterInMemory, tmp_path: Path, options: str, schema: list[str], records: list[str], indexes: list[str]
) -> None:
    document, report = await written(cluster, tmp_path, options)
    assert classes(document) == schema
    assert rids(document) == records
    assert [one["name"] for one in document["indexes"]] == indexes
    assert (report.records, report.classes, report.indexes) == (len(records), len(schema), len(indexes))
    # Ids stay, so every cluster id up to the last is there.
    ids = [one["id"] for one in document["clusters"]]
    assert ids == list(range(len(ids)))
    named = {one["id"] for one in document["clusters"] if not one["name"].startswith("gap_")}
    assert named >= {one for each in document["schema"]["classes"] for one in each["cluster-ids"]}


async def test_unknown_names(cluster: ClusterInMemory, tmp_path: Path) -> None:
    with pytest.raises(UnknownClass):
        await written(cluster, tmp_path, "-includeClass=Dgo")
    with pytest.raises(UnknownRecordCluster):
        await written(cluster, tmp_path, "-excludeCluster=nowhere")
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("options", "sections"),
    [
        ("-excludeAll", []),
        ("-excludeAll -includeInfo=true", ["info"]),
        ("-excludeAll -includeRecords=true", ["records", "brokenRids"]),
        ("-excludeAll -includeIndexDefinitions=true", ["indexes"]),
        ("-excludeAll -includeSchema=true", ["info", "clusters", "schema"]),
        ("-includeRecords=false", ["info", "clusters", "schema", "indexes", "manualIndexes"]),
        ("-includeRecords=false -includeManualIndexes=false", ["info", "clusters", "schema", "indexes"]),
        # Without the definitions OrientDB's import fails at the content.
        ("-includeIndexDefinitions=false", ["info", "clusters", "schema", "records", "brokenRids"]),
    ],
)
async def test_sections(cluster: ClusterInMemory, tmp_path: Path, options: str, sections: list[str]) -> None:
    cluster.databases["own"].definition.preserved["manualIndexes"] = b'[{"name":"m","content":[]}]'
    document, _ = await written(cluster, tmp_path, options)
    assert list(document) == sections


async def test_levels_and_lines(cluster: ClusterInMemory, tmp_path: Path) -> None:
    sizes = []
    for level in (0, 1, 9):
        out = tmp_path / f"{level}.gz"
        await export_database(cluster, "own", out, options=parse_export_options(f"-compressionLevel={level}"))
        sizes.append(out.stat().st_size)
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3
    out = tmp_path / "lines"
    await export_database(cluster, "own", out, gzip=False, options=parse_export_options("-useLineFeedForRecords=true"))
    assert out.read_text().count("\n") == len(json.loads(out.read_text())["records"]) - 1


@pytest.mark.parametrize("version", ["2.2", "3.0"])
async def test_cluster_ids_that_old_engines_keep(cluster: ClusterInMemory, tmp_path: Path, version: str) -> None:
    options = ExportOptions(engine=ENGINES[version], security=True, admin_password=CODEWORD)
    document, report = await written(cluster, tmp_path, options)
    names = {one["name"]: one["id"] for one in document["clusters"]}
    assert (names["orole"], names["ouser"]) == (4, 5)
    assert "4 is" in report.notes[0]
    assert {one["algorithm"] for one in document["indexes"]} == {"SBTREE"}
    assert "OSecurityPolicy" not in classes(document)
    [owner] = [one for one in document["schema"]["classes"] if one["name"] == "V"]
    assert owner["cluster-ids"] == [names["v"]] == [owner["default-cluster-id"]]

    [record] = [one for one in document["records"] if one["@rid"] == f"#{names['v']}:0"]
    moved = decode_document(json.dumps(record).encode())
    first, second = RID(names["v"], 0), RID(names["v"], 1)
    assert moved["one"] == second
    assert moved["many"] == LinkList([first, RID(7, 1)])
    assert moved["unordered"] == LinkSet([first])
    assert moved["bag"] == LinkBag([first, first])
    assert moved["by"] == {"x": first}
    assert moved["inside"]["deep"] == [second, 5, "#4:1"]
    assert moved["nested"] == [{"k": second, "n": 1}]
    # No type says that they are links.
    assert (moved["inside"]["text"], moved["declared"], moved["text"]) == ("#4:1", "#4:1", "#4:1 is no link")


@pytest.mark.parametrize("version", list(ENGINES))
async def test_how_a_file_gives_itself(cluster: ClusterInMemory, tmp_path: Path, version: str) -> None:
    document, report = await written(cluster, tmp_path, ExportOptions(engine=ENGINES[version]))
    assert document["info"]["engine-version"].startswith(version)
    assert document["info"]["exporter-version"] == (13 if version == "3.2" else 12)
    assert report.orientdb_version == version


async def test_users_for_a_database_without(cluster: ClusterInMemory, tmp_path: Path) -> None:
    plain, report = await written(cluster, tmp_path, "")
    assert "no users" in report.notes[0]
    document, report = await written(cluster, tmp_path, ExportOptions(security=True, admin_password=CODEWORD))
    assert report.notes == []
    assert set(classes(document)) - set(classes(plain)) == {"OIdentity", "OSecurityPolicy", "ORole", "OUser"}
    assert rids(document) == [*rids(plain), "#10:0", "#11:0", "#12:0"]
    user = document["records"][-1]
    assert (user["name"], user["roles"], user["@fieldTypes"]) == ("admin", ["#11:0"], "roles=n")
    # Hashed as OrientDB does: this is what PBKDF2 gives for the salt that stands there.
    assert CODEWORD not in json.dumps(document)
    again, _ = await written(cluster, tmp_path, ExportOptions(security=True, admin_password=CODEWORD))
    assert again == document
    nobody, report = await written(cluster, tmp_path, "-includeSecurity=true")
    assert rids(nobody) == [*rids(plain), "#10:0", "#11:0"]
    assert "no users" in report.notes[0]
    assert CODEWORD not in repr(ExportOptions(admin_password=CODEWORD))


async def test_with_and_without_the_users_there_are(shared: Path, tmp_path: Path) -> None:
    cluster = ClusterInMemory()
    await import_export(cluster, shared / "orientdb-exports" / "templates" / "orient-3.2-template.json", "shop")
    everything, _ = await written(cluster, tmp_path, "", "shop")
    assert await written(cluster, tmp_path, "-includeSecurity=true", "shop") == (everything, _)
    without, _ = await written(cluster, tmp_path, "-includeSecurity=false", "shop")
    assert set(classes(everything)) - set(classes(without)) == {"ORole", "OUser", "OSecurityPolicy"}
    assert rids(without) == [one for one in rids(everything) if one.split(":")[0] not in {"#4", "#5", "#6"}]
    # A new database has clusters of these names; the file's must not get other ones.
    assert [one["name"] for one in without["clusters"]] == [one["name"] for one in everything["clusters"]]
    # Who chooses a class gets the users with it: without them nobody could log in.
    person, _ = await written(cluster, tmp_path, "-includeClass=Person", "shop")
    assert {one["@class"] for one in person["records"] if "@class" in one} == {
        "Person", "ORole", "OUser", "OSecurityPolicy",
    }  # fmt: skip


async def test_a_kept_index_names_no_cluster_that_is_not_there(tmp_path: Path) -> None:
    names = {"a": 3, "b": 4}
    index = {"name": "A.t", "type": "FULLTEXT", "algorithm": "LUCENE", "clustersToIndex": list(names)}
    index["definition"] = {"defClass": "x.OPropertyIndexDefinition", "stream": {"className": "A", "field": "t"}}
    source = {
        "clusters": [{"name": name, "id": at} for name, at in names.items()],
        "schema": {"classes": [{"name": name.upper(), "cluster-ids": [at]} for name, at in names.items()]},
        "records": [],
        "indexes": [index],
    }
    path = tmp_path / "in.json"
    path.write_text(json.dumps(source))
    cluster = ClusterInMemory()
    await import_export(cluster, path, "own")
    document, _ = await written(cluster, tmp_path, "-includeClass=A")
    assert document["indexes"] == [index | {"clustersToIndex": ["a"]}]
