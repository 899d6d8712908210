"""An import into a database that is there: unseen until all of it comes in at once, or not at all."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from orientdb_cluster_in_memory import ONLINE, ClusterInMemory
from orientdb_files import CLUSTERS, INDEXES, SCHEMA, record, write

from quiesce.errors import (
    DuplicateKeyInExport,
    ImportIncomplete,
    MergeConflict,
    NoLeader,
    UnfinishedImport,
    UnknownDatabase,
)
from quiesce.orientdb import ImportOptions, ImportProgress, OnError, import_export
from quiesce.v1.database_pb2 import ClassDefinition, Cluster, Database, SchemaChange

MERGE = ImportOptions(merge=True)


@pytest.fixture
async def cluster(tmp_path: Path) -> ClusterInMemory:
    """Return one that holds a database with the clusters 14 and 15, and two records."""
    cluster = ClusterInMemory()
    path = write(tmp_path / "first.json", record(14, 0, code="one"), record(15, 3, code="two", next="#14:0"))
    await import_export(cluster, path, "x")
    return cluster


def state(cluster: ClusterInMemory) -> tuple[bytes, dict[tuple[int, int], bytes]]:
    stored = cluster.databases["x"]
    definition = Database()
    definition.CopyFrom(stored.definition)
    return (
        definition.SerializeToString(deterministic=True),
        {rid: one.SerializeToString() for rid, one in stored.records.items()},
    )


async def test_taken_ids_change_and_links_follow(cluster: ClusterInMemory, tmp_path: Path) -> None:
    before = state(cluster)[1]
    path = write(tmp_path / "x.json", record(14, 0, code="three", next="#15:3"), record(15, 3, code="four"))
    report = await import_export(cluster, path, "x", MERGE)
    stored = cluster.databases["x"]
    assert report.merged
    assert report.moved_clusters[14] == 16
    assert {rid: one.body for rid, one in stored.records.items() if rid[0] > 15} == {
        (16, 0): b'{"@class":"A","code":"three","next":"#17:3"}',
        (17, 3): b'{"@class":"A","code":"four"}',
    }
    assert before.items() <= state(cluster)[1].items()
    assert [(one.id, one.name, one.importing) for one in stored.definition.clusters][-2:] == [
        (16, "a_1", False),
        (17, "b_1", False),
    ]
    assert {one.name: list(one.cluster_ids) for one in stored.definition.classes} == {"A": [14, 16], "B": [15, 17]}


async def test_ids_that_are_free_are_kept(cluster: ClusterInMemory, tmp_path: Path) -> None:
    sections = (
        '"clusters":[{"name":"a","id":14},{"name":"c","id":40}]',
        '"schema":{"classes":[{"name":"A","cluster-ids":[14]},{"name":"C","cluster-ids":[40],"super-class":"A"}]}',
        '"indexes":[]',
    )
    path = write(tmp_path / "x.json", record(40, 7, code="n", next="#40:7"), sections=sections)
    report = await import_export(cluster, path, "x", MERGE)
    assert cluster.databases["x"].records[40, 7].body == b'{"@class":"A","code":"n","next":"#40:7"}'
    assert report.moved_clusters.get(40, 40) == 40
    assert [one.name for one in cluster.databases["x"].definition.classes] == ["A", "B", "C"]
    # The cluster of a class that is there, without records in the file, brings nothing.
    assert len(cluster.databases["x"].definition.clusters) == 4


async def test_a_dangling_link_never_meets_a_record_of_the_database(cluster: ClusterInMemory, tmp_path: Path) -> None:
    # In the file both lead nowhere; in the database there are records of these ids.
    path = write(tmp_path / "x.json", record(14, 9, code="n", next="#15:3"), record(14, 10, code="m", next="#14:0"))
    report = await import_export(cluster, path, "x", MERGE)
    assert report.dangling == 2
    records = cluster.databases["x"].records
    bodies = [one.body for rid, one in records.items() if rid[0] > 15]
    assert bodies == [b'{"@class":"A","code":"n","next":"#17:3"}', b'{"@class":"A","code":"m","next":"#16:0"}']
    assert (17, 3) not in records
    assert cluster.databases["x"].reserved == {16: 1, 17: 4}
    assert [one.id for one in cluster.databases["x"].definition.clusters] == [0, 14, 15, 16]


async def test_keys_that_the_database_has_are_all_named(cluster: ClusterInMemory, tmp_path: Path) -> None:
    path = write(
        tmp_path / "x.json",
        *(record(14, n, code=code) for n, code in enumerate(("two", "new", "new", "one"))),
    )
    before = state(cluster)
    with pytest.raises(DuplicateKeyInExport) as caught:
        await import_export(cluster, path, "x", MERGE)
    assert caught.value.fields["count"] == "3"
    assert state(cluster) == before
    report = await import_export(cluster, path, "x", ImportOptions(merge=True, dry_run=True))
    assert {(one.key, one.rid, one.other) for one in report.shared_keys_listed} == {
        ('"two"', "#15:3", "#16:0"),
        ('"one"', "#14:0", "#16:3"),
        ('"new"', "#16:1", "#16:2"),
    }
    assert state(cluster) == before
    report = await import_export(cluster, path, "x", ImportOptions(merge=True, on_error=OnError.SKIP))
    assert (report.records, report.skipped) == (1, 3)
    assert sorted(cluster.databases["x"].records) == [(14, 0), (15, 3), (16, 1)]


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ('{"name":"A","cluster-ids":[14],"properties":[{"name":"code","type":"LONG"}]}', "A.code is STRING there"),
        ('{"name":"Z","cluster-ids":[14]}', "index A.code is of another type"),
        ('{"name":"Gone","cluster-ids":[14]}', "class Gone is abstract there"),
    ],
)
async def test_definitions_that_contradict(cluster: ClusterInMemory, tmp_path: Path, schema: str, says: str) -> None:
    gone = SchemaChange(create_class=ClassDefinition(name="Gone", abstract=True))
    await cluster.alter_schema("x", [gone])
    indexes = INDEXES.replace('"className":"A"', '"className":"Z"') if '"Z"' in schema else '"indexes":[]'
    path = write(tmp_path / "x.json", record(14, 0), sections=(CLUSTERS, f'"schema":{{"classes":[{schema}]}}', indexes))
    before = state(cluster)
    with pytest.raises(MergeConflict, match=says):
        await import_export(cluster, path, "x", MERGE)
    assert state(cluster) == before


async def test_new_properties_and_indexes_come_in(cluster: ClusterInMemory, tmp_path: Path) -> None:
    schema = SCHEMA.replace('{"name":"next","type":"LINK"}', '{"name":"next","type":"LINK"},{"name":"n","type":"LONG"}')
    index = INDEXES.replace('"A.code"', '"A.n"').replace('"field":"code"', '"field":"n"')
    path = write(tmp_path / "x.json", record(14, 0, n=1, code="z"), sections=(CLUSTERS, schema, index))
    await import_export(cluster, path, "x", MERGE)
    definition = cluster.databases["x"].definition
    assert [one.name for one in definition.classes[0].properties] == ["code", "next", "n"]
    assert [one.name for one in definition.indexes] == ["A.code", "A.n"]


@pytest.mark.parametrize("how", ["write", "publish", "count", "cancel"])
async def test_what_fails_leaves_the_database_as_it_was(cluster: ClusterInMemory, tmp_path: Path, how: str) -> None:
    class Stop(ImportProgress):
        def written(self, records: int, total: int) -> None:
            if how == "cancel":
                task.cancel()

    path = write(tmp_path / "x.json", *(record(14, n, code=str(n)) for n in range(3000)))
    before = state(cluster)
    errors = {"write": NoLeader, "publish": NoLeader, "count": ImportIncomplete, "cancel": asyncio.CancelledError}
    if how == "write":
        cluster.fail_write = (cluster.writes + 2, NoLeader())
    elif how == "publish":
        cluster.fail_alter = (cluster.altered + 2, NoLeader())
    elif how == "count":
        cluster.swallow = {(16, 1500)}
    task = asyncio.ensure_future(import_export(cluster, path, "x", MERGE, progress=Stop()))
    with pytest.raises(errors[how]):
        await task
    assert state(cluster) == before


@pytest.mark.parametrize("number", [1, 2])
async def test_a_lost_answer_is_no_failure(cluster: ClusterInMemory, tmp_path: Path, number: int) -> None:
    cluster.lose_answer_of_alter = (cluster.altered + number, NoLeader())
    path = write(tmp_path / "x.json", record(14, 0, code="n"))
    await import_export(cluster, path, "x", MERGE)
    assert (16, 0) in cluster.databases["x"].records
    assert not any(one.importing for one in cluster.databases["x"].definition.clusters)


async def test_what_a_dead_merge_left_is_discarded_on_demand(cluster: ClusterInMemory, tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", record(14, 0, code="n"))
    await cluster.alter_schema("x", [SchemaChange(create_cluster=Cluster(name="a_1", importing=True))])
    with pytest.raises(UnfinishedImport):
        await import_export(cluster, path, "x", MERGE)
    await import_export(cluster, path, "x", MERGE, discard_unfinished=True)
    assert [one.id for one in cluster.databases["x"].definition.clusters] == [0, 14, 15, 17]


async def test_there_must_be_a_database(cluster: ClusterInMemory, tmp_path: Path) -> None:
    with pytest.raises(UnknownDatabase):
        await import_export(cluster, tmp_path / "no such file", "y", MERGE)
    assert cluster.databases["x"].definition.state == ONLINE
