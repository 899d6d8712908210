"""Imports and exports by way of the coordinator: no common file system, and nothing is left of what is cut off."""

from __future__ import annotations

import asyncio
import gzip
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quiesce import AsyncClient
from quiesce.client import Transfers
from quiesce.errors import (
    DuplicateKeyInExport,
    MalformedExport,
    QuiesceError,
    TransferRefused,
    Unavailable,
    UnfinishedImport,
    UnknownDatabase,
)
from quiesce.orientdb import compare_exports
from quiesce.orientdb.compare import compare_with_database
from quiesce.orientdb.differences import Difference
from tests.scenarios.cli import Answer, quiesce
from tests.scenarios.cluster import Cluster

ROOT = Path(__file__).resolve().parents[2]
WORLD = ROOT / "examples" / "world-3.2.34.json.gz"
LIMIT = 40 << 20


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    options = {"transfer-directory": str(directory / "transfers"), "transfer-limit": str(LIMIT), "transfers": "2"}
    with Cluster(directory, coordinator_options=options) as running:
        yield running


def spooled(cluster: Cluster) -> list[Path]:
    return list((cluster.directory / "transfers").glob("transfer-*"))


def arguments(cluster: Cluster, file: Path, database: str, *more: str) -> list[str]:
    where = ["--via-coordinator", "--coordinator", cluster.coordinator_address, "--cluster", "127.0.0.1:1"]
    return ["import", str(file), "--database", database, *where, "--output", "json", *more]


def imported(cluster: Cluster, file: Path, database: str, *more: str) -> Answer:
    return quiesce(*arguments(cluster, file, database, *more), timeout_s=300)


def reason(answer: Answer) -> str:
    return str(json.loads(answer.error.strip().splitlines()[-1])["reason"])


