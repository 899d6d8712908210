"""P12: wrong input is answered with a typed error, its own exit code, and nothing half-done."""

from __future__ import annotations

import gzip
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from quiesce import Client, errors
from quiesce.errors import QuiesceError
from quiesce.records import create, update
from quiesce.rpc.limits import RECORD_BYTES
from quiesce.v1 import record_pb2, record_pb2_grpc
from tests.scenarios.cli import Answer, quiesce
from tests.scenarios.cluster import Cluster, free_ports
from tests.scenarios.people import DATABASE, contents, make_database, person

WORLD = Path(__file__).resolve().parents[2] / "examples" / "world-3.2.34.json.gz"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as running, running.client() as client:
        make_database(client, 10)
        yield running


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    with cluster.client() as client:
        yield client


def refused(answer: Answer, error: type[QuiesceError], *named: str) -> None:
    """Check that a command failed as `error`, naming these words."""
    assert answer.code == error.exit_code, f"{answer.code}: {answer.error}"
    assert "Traceback" not in answer.error
    for word in named:
        assert word in answer.error


def test_an_unknown_database(cluster: Cluster, client: Client, tmp_path: Path) -> None:
    with pytest.raises(errors.UnknownDatabase, match="atlantis"):
        client.database("atlantis")
    target = tmp_path / "out.json.gz"
    answer = quiesce("export", "atlantis", str(target), "--cluster", cluster.addresses)
    refused(answer, errors.UnknownDatabase, "atlantis")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_class(client: Client) -> None:
    with pytest.raises(errors.UnknownClass, match="Ghost"):
        client.write(DATABASE, [create({"a": 1}, class_name="Ghost")])
    with pytest.raises(errors.UnknownClass, match="Ghost"):
        list(client.scan(DATABASE, class_name="Ghost"))


def test_an_unknown_node(cluster: Cluster) -> None:
    refused(quiesce("backup", "--node", "9", "--coordinator", cluster.coordinator_address), errors.UnknownNode, "9")
    refused(quiesce("nodes", "drain", "9", "--for", "10s", "--cluster", cluster.addresses), errors.UnknownNode, "9")


def test_an_unknown_snapshot(cluster: Cluster, tmp_path: Path) -> None:
    answer = quiesce("snapshots", "show", "20000101T000000Z-00000000", "--coordinator", cluster.coordinator_address)
    refused(answer, errors.UnknownSnapshot, "20000101T000000Z-00000000")


def test_a_stale_version_changes_nothing(client: Client) -> None:
    before = contents(client)
    rid = max(before)
    with pytest.raises(errors.StaleVersion, match=str(rid)):
        client.write(DATABASE, [update(rid, {"@class": "Person", **person(5)}, expected_version=77)])
    assert contents(client) == before


def test_a_duplicate_key_refuses_the_whole_batch(client: Client) -> None:
    before = contents(client)
    batch = [create(person(number), class_name="Person") for number in (500, 501, 5)]
    with pytest.raises(errors.DuplicateKey, match=r"Person\.number") as refusal:
        client.write(DATABASE, batch)
    assert refusal.value.fields["key"].strip("[]") == "5"
    assert contents(client) == before


def test_a_record_of_100_mebibytes(cluster: Cluster, client: Client) -> None:
    before = contents(client)
    large = b'{"@class":"Person","number":900,"text":"' + b"x" * (100 << 20) + b'"}'
    with pytest.raises(errors.RecordTooLarge, match=str(RECORD_BYTES)):
        client.write(DATABASE, [create(large, class_name="Person")])
    # One that does not use the client library is stopped at the door.
    request = record_pb2.WriteRequest(database=DATABASE, operations=[create(large, class_name="Person")])
    with grpc.insecure_channel(cluster.members[cluster.leader()]) as channel, pytest.raises(grpc.RpcError) as refusal:
        record_pb2_grpc.RecordsStub(channel).Write(request, timeout=60)
    assert refusal.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert contents(client) == before


@pytest.mark.parametrize("damage", ["cut in the compressed stream", "cut in the text", "not JSON", "not there"])
def test_a_damaged_export_leaves_nothing_behind(cluster: Cluster, client: Client, tmp_path: Path, damage: str) -> None:
    file = tmp_path / "world.json.gz"
    text = gzip.decompress(WORLD.read_bytes())
    expected: type[QuiesceError] = errors.TruncatedExport
    if damage == "cut in the compressed stream":
        file.write_bytes(WORLD.read_bytes()[: 1 << 20])
    elif damage == "cut in the text":
        file.write_bytes(gzip.compress(text[: len(text) // 3], 1))
    elif damage == "not JSON":
        middle = text.index(b'"@rid"', len(text) // 4)
        file.write_bytes(gzip.compress(text[:middle] + b"}}]" + text[middle:], 1))
        expected = errors.MalformedExport
    else:
        expected = errors.FileUnusable
    answer = quiesce("import", str(file), "--database", "broken", "--cluster", cluster.addresses)
    refused(answer, expected, "world.json.gz")
    assert "broken" not in [database.name for database in client.list_databases(all=True)]


def test_a_repository_that_cannot_be_written(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "a-file"
    file.write_text("not a directory")
    answer = quiesce("backup", "--repository", str(file / "below"), "--coordinator", cluster.coordinator_address)
    refused(answer, errors.RepositoryUnusable, str(file))
    in_rotation(cluster)


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system is mounted, which only root may")
def test_a_repository_that_is_full(cluster: Cluster, client: Client, tmp_path: Path) -> None:
    client.create_database("bulk")
    noise = [create({"noise": os.urandom(48_000)}, class_name="V") for _ in range(100)]
    client.write("bulk", noise)
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system is not allowed here")
    try:
        answer = quiesce("backup", "--repository", str(small), "--coordinator", cluster.coordinator_address)
        refused(answer, errors.RepositoryFull, str(small))
        listed = quiesce("snapshots", "list", "--repository", str(small), "--output", "json")
        assert '"snapshots":[]' in listed.output.replace(" ", "")
        in_rotation(cluster)
    finally:
        subprocess.run(["umount", str(small)], check=True)
        client.drop_database("bulk")
    assert quiesce("backup", "--coordinator", cluster.coordinator_address).code == 0


def in_rotation(cluster: Cluster) -> None:
    cluster.wait_until_serving(timeout_s=20)


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        arguments = (
            "--node-id",
            "1",
            "--data",
            str(tmp_path / "data"),
            "--cluster-id",
            "c",
            "--members",
            f"1={address}",
        )
        refused(quiesce("node", "--listen", address, *arguments), errors.AddressInUse, address)
        refused(
            quiesce("coordinator", "--listen", address, "--cluster", address, "--repository", str(tmp_path / "r")),
            errors.AddressInUse,
            address,
        )


def test_peers_that_never_come(tmp_path: Path) -> None:
    own, other, third = (f"127.0.0.1:{port}" for port in free_ports(3))
    answer = quiesce(
        "node", "--node-id", "1", "--data", str(tmp_path / "data"), "--listen", own, "--cluster-id", "c",
        "--members", f"1={own},2={other},3={third}", "--require-leader-within", "3s",
    )  # fmt: skip
    refused(answer, errors.PeersUnreachable)


def test_nobody_at_the_address() -> None:
    (port,) = free_ports(1)
    refused(quiesce("databases", "--cluster", f"127.0.0.1:{port}"), errors.Unavailable, str(port))
    refused(quiesce("backup", "--coordinator", f"127.0.0.1:{port}"), errors.Unavailable, str(port))
