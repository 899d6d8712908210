"""Only some classes and clusters of an export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from orientdb_cluster_in_memory import ClusterInMemory
from orientdb_files import record, write

from quiesce.errors import InvalidRequest
from quiesce.orientdb import ImportOptions, import_export


async def imported(tmp_path: Path, **options: Any) -> tuple[list[tuple[int, int]], list[str], list[str], int]:
    """Return record ids, classes, clusters, and how many links dangle. B extends A, which has the index."""
    path = write(tmp_path / "x.json", record(14, 0, code="x", next="#15:1"), record(15, 1, code="y", next="#14:0"))
    cluster = ClusterInMemory()
    report = await import_export(cluster, path, "x", ImportOptions(**options))
    stored = cluster.databases["x"]
    definition = stored.definition
    assert report.records == len(stored.records)
    assert {one.class_name for one in definition.indexes} <= {one.name for one in definition.classes}
    return (
        sorted(stored.records),
        [one.name for one in definition.classes],
        [one.name for one in definition.clusters],
        report.dangling,
    )


async def test_all(tmp_path: Path) -> None:
    assert await imported(tmp_path) == ([(14, 0), (15, 1)], ["A", "B"], ["internal", "a", "b"], 0)


async def test_an_included_class_brings_its_super_classes_without_records(tmp_path: Path) -> None:
    found = await imported(tmp_path, include_classes=frozenset({"b"}))
    assert found == ([(15, 1)], ["A", "B"], ["internal", "a", "b"], 1)


async def test_a_super_class_alone(tmp_path: Path) -> None:
    found = await imported(tmp_path, include_classes=frozenset({"A"}))
    assert found == ([(14, 0)], ["A"], ["internal", "a"], 1)


async def test_an_excluded_class(tmp_path: Path) -> None:
    found = await imported(tmp_path, exclude_classes=frozenset({"B"}))
    assert found == ([(14, 0)], ["A"], ["internal", "a"], 1)
    found = await imported(tmp_path, exclude_classes=frozenset({"A"}))
    assert found == ([(15, 1)], ["A", "B"], ["internal", "a", "b"], 1)


async def test_clusters(tmp_path: Path) -> None:
    found = await imported(tmp_path, include_clusters=frozenset({"A"}))
    assert found == ([(14, 0)], ["A", "B"], ["internal", "a", "b"], 1)
    found = await imported(tmp_path, exclude_clusters=frozenset({"a"}))
    assert found == ([(15, 1)], ["A", "B"], ["internal", "a", "b"], 1)


async def test_no_records(tmp_path: Path) -> None:
    found = await imported(tmp_path, include_records=False)
    assert found == ([], ["A", "B"], ["internal", "a", "b"], 0)


async def test_a_name_that_the_file_does_not_hold(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no class `Zebra`"):
        await imported(tmp_path, include_classes=frozenset({"Zebra"}))
