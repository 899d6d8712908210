"""What keeps records from being imported is found before anything is visible: all of it, or skipped and listed."""

from __future__ import annotations

from pathlib import Path

import pytest
from orientdb_cluster_in_memory import ClusterInMemory
from orientdb_files import record, write

from quiesce.errors import DuplicateKeyInExport, InvalidDocument, MalformedExport
from quiesce.orientdb import (
    ImportOptions,
    ImportProgress,
    OnError,
    SharedKey,
    Skipped,
    checking,
    import_export,
)

SKIP = ImportOptions(on_error=OnError.SKIP)
DRY = ImportOptions(dry_run=True)


class Told(ImportProgress):
    def __init__(self) -> None:
        self.shared: list[SharedKey] = []
        self.passed_over: list[Skipped] = []

    def shared_key(self, shared: SharedKey) -> None:
        self.shared.append(shared)

    def skipped(self, skipped: Skipped) -> None:
        self.passed_over.append(skipped)


@pytest.fixture
def cluster() -> ClusterInMemory:
    return ClusterInMemory()


@pytest.fixture
def told() -> Told:
    return Told()


def pairs_of(shared: list[SharedKey]) -> set[tuple[str, str, str]]:
    return {(one.key, one.rid, one.other) for one in shared}


async def test_all_shared_keys_are_told_with_both_records(cluster: ClusterInMemory, told: Told, tmp_path: Path) -> None:
    records = [record(14, n, code=f"k{n % 1990}") for n in range(2000)] + [record(15, 7, code="k5")]
    with pytest.raises(DuplicateKeyInExport) as caught:
        await import_export(cluster, write(tmp_path / "x.json", *records), "x", progress=told)
    expected = {(f'"k{n}"', f"#14:{n}", f"#14:{n + 1990}") for n in range(10)} | {('"k5"', "#14:5", "#15:7")}
    assert pairs_of(told.shared) == expected
    assert caught.value.fields["count"] == "11"
    assert cluster.databases == {}


async def test_their_list_is_bounded_and_their_number_is_not(
    cluster: ClusterInMemory, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "LISTED", 3)
    path = write(tmp_path / "x.json", *(record(14, n, code=f"k{n % 50}") for n in range(100)))
    report = await import_export(None, path, "x", DRY, progress=told)
    assert (report.shared_keys, len(report.shared_keys_listed), len(told.shared)) == (50, 3, 3)


async def test_a_dry_run_needs_no_cluster_and_makes_nothing(cluster: ClusterInMemory, tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", record(14, 0, code="x", next="#15:9"), record(14, 1, code="x"))
    for client in (cluster, None):
        report = await import_export(client, path, "x", DRY)
        assert (report.dry_run, report.records, report.dangling, report.shared_keys) == (True, 2, 1, 1)
    assert cluster.calls == []


async def test_records_that_share_a_key_are_skipped_and_links_to_them_dangle(
    cluster: ClusterInMemory, told: Told, tmp_path: Path
) -> None:
    path = write(
        tmp_path / "x.json",
        record(14, 0, code="x", next="#15:1"),
        record(14, 1, code="y"),
        record(15, 1, code="x"),
        record(15, 2, code="x"),
    )
    report = await import_export(cluster, path, "x", SKIP, progress=told)
    assert sorted(cluster.databases["x"].records) == [(14, 0), (14, 1)]
    assert [(one.record, one.section) for one in told.passed_over] == [("#15:1", "records"), ("#15:2", "records")]
    assert "belongs to #14:0" in told.passed_over[0].reason
    text = path.read_bytes()
    assert text[told.passed_over[1].byte :].startswith(b'{"@type":"d","@rid":"#15:2"')
    assert [str(one) for one in report.dangling_listed] == ["#14:0 next -> #15:1"]
    assert (report.records, report.skipped, report.clusters) == (2, 2, {"a": 2})


async def test_a_record_that_cannot_be_read_is_skipped(cluster: ClusterInMemory, told: Told, tmp_path: Path) -> None:
    broken = '{"@type":"b","@rid":"#14:1","value":"not base64"}'
    path = write(tmp_path / "x.json", record(14, 0, code="x"), broken, '{"@type":"d"}', record(14, 2, code="y"))
    with pytest.raises(MalformedExport):
        await import_export(cluster, path, "x")
    await import_export(cluster, path, "x", SKIP, progress=told)
    assert sorted(cluster.databases["x"].records) == [(14, 0), (14, 2)]
    assert [one.record for one in told.passed_over] == ["#14:1", ""]
    assert [path.read_bytes()[one.byte] for one in told.passed_over] == [ord("{")] * 2


async def test_what_nodes_would_refuse_is_skipped(
    cluster: ClusterInMemory, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "RECORD_BYTES", 2_000)
    deep: object = 1
    for _ in range(210):
        deep = [deep]
    records = [record(14, 0, deep=deep), record(14, 1, text="x" * 3_000), record(14, 2, code=["no text"])]
    path = write(tmp_path / "x.json", *records, record(14, 3, code="good"))
    await import_export(cluster, path, "x", SKIP, progress=told)
    assert sorted(cluster.databases["x"].records) == [(14, 3)]
    assert [one.record for one in told.passed_over] == ["#14:0", "#14:1", "#14:2"]
    report = await import_export(None, path, "x", DRY)
    assert sum("cannot be imported" in note for note in report.notes) == 3
    with pytest.raises(InvalidDocument, match="#14:0"):
        await import_export(cluster, path, "y", ImportOptions(preserve_rids=False))
    assert list(cluster.databases) == ["x"]
