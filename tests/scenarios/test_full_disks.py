"""A full disk stops writes cleanly where it is full, and heals by itself when there is room."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quiesce import Client
from quiesce.errors import DiskFull, DiskOutOfSpace, QuiesceError
from quiesce.records import create
from quiesce.v1 import node_pb2
from tests.scenarios.cli import quiesce
from tests.scenarios.cluster import Cluster
from tests.scenarios.daemon import until
from tests.scenarios.people import DATABASE, Writer, check_all, contents, hammer, make_database, person

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(240)]

MEBIBYTE = 1 << 20
RESERVE = 64 * MEBIBYTE


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes, each on a small disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("small file systems are mounted, which only root may")
    cluster = Cluster(tmp_path, node_options={"disk-reserve": str(RESERVE)})
    mounted: list[Path] = []
    try:
        for node in cluster.nodes:
            directory = cluster.data(node)
            directory.mkdir(parents=True)
            mount = ["mount", "-t", "tmpfs", "-o", "size=600m", "tmpfs", str(directory)]
            if subprocess.run(mount, check=False).returncode:
                pytest.skip("mounting a small file system is not allowed here")
            mounted.append(directory)
        with cluster:
            yield cluster
    finally:
        for directory in mounted:
            subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(cluster: Cluster, node: int, *, leave: int) -> None:
    """Take the room on a node's disk, but for so many bytes; the node goes on writing meanwhile."""
    with (cluster.data(node) / "ballast").open("ab") as file:
        found = os.statvfs(file.fileno())
        size = found.f_bavail * found.f_frsize - leave
        while size > 0:
            try:
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
                size = size if leave == 0 else 0
            except OSError:
                size //= 2


def make_room(cluster: Cluster, node: int) -> None:
    (cluster.data(node) / "ballast").unlink()


def disk(cluster: Cluster, node: int, client: Client) -> node_pb2.DiskRoom:
    status = cluster.status(node, client)
    return status.disk if status is not None else node_pb2.DiskRoom()


def advanced(writers: list[Writer], by: int = 10) -> None:
    """Wait until every writer has got further."""
    before = [len(writer.acknowledged) for writer in writers]

    def further() -> bool:
        return all(len(writer.acknowledged) >= n + by for writer, n in zip(writers, before, strict=True))

    until(further, 60, "writes are acknowledged")


def test_full_disks_one_after_the_other_then_all(cluster: Cluster) -> None:
    with cluster.client(timeout_s=30) as client, cluster.client(timeout_s=2) as asking:
        make_database(client, 100)
        writers = hammer(client, 3)
        advanced(writers)

        # A follower that has nothing left of its reserve: it leaves service, the others go on.
        follower = cluster.followers()[0]
        fill(cluster, follower, leave=RESERVE // 32)
        until(lambda: disk(cluster, follower, asking).full, 30, "the follower knows that its disk is full")

        def caught_out() -> bool:
            status = cluster.status(follower, asking)
            return status is not None and status.serving == node_pb2.SERVING_STATE_CATCHING_UP

        until(caught_out, 30, "the follower serves no reads: it cannot follow")
        advanced(writers)
        assert f"Node {follower} has a full disk" in quiesce("nodes", "--cluster", cluster.addresses).error
        status = cluster.status(follower, asking)
        assert status is not None
        assert any("disk is full" in change.reason for change in status.history)
        make_room(cluster, follower)
        until(lambda: not disk(cluster, follower, asking).full, 30, "the follower has room")
        cluster.wait_until_serving()
        advanced(writers)

        # The leader: another takes over.
        leader = cluster.leader()
        fill(cluster, leader, leave=RESERVE // 2 + 8 * MEBIBYTE)
        until(lambda: cluster.leader() not in (0, leader), 30, "a node with room leads")
        advanced(writers)
        make_room(cluster, leader)
        until(lambda: not disk(cluster, leader, asking).full, 30, "the old leader has room")

        # All of them: writes are refused with what to do about it, reads go on.
        for node in cluster.nodes:
            fill(cluster, node, leave=RESERVE // 2 + 8 * MEBIBYTE)
        until(lambda: all(disk(cluster, node, asking).full for node in cluster.nodes), 30, "all disks are full")

        def answer() -> str:
            try:
                asking.write(DATABASE, [create(person(1), class_name="Person")])
            except QuiesceError as error:
                return str(error) if isinstance(error, DiskFull) else ""
            return ""

        until(lambda: "kept free" in answer(), 60, "a write is refused with DiskFull")
        assert len(contents(client)) >= 100
        cluster.check_alive()
        for node in cluster.nodes:
            make_room(cluster, node)
        advanced(writers)
        cluster.wait_until_serving()
        for writer in writers:
            writer.end()
        check_all(writers, contents(client))


def test_a_disk_that_others_fill_ends_the_process_which_waits_for_room_and_goes_on(cluster: Cluster) -> None:
    with cluster.client(timeout_s=30) as client:
        make_database(client, 100)
        writers = hammer(client, 3)
        advanced(writers)
        node = cluster.followers()[0]
        # Faster than any look: not a byte is left when the next entry comes.
        fill(cluster, node, leave=0)
        daemon = cluster.nodes[node]
        until(lambda: daemon.exit_code is not None or "disk full" in daemon.tail(200), 30, "the node notices")
        code = daemon.exit_code
        if code is not None:
            assert code == DiskOutOfSpace.exit_code, daemon.tail()
            assert "waits until there is room" in daemon.tail()
        daemon.kill()
        daemon.start()
        until(lambda: "waiting for room on the disk" in daemon.tail(5), 30, "it waits for room")
        advanced(writers)
        assert daemon.running
        make_room(cluster, node)
        cluster.wait_until_serving()
        advanced(writers)
        time.sleep(0.5)
        for writer in writers:
            writer.end()
        check_all(writers, contents(client))
