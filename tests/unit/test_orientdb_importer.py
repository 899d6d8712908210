"""quiesce.orientdb.importer: all of a file or nothing, against a cluster in memory."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import msgspec
import pytest
from orientdb_cluster_in_memory import IMPORTING, ONLINE, ClusterInMemory, Stored
from orientdb_files import CLUSTERS, INDEXES, SCHEMA, record, write

from quiesce.errors import (
    DatabaseExists,
    DuplicateKeyInExport,
    FileUnusable,
    ImportIncomplete,
    ImportLeftBehind,
    MalformedExport,
    NoLeader,
    RecordTooLarge,
    TruncatedExport,
    UnfinishedImport,
    UnknownDatabase,
)
from quiesce.orientdb import ImportProgress, Survey, import_export, plan, writing
from quiesce.orientdb.compare import compare_with_database
from quiesce.v1.database_pb2 import ClassDefinition, Database, IndexField, PropertyDefinition
from quiesce.v1.record_pb2 import RecordKind


@pytest.fixture
def cluster() -> ClusterInMemory:
    return ClusterInMemory()


async def test_ids_versions_and_bodies_are_kept(cluster: ClusterInMemory, tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", record(14, 5, code="x", next="#15:100"), record(15, 100, code="y"))
    report = await import_export(cluster, path, "x")
    stored = cluster.databases["x"]
    assert stored.definition.state == ONLINE
    assert {rid: (one.version, one.body) for rid, one in stored.records.items()} == {
        (14, 5): (3, b'{"@class":"A","code":"x","next":"#15:100"}'),
        (15, 100): (3, b'{"@class":"A","code":"y"}'),
    }
    assert (report.records, report.engine_records, report.clusters) == (2, 1, {"a": 1, "b": 1})
    assert (report.classes, report.indexes, report.links, report.dangling) == (2, 1, 1, 0)


async def test_dangling_links_are_kept_and_listed(cluster: ClusterInMemory, tmp_path: Path) -> None:
    path = write(
        tmp_path / "x.json",
        record(14, 0, code="#15:77", next="#15:78"),
        record(14, 1, text="#15:79", more=["#15:80", "#14:0"], map={"k": "#15:81"}, **{"@fieldTypes": "more=z"}),
        record(14, 2, inside={"@type": "d", "@version": 0, "far": "#0:1", "@fieldTypes": "far=x"}),
    )
    report = await import_export(cluster, path, "x")
    # Texts that look like record ids, in a STRING and in a field without type, are no links.
    assert [str(one) for one in report.dangling_listed] == [
        "#14:0 next -> #15:78",
        "#14:1 more -> #15:80",
        "#14:1 map.k -> #15:81",
        "#14:2 inside.far -> #0:1",
    ]
    assert report.dangling == 4
    assert b'"#15:78"' in cluster.databases["x"].records[14, 0].body


@pytest.mark.parametrize("packed", [False, True])
async def test_a_file_cut_anywhere_leaves_nothing(cluster: ClusterInMemory, tmp_path: Path, *, packed: bool) -> None:
    whole = write(tmp_path / "x.json", record(14, 0, code="x"), record(14, 1, code="y")).read_bytes()
    data = gzip.compress(whole) if packed else whole
    path = tmp_path / "cut"
    for end in range(len(data)):
        path.write_bytes(data[:end])
        with pytest.raises((TruncatedExport, MalformedExport)):
            await import_export(cluster, path, "x")
    assert cluster.calls == []
    path.write_bytes(data)
    assert (await import_export(cluster, path, "x")).records == 2


async def test_an_existing_database_is_refused_before_the_file_is_read(
    cluster: ClusterInMemory, tmp_path: Path
) -> None:
    await cluster.create_database("x")
    with pytest.raises(DatabaseExists):
        await import_export(cluster, tmp_path / "no such file", "x", discard_unfinished=True)
    assert cluster.calls == ["create"]


async def test_what_a_dead_import_left_is_discarded_on_demand(cluster: ClusterInMemory, tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", record(14, 0, code="x"))
    await cluster.create_database("x", importing=True)
    with pytest.raises(UnfinishedImport, match="--discard-unfinished"):
        await import_export(cluster, path, "x")
    assert (await import_export(cluster, path, "x", discard_unfinished=True)).records == 1


async def test_a_duplicate_key_is_reported_with_both_records(cluster: ClusterInMemory, tmp_path: Path) -> None:
    records = [record(14, n, code=f"k{n % 1750}") for n in range(2000)]
    with pytest.raises(DuplicateKeyInExport) as caught:
        await import_export(cluster, write(tmp_path / "x.json", *records), "x")
    assert caught.value.fields["index"] == "A.code"
    # Batches are in flight together, so any of the 250 may be the first.
    first, second = sorted(int(caught.value.fields[name].removeprefix("#14:")) for name in ("rid", "other"))
    assert second - first == 1750
    assert caught.value.fields["key"] == f'"k{first}"'
    assert cluster.databases == {}


async def test_a_failed_write_leaves_nothing(cluster: ClusterInMemory, tmp_path: Path) -> None:
    cluster.fail_write = (3, NoLeader())
    path = write(tmp_path / "x.json", *(record(14, n, code=str(n)) for n in range(5000)))
    with pytest.raises(NoLeader):
        await import_export(cluster, path, "x")
    assert cluster.databases == {}
    assert cluster.in_flight == 0


async def test_cancelling_leaves_nothing(cluster: ClusterInMemory, tmp_path: Path) -> None:
    class Stop(ImportProgress):
        def written(self, records: int, total: int) -> None:
            task.cancel()

    path = write(tmp_path / "x.json", *(record(14, n, code=str(n)) for n in range(5000)))
    task = asyncio.create_task(import_export(cluster, path, "x", progress=Stop()))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cluster.databases == {}


@pytest.mark.parametrize("published", [False, True])
async def test_an_import_that_another_one_discarded_leaves_that_ones_database(
    cluster: ClusterInMemory, tmp_path: Path, *, published: bool
) -> None:
    class Overtaken(ImportProgress):
        """After its survey this import stands still, and another one takes its place."""

        def cluster_done(self, name: str, records: int) -> None:
            del cluster.databases["x"]
            again = Database(name="x", id=2, state=ONLINE if published else IMPORTING)
            cluster.databases["x"] = Stored(again)

    path = write(tmp_path / "x.json", record(14, 0, code="x"))
    with pytest.raises(ImportIncomplete):
        await import_export(cluster, path, "x", progress=Overtaken())
    assert cluster.databases["x"].definition.id == 2


async def test_an_import_whose_database_was_dropped_says_why_it_failed(
    cluster: ClusterInMemory, tmp_path: Path
) -> None:
    class Dropped(ImportProgress):
        def cluster_done(self, name: str, records: int) -> None:
            del cluster.databases["x"]

    with pytest.raises(UnknownDatabase):
        await import_export(cluster, write(tmp_path / "x.json", record(14, 0)), "x", progress=Dropped())


async def test_says_when_the_leftover_could_not_be_removed(cluster: ClusterInMemory, tmp_path: Path) -> None:
    cluster.fail_write, cluster.fail_drop = (1, NoLeader()), NoLeader()
    with pytest.raises(ImportLeftBehind, match="--discard-unfinished"):
        await import_export(cluster, write(tmp_path / "x.json", record(14, 0)), "x")
    assert cluster.databases["x"].definition.state == IMPORTING


async def test_a_record_that_got_lost_is_noticed(cluster: ClusterInMemory, tmp_path: Path) -> None:
    cluster.swallow = {(14, 1)}
    with pytest.raises(ImportIncomplete, match="holds 1 records after the import and should hold 2"):
        await import_export(cluster, write(tmp_path / "x.json", record(14, 0), record(14, 1)), "x")
    assert cluster.databases == {}


async def test_a_lost_answer_to_the_last_step_is_no_failure(cluster: ClusterInMemory, tmp_path: Path) -> None:
    cluster.lose_answer_of_publish = NoLeader()
    await import_export(cluster, write(tmp_path / "x.json", record(14, 0)), "x")
    assert cluster.databases["x"].definition.state == ONLINE


async def test_batches_are_bounded(cluster: ClusterInMemory, tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", *(record(14, n, code=str(n), text="x" * 20_000) for n in range(1000)))
    await import_export(cluster, path, "x")
    assert cluster.largest_write <= writing.BATCH_BYTES
    assert 1 < cluster.most_in_flight <= writing.BATCHES_IN_FLIGHT


async def test_a_record_over_the_limit(
    cluster: ClusterInMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "RECORD_BYTES", 100)
    with pytest.raises(RecordTooLarge):
        await import_export(cluster, write(tmp_path / "x.json", record(14, 0, text="x" * 101)), "x")
    assert cluster.databases == {}


async def test_a_section_too_large_to_keep(
    cluster: ClusterInMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PRESERVED_BYTES", 100)
    path = write(tmp_path / "x.json", sections=(CLUSTERS, '"other":"' + "x" * 100 + '"'))
    with pytest.raises(FileUnusable, match="section:other"):
        await import_export(cluster, path, "x")
    assert cluster.calls == []


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        (('"clusters":[{"name":"a","id":40000}]',), "has the id 40000"),
        (('"clusters":[{"name":"a","id":4},{"name":"a","id":5}]',), "same id or name"),
        (('"clusters":{}',), "Expected `array`"),
        (('"schema":{"classes":[{"name":"A","super-classes":["Z"]}]}',), "extends `Z`"),
        (('"schema":{"classes":[{"name":"A","super-class":"A"}]}',), "extends itself"),
        (('"schema":[]',), "object expected"),
        (('"indexes":[{"name":"x"}]',), "missing required field `type`"),
        (('"brokenRids":["x"]',), "no record id"),
        (('"info":{"exporter-version":"x"}',), "exporter-version"),
    ],
)
async def test_malformed_sections(
    cluster: ClusterInMemory, tmp_path: Path, sections: tuple[str, ...], says: str
) -> None:
    with pytest.raises(MalformedExport, match=says):
        await import_export(cluster, write(tmp_path / "x.json", sections=sections), "x")
    assert cluster.calls == []


async def test_the_same_record_twice(cluster: ClusterInMemory, tmp_path: Path) -> None:
    for records in ([record(14, 0), record(14, 0)], [record(14, 0), record(14, 1), record(15, 0), record(14, 1)]):
        with pytest.raises(MalformedExport, match=r"record #14:. is there twice"):
            await import_export(cluster, write(tmp_path / "x.json", *records), "x")


async def test_a_file_with_nothing_but_records(cluster: ClusterInMemory, tmp_path: Path) -> None:
    report = await import_export(cluster, write(tmp_path / "x.json", record(14, 3), sections=()), "x")
    assert [(one.id, one.name) for one in cluster.databases["x"].definition.clusters] == [
        (0, "cluster_0"),
        (14, "cluster_14"),
    ]
    assert report.clusters == {"cluster_14": 1}


async def test_sections_may_follow_the_records(cluster: ClusterInMemory, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{" + ",".join(['"records":[' + record(15, 0) + "]", INDEXES, SCHEMA, CLUSTERS]) + "}")
    await import_export(cluster, path, "x")
    assert [one.name for one in cluster.databases["x"].definition.classes] == ["A", "B"]


class Lines(ImportProgress):
    def __init__(self) -> None:
        self.done: list[tuple[str, int]] = []
        self.parts: list[float] = []
        self.counts: list[tuple[int, int]] = []

    def surveying(self, part: float) -> None:
        self.parts.append(part)

    def surveyed(self, survey: Survey) -> None:
        self.total = survey.records

    def written(self, records: int, total: int) -> None:
        self.counts.append((records, total))

    def cluster_done(self, name: str, records: int) -> None:
        self.done.append((name, records))


async def test_world(cluster: ClusterInMemory, shared: Path) -> None:
    lines = Lines()
    path = shared / "orientdb-exports" / "world-3.2.34.json.gz"
    report = await import_export(cluster, path, "world", progress=lines)
    assert (report.records, report.engine_records, report.classes, report.indexes) == (79_505, 3, 18, 11)
    assert ("city", 17_003) in lines.done
    assert sum(count for _, count in lines.done) == lines.total == 79_505
    assert lines.counts[-1] == (79_505, 79_505)
    assert lines.parts[-1] == 1
    assert report.dangling == 0
    assert report.unmaintained_indexes == []
    database = cluster.databases["world"].definition
    city = next(one for one in database.classes if one.name == "City")
    assert city == ClassDefinition(
        name="City",
        super_classes=["Place"],
        cluster_ids=[18, 19],
        default_cluster_id=18,
        cluster_selection="round-robin",
        properties=[
            PropertyDefinition(name="alternatenames", type="EMBEDDEDLIST", linked_type="STRING", collate="default"),
            PropertyDefinition(name="at", type="EMBEDDED", linked_class="Coordinates", collate="default"),
            PropertyDefinition(name="country", type="LINK", linked_class="Country", collate="default"),
            PropertyDefinition(name="geonameid", type="INTEGER", collate="default"),
            PropertyDefinition(name="population", type="LONG", collate="default"),
        ],
    )
    index = next(one for one in database.indexes if one.name == "City.country_name")
    assert index.maintained
    assert [(one.name, one.key_type, one.by, one.nulls_ignored) for one in index.fields] == [
        ("country", "LINK", IndexField.BY_VALUE, True),
        ("name", "STRING", IndexField.BY_VALUE, True),
    ]
    assert not await compare_with_database(path, cluster, "world")


async def test_arcadedb_has_no_wrong_edge(cluster: ClusterInMemory, shared: Path) -> None:
    """OrientDB's own importer moves 7,606 of these edges; names at both ends, as the file has them, decide."""
    path = shared / "orientdb-exports" / "arcadedb-small-3.1.13.json.gz"
    report = await import_export(cluster, path, "arcade")
    assert (report.records, report.dangling) == (10_510, 0)
    assert report.clusters["friend"] + report.clusters["friend_1"] + report.clusters["friend_2"] == 10_000

    text = gzip.decompress(path.read_bytes()).decode().replace(",,", ",")
    in_file = {one["@rid"]: one for one in msgspec.json.decode(text)["records"]}
    stored = {
        f"#{one.cluster}:{one.position}": msgspec.json.decode(one.body)
        for one in cluster.databases["arcade"].records.values()
        if one.kind == RecordKind.RECORD_KIND_DOCUMENT
    }
    friends = {rid: one for rid, one in stored.items() if one.get("@class") == "Friend"}
    assert len(friends) == 10_000
    wrong = [
        rid
        for rid, edge in friends.items()
        for end in ("out", "in")
        if stored[edge[end]]["id"] != in_file[in_file[rid][end]]["id"] or rid not in stored[edge[end]][f"{end}_Friend"]
    ]
    assert wrong == []
    by_id = {one["id"]: rid for rid, one in friends.items()}
    assert all(in_file[by_id[one["id"]]]["out"] == one["out"] for one in friends.values())


async def test_every_file_comes_in_whole(cluster: ClusterInMemory, shared: Path) -> None:
    folder = shared / "orientdb-exports"
    for path in [*folder.glob("o*.json*"), *folder.glob("*/*.json*")]:
        report = await import_export(cluster, path, path.name)
        assert not await compare_with_database(path, cluster, path.name)
        database: Database = cluster.databases[path.name].definition
        assert {one.name for one in database.indexes if not one.maintained} == set(report.unmaintained_indexes)


async def test_links_of_every_kind_stay(cluster: ClusterInMemory, shared: Path) -> None:
    """The three records with which OrientDB's importer shows that it moves links of every kind."""
    path = shared / "orientdb-exports" / "templates" / "link-swap-all-kinds.json"
    report = await import_export(cluster, path, "x")
    assert report.dangling == 0
    assert not await compare_with_database(path, cluster, "x")
