"""A disk that fails, or gives back other bytes: the node ends and says so, and nothing acknowledged is lost."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from quiesce.errors import DamagedStore, DiskFailed, OutOfRotation
from quiesce.rpc import error_of
from quiesce.v1 import record_pb2, record_pb2_grpc
from tests.scenarios.cli import quiesce
from tests.scenarios.cluster import Cluster
from tests.scenarios.daemon import until
from tests.scenarios.people import DATABASE, Writer, check_all, contents, hammer, make_database

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What makes system calls fail, compiled here."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler, which makes the calls to the disk fail")
    library = tmp_path_factory.mktemp("shim") / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as running:
        yield running


def acknowledged(writers: list[Writer], more: int) -> None:
    """Wait until so many more writes were acknowledged."""
    goal = sum(len(writer.acknowledged) for writer in writers) + more
    until(lambda: sum(len(writer.acknowledged) for writer in writers) >= goal, 60, "writes are acknowledged")


@pytest.mark.parametrize(
    ("rule", "flushes", "named"),
    [
        ("sync /raft/ .log", False, "fdatasync"),
        ("write /raft/ .log", False, "write"),
        ("sync store-1/ .log", True, "store-1"),
        ("sync store-1/ .sst", True, "store-1"),
    ],
    ids=["fsync of the log", "write to the log", "fsync of the WAL", "fsync of a table"],
)
def test_an_error_of_the_disk_ends_the_node_and_nothing_is_lost(
    cluster: Cluster, shim: Path, monkeypatch: pytest.MonkeyPatch, rule: str, flushes: bool, named: str
) -> None:
    node = cluster.followers()[0]
    daemon, rules = cluster.nodes[node], cluster.directory / "rule"
    daemon.stop()
    with monkeypatch.context() as environment:
        environment.setenv("LD_PRELOAD", str(shim))
        environment.setenv("FAULT_RULE", str(rules))
        daemon.start()
    cluster.wait_until_serving()
    with cluster.client(timeout_s=30) as client:
        make_database(client, 100)
        writers = hammer(client, 3)
        acknowledged(writers, 30)
        rules.write_text(rule)
        if flushes:
            # The mark of a backup brings the memtables into tables.
            quiesce("backup", "--node", str(node), "--coordinator", cluster.coordinator_address)
        until(lambda: daemon.exit_code is not None, 60, "the node ends")
        assert daemon.exit_code == DiskFailed.exit_code, daemon.tail()
        assert named in daemon.tail(3)
        assert "Look at the disk" in daemon.tail(3)
        acknowledged(writers, 30)
        rules.unlink()
        daemon.start()
        cluster.wait_until_serving()
        # What it had not on the disk it has from the others: now the others may fail.
        other = next(one for one in cluster.followers() if one != node) if node in cluster.followers() else None
        if other is not None:
            cluster.nodes[other].kill()
            acknowledged(writers, 30)
        for writer in writers:
            writer.end()
        check_all(writers, contents(client))


def flip(path: Path, byte: int) -> None:
    with path.open("r+b") as file:
        file.seek(byte)
        (value,) = file.read(1)
        file.seek(byte)
        file.write(bytes((value ^ 4,)))


def test_a_read_that_meets_damage_is_answered_by_others_and_the_node_ends(cluster: Cluster) -> None:
    node = cluster.followers()[0]
    daemon = cluster.nodes[node]
    with cluster.client(timeout_s=30) as client:
        make_database(client, 3000)
        before = contents(client)
        daemon.stop()
        table = max((cluster.data(node) / "store").rglob("*.sst"), key=lambda path: path.stat().st_size)
        flip(table, table.stat().st_size // 3)
        checked = quiesce("check", str(cluster.data(node)))
        assert checked.code == DamagedStore.exit_code
        assert f"DAMAGED: {table}" in checked.output
        daemon.start()
        cluster.wait_until_serving()
        request = record_pb2.ScanRequest(
            database=DATABASE, whole_database=True, consistency=record_pb2.READ_CONSISTENCY_STALE
        )
        with grpc.insecure_channel(cluster.members[node]) as channel, pytest.raises(grpc.RpcError) as refusal:
            for _ in record_pb2_grpc.RecordsStub(channel).Scan(request, timeout=30):
                pass
        error = error_of(refusal.value, addresses=cluster.members[node])
        assert isinstance(error, OutOfRotation), error
        assert table.name in str(error)
        assert contents(client) == before
        until(lambda: daemon.exit_code is not None, 30, "the node ends")
        assert daemon.exit_code == DamagedStore.exit_code
        assert table.name in daemon.tail(3)
        assert "quiesce nodes remove" in daemon.tail(3)
        assert contents(client) == before


def test_a_damaged_wal_costs_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with Cluster(tmp_path, size=1) as cluster, cluster.client(timeout_s=30) as client:
        make_database(client, 100)
        writers = hammer(client, 3)
        acknowledged(writers, 100)
        cluster.nodes[1].kill()
        wal = max((cluster.data(1) / "store").rglob("*.log"), key=lambda path: path.stat().st_size)
        assert wal.stat().st_size > 4096
        flip(wal, wal.stat().st_size // 2)
        checked = quiesce("check", str(cluster.data(1)), "--quick")
        assert checked.code == DamagedStore.exit_code
        assert f"DAMAGED: {wal} at byte" in checked.output
        cluster.nodes[1].start()
        cluster.wait_until_serving()
        for writer in writers:
            writer.end()
        check_all(writers, contents(client))