def wait(until: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not until():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def names(cluster: Cluster) -> list[str]:
    with cluster.client() as client:
        return [one.name for one in client.list_databases(all=True)]


def records(cluster: Cluster, database: str) -> int:
    with cluster.client() as client:
        try:
            return sum(one.records for one in client.database(database).clusters)
        except UnknownDatabase:
            return 0


async def differences(cluster: Cluster, path: Path, database: str) -> list[Difference]:
    async with AsyncClient(cluster.addresses) as client:
        return (await compare_with_database(path, client, database)).listed


async def exported(cluster: Cluster, database: str, path: Path) -> dict[str, object]:
    report = {}
    async with Transfers(cluster.coordinator_address) as transfers:
        with path.open("wb") as file:
            async for answer in transfers.export(database):
                file.write(answer.data)
                if answer.WhichOneof("event") == "report":
                    report = json.loads(answer.report)
    return report


def test_in_and_out_without_a_common_file_system(cluster: Cluster, tmp_path: Path) -> None:
    answer = imported(cluster, WORLD, "world")
    assert answer.code == 0, answer.error
    lines = [json.loads(line) for line in answer.output.splitlines()]
    assert (lines[-1]["records"], lines[-1]["dangling"]) == (79_505, 0)
    assert {"Send", "Check", "Import"} <= {line["title"] for line in lines if line["type"] == "progress"}
    assert any(line.get("cluster") == "city" for line in lines)
    assert asyncio.run(differences(cluster, WORLD, "world")) == []
    out = tmp_path / "out.json.gz"
    report = asyncio.run(exported(cluster, "world", out))
    assert report["records"] == 79_505
    assert compare_exports(WORLD, out).listed == []
    wait(lambda: not spooled(cluster), "the spool is not empty")
    with pytest.raises(UnknownDatabase):
        asyncio.run(exported(cluster, "nothing", out))


@pytest.mark.parametrize("error", [MalformedExport, DuplicateKeyInExport, TransferRefused])
def test_errors_arrive_as_they_are(cluster: Cluster, tmp_path: Path, error: type[QuiesceError]) -> None:
    path = tmp_path / "bad.json.gz"
    text = gzip.decompress(WORLD.read_bytes())
    if error is MalformedExport:
        at = text.index(b"{", 1_000_000)
        path.write_bytes(gzip.compress(text[:at] + b"?" + text[at + 1 :], 1))
    elif error is DuplicateKeyInExport:
        path.write_bytes(gzip.compress(text.replace(b'"iso":"AF"', b'"iso":"AD"'), 1))
    else:
        path.write_bytes(bytes(LIMIT + 1))
    answer = imported(cluster, path, "bad")
    assert (answer.code, reason(answer)) == (error.exit_code, error.reason()), answer.error
    if error is not TransferRefused:
        assert str(path) in answer.error
    wait(lambda: not spooled(cluster), "the spool is not empty")
    assert "bad" not in names(cluster)


def test_options_and_what_was_skipped_arrive(cluster: Cluster, tmp_path: Path) -> None:
    path, skipped = tmp_path / "x.json.gz", tmp_path / "skipped"
    text = gzip.decompress(WORLD.read_bytes()).replace(b'"iso":"AF"', b'"iso":"AD"')
    path.write_bytes(gzip.compress(text, 1))
    more = ("--include-class=Country", "--on-error=skip", "--skipped", str(skipped), "--preserve-cluster-ids=false")
    answer = imported(cluster, path, "some", *more)
    assert answer.code == 0, answer.error
    result = json.loads(answer.output.splitlines()[-1])
    assert sum(result["clusters"].values()) == 251
    [line] = [json.loads(line) for line in skipped.read_text().splitlines()]
    assert (line["record"], line["section"]) == ("#16:1", "records")
    with cluster.client() as client:
        client.drop_database("some")


def test_a_caller_that_is_killed_leaves_nothing(cluster: Cluster) -> None:
    command = [sys.executable, "-m", "quiesce", *arguments(cluster, WORLD, "half")]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait(lambda: records(cluster, "half") > 0 or running.poll() is not None, "no record came in")
    running.kill()
    assert running.wait() == -signal.SIGKILL
    wait(lambda: "half" not in names(cluster) and not spooled(cluster), "something was left", 90)
    cluster.check_alive()


def test_a_caller_that_sends_half_a_file(cluster: Cluster, tmp_path: Path) -> None:
    async def half() -> None:
        path = tmp_path / "half"
        path.write_bytes(WORLD.read_bytes()[:2_000_000])
        async with Transfers(cluster.coordinator_address) as transfers:
            async for answer in transfers.import_file(path, "half"):
                if answer.received:
                    return

    asyncio.run(half())
    wait(lambda: not spooled(cluster), "something was left", 90)
    assert "half" not in names(cluster)


def test_there_are_only_so_many_at_a_time(cluster: Cluster) -> None:
    async def three() -> None:
        async with Transfers(cluster.coordinator_address) as transfers:
            streams = [transfers.import_file(WORLD, f"many{number}") for number in range(3)]
            await asyncio.gather(*(anext(stream) for stream in streams[:2]))
            with pytest.raises(TransferRefused):
                await anext(streams[2])
            for stream in streams:
                await stream.aclose()

    asyncio.run(three())
    wait(lambda: not spooled(cluster), "something was left", 90)
    assert not [name for name in names(cluster) if name.startswith("many")]


def test_a_coordinator_that_is_killed_leaves_what_the_next_import_discards(cluster: Cluster) -> None:
    command = [sys.executable, "-m", "quiesce", *arguments(cluster, WORLD, "half")]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait(lambda: records(cluster, "half") > 0 or running.poll() is not None, "no record came in")
    cluster.coordinator.kill()
    _, said = running.communicate(timeout=60)
    assert running.returncode == 10, said
    cluster.coordinator.start()
    # The process of the import died with it. What is there is seen by nobody.
    with cluster.client() as client:
        assert "half" not in [one.name for one in client.list_databases()]
    deadline = time.monotonic() + 60
    answer = imported(cluster, WORLD, "half")
    while reason(answer) == Unavailable.reason() and time.monotonic() < deadline:
        answer = imported(cluster, WORLD, "half")
    assert (answer.code, reason(answer)) == (UnfinishedImport.exit_code, UnfinishedImport.reason()), answer.error
    answer = imported(cluster, WORLD, "half", "--discard-unfinished", "--include-class=Country")
    assert answer.code == 0, answer.error
    assert records(cluster, "half") == 252
