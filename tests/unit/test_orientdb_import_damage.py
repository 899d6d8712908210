"""Damaged files: a typed error that leaves everything as it was, or an import of what the file then says.

IMPORT_DAMAGES=10000 tries so many damages in each way instead of some hundreds.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from orientdb_cluster_in_memory import ONLINE, ClusterInMemory
from orientdb_files import record, write

from quiesce.errors import InvalidRequest, QuiesceError
from quiesce.orientdb import ImportOptions, OnError, import_export
from quiesce.orientdb.compare import compare_with_database

DAMAGES = int(os.environ.get("IMPORT_DAMAGES", "400"))
WAYS = {
    "new": ImportOptions(),
    "renumbered": ImportOptions(preserve_rids=False, preserve_cluster_ids=False, delete_rid_mapping=False),
    "skipping": ImportOptions(on_error=OnError.SKIP),
    "merge": ImportOptions(merge=True),
    "merge, skipping": ImportOptions(merge=True, on_error=OnError.SKIP, preserve_rids=False),
}


def small(tmp_path: Path) -> bytes:
    inside = {"@type": "d", "@version": 0, "when": "2014-05-13 16:53:20", "@fieldTypes": "when=t"}
    return write(
        tmp_path / "small.json",
        record(14, 0, code="x", next="#15:1", inside=inside),
        record(14, 5, code="y", list=["#14:0", None], **{"@fieldTypes": "list=z"}),
        '{"@type":"b","@rid":"#15:0","@version":1,"value":"AQID"}',
        record(15, 1, code="z", map={"k": "#14:0"}),
    ).read_bytes()


def damaged(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    match chance.randrange(5):
        case 0:
            return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        case 1:
            return data[:at] + data[at + chance.randrange(1, 9) :]
        case 2:
            return data[:at] + data[at : at + chance.randrange(1, 60)] + data[at:]
        case 3:
            return data[:at] + chance.choice([b'"', b"}", b"]", b"{", b",", b"#14:0", b"\\", b"9" * 20]) + data[at:]
        case _:
            other = chance.randrange(len(data))
            size = chance.randrange(1, 30)
            return data[:at] + data[other : other + size] + data[at + size :]


def damages(data: bytes) -> Iterator[tuple[int, bytes]]:
    first = random.randrange(2**32)
    for seed in range(first, first + DAMAGES):
        yield seed, damaged(data, random.Random(seed))


def snapshot(cluster: ClusterInMemory) -> dict[str, tuple[bytes, list[tuple[tuple[int, int], bytes]]]]:
    return {
        name: (
            stored.definition.SerializeToString(deterministic=True),
            sorted((rid, one.SerializeToString()) for rid, one in stored.records.items()),
        )
        for name, stored in cluster.databases.items()
    }


async def target(tmp_path: Path) -> ClusterInMemory:
    """Return a cluster with a database whose ids and names are those of the file."""
    cluster = ClusterInMemory()
    await import_export(cluster, write(tmp_path / "first.json", record(14, 0, code="one")), "there")
    return cluster


async def outcome(cluster: ClusterInMemory, path: Path, options: ImportOptions) -> bool:
    """Import; say whether it came in. What is there must be as it was, where it did not, or seen, where it did."""
    name = "there" if options.merge else "x"
    before = snapshot(cluster)
    try:
        report = await import_export(cluster, path, name, options)
    except QuiesceError:
        assert snapshot(cluster) == before
        return False
    stored = cluster.databases[name]
    assert stored.definition.state == ONLINE
    assert not any(one.importing for one in stored.definition.clusters)
    assert dict(before["there"][1]).items() <= dict(snapshot(cluster)["there"][1]).items()
    kept = len(before["there"][1]) if options.merge else 0
    mapping = sum(b'"___exportImportRIDMap"' in one.body for one in stored.records.values())
    assert len(stored.records) == report.records + kept + mapping
    if options == ImportOptions():
        # It refuses to compare a file whose records are not in the order of their ids any more.
        with contextlib.suppress(InvalidRequest):
            assert not await compare_with_database(path, cluster, name)
    return True


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.timeout(600)
async def test_damage_is_a_typed_error_or_an_import_of_what_is_said(tmp_path: Path, way: str) -> None:
    path = tmp_path / "x.json"
    came_in = 0
    for seed, data in damages(small(tmp_path)):
        path.write_bytes(data)
        try:
            came_in += await outcome(await target(tmp_path), path, WAYS[way])
        except Exception as error:
            raise AssertionError(f"seed {seed}: {data!r}") from error
    # Both must have been seen, or nothing was shown.
    assert 20 < came_in < DAMAGES - 20


@pytest.mark.parametrize("way", ["skipping", "merge"])
async def test_cut_anywhere(tmp_path: Path, way: str) -> None:
    data, path = small(tmp_path), tmp_path / "x.json"
    cluster = await target(tmp_path)
    for end in range(0, len(data), 3):
        path.write_bytes(data[:end])
        assert not await outcome(cluster, path, WAYS[way])
