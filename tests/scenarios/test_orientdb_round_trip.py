"""P10: what real OrientDB exported comes into three nodes, and goes out the same."""

from __future__ import annotations

import asyncio
import gzip
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quiesce import AsyncClient, Client
from quiesce.errors import (
    DatabaseExists,
    DuplicateKeyInExport,
    MalformedExport,
    QuiesceError,
    TruncatedExport,
    UnknownDatabase,
)
from quiesce.orientdb import compare_exports
from quiesce.orientdb.compare import compare_with_database
from tests.scenarios.cli import quiesce
from tests.scenarios.cluster import Cluster

ROOT = Path(__file__).resolve().parents[2]
WORLD = ROOT / "examples" / "world-3.2.34.json.gz"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def done(cluster: Cluster, *arguments: str) -> dict[str, Any]:
    """Run a command that must succeed; return its result."""
    answer = quiesce(*arguments, "--cluster", cluster.addresses, "--output", "json", timeout_s=300)
    assert answer.code == 0, answer.error
    return last(answer.output)


def refused(cluster: Cluster, error: type[QuiesceError], *arguments: str) -> dict[str, Any]:
    """Run a command that must fail so; return what the error names."""
    answer = quiesce(*arguments, "--cluster", cluster.addresses, "--output", "json", timeout_s=300)
    assert answer.code == error.exit_code, answer.error
    found = last(answer.error)
    assert found["reason"] == error.reason()
    return dict(found["fields"])


def last(lines: str) -> dict[str, Any]:
    return dict(json.loads(lines.strip().splitlines()[-1]))


def names(cluster: Cluster) -> list[str]:
    with cluster.client() as client:
        return sorted(one.name for one in client.list_databases(all=True) if one.name != "system")


def drop(cluster: Cluster, name: str) -> None:
    with cluster.client() as client:
        client.drop_database(name)


async def differences(cluster: Cluster, path: Path, database: str) -> list[str]:
    async with AsyncClient(cluster.addresses) as client:
        return [str(one) for one in (await compare_with_database(path, client, database)).listed]


def test_world_goes_in_and_out_the_same(cluster: Cluster, tmp_path: Path) -> None:
    imported = done(cluster, "import", str(WORLD), "--database", "world")
    assert imported["records"] == 79_505
    assert imported["dangling"] == 0
    assert asyncio.run(differences(cluster, WORLD, "world")) == []

    first, second = tmp_path / "first.json.gz", tmp_path / "second.json.gz"
    exported = done(cluster, "export", "world", str(first))
    assert exported["records"] == 79_505
    found = compare_exports(WORLD, first)
    assert found.listed == []
    assert found.equal_records == 79_505

    done(cluster, "import", str(first), "--database", "again")
    done(cluster, "export", "again", str(second))
    ours, theirs = (json.loads(gzip.decompress(path.read_bytes())) for path in (first, second))
    assert (ours["info"].pop("name"), theirs["info"].pop("name")) == ("world", "again")
    assert ours == theirs
    # The cluster answers from the indexes that the file names.
    with cluster.client() as client:
        [[country]] = client.lookup("world", "Country.iso", [["AD"]])
        assert country.document()["name"] == "Andorra"
        [cities] = client.lookup("world", "City.alt", [["Escaldes-Engordany"]])
        assert [one.document()["name"] for one in cities] == ["les Escaldes"]
    drop(cluster, "again")
    drop(cluster, "world")


def test_every_version_comes_in(cluster: Cluster, shared: Path, tmp_path: Path) -> None:
    folder = shared / "orientdb-exports"
    for path in sorted([*folder.glob("[!w]*.json*"), *folder.glob("*/*.json*")]):
        done(cluster, "import", str(path), "--database", "any")
        assert asyncio.run(differences(cluster, path, "any")) == [], path.name
        out = tmp_path / f"{path.name}.out.gz"
        done(cluster, "export", "any", str(out))
        assert compare_exports(path, out).listed == [], path.name
        drop(cluster, "any")


def test_bad_files_leave_nothing(cluster: Cluster, tmp_path: Path) -> None:
    data = WORLD.read_bytes()
    text = gzip.decompress(data)
    cut, damaged, double = tmp_path / "cut.json.gz", tmp_path / "damaged.json.gz", tmp_path / "double.json.gz"
    cut.write_bytes(data[: len(data) // 2])
    at = text.index(b"{", 20_000_000)
    damaged.write_bytes(gzip.compress(text[:at] + b"?" + text[at + 1 :], 1))
    double.write_bytes(gzip.compress(text.replace(b'"iso":"AF"', b'"iso":"AD"'), 1))
    for path, error in ((cut, TruncatedExport), (damaged, MalformedExport), (double, DuplicateKeyInExport)):
        fields = refused(cluster, error, "import", str(path), "--database", "bad")
        assert "bad" not in names(cluster)
        if error is DuplicateKeyInExport:
            assert {fields["rid"], fields["other"]} == {"#16:0", "#16:1"}
        else:
            assert fields["section"] == "records"
            assert int(fields["byte"]) > 0


def test_an_existing_database_is_not_touched(cluster: Cluster) -> None:
    with cluster.client() as client:
        client.create_database("mine")
    refused(cluster, DatabaseExists, "import", str(WORLD), "--database", "mine")
    drop(cluster, "mine")


def begun(client: Client) -> bool:
    """Say whether there are records of the import."""
    try:
        return any(one.records for one in client.database("half").clusters)
    except UnknownDatabase:
        return False


def test_ctrl_c_takes_back_what_was_written(cluster: Cluster) -> None:
    command = [sys.executable, "-m", "quiesce", "import", str(WORLD), "--database", "half"]
    command += ["--cluster", cluster.addresses]
    running = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    with cluster.client() as client:
        # The whole import takes some seconds: whoever asks must be quick.
        while not begun(client):
            assert time.monotonic() < deadline
            assert running.poll() is None
            time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert "half" not in names(cluster)
