"""A majority is lost for good: the node that is left becomes a new cluster with all that its log held."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.identity import read_identity
from nodes.salvage import Survivor, read_survivor
from nodes.store.store import Store
from quiesce import Client
from quiesce.errors import ClusterAlive, DirectoryInUse, DirectoryNotEmpty, FileUnusable, LogRolledBack, WrongCluster
from quiesce.v1.peer_pb2 import LogEntry
from tests.scenarios.cli import ROOT, quiesce
from tests.scenarios.cluster import Cluster, free_ports
from tests.scenarios.daemon import Daemon, until
from tests.scenarios.people import DATABASE, contents, hammer, make_database

_NUMBER = re.compile(rb'"number": ?(\d+)')


@pytest.fixture
def daemons() -> Iterator[list[Daemon]]:
    """What a test starts beside its cluster; it ends with the test."""
    started: list[Daemon] = []
    yield started
    for daemon in started:
        daemon.stop()


def node(daemons: list[Daemon], data: Path, node_id: int, address: str, *more: str) -> Daemon:
    daemon = Daemon(
        ["node", "--node-id", str(node_id), "--data", str(data), "--listen", address, *more],
        data.with_name(f"{data.name}.log"),
    )
    daemons.append(daemon)
    daemon.start()
    return daemon


def numbers_in(survivor: Survivor) -> set[int]:
    """Return the people that a stopped node had, in its store or behind it in its log."""
    tail = b"".join(
        operation.create.body
        for entry in survivor.entries
        if entry.data
        for command in LogEntry.FromString(entry.data).commands
        for operation in command.write.operations
    )
    found = {int(number) for number in _NUMBER.findall(tail)}
    store = Store(survivor.store.parent) if survivor.store else None
    if store is not None:
        with store.view() as view:
            for cluster in view.class_clusters(DATABASE, "Person"):
                for batch in view.scan_cluster(DATABASE, cluster):
                    found.update(int(_NUMBER.search(record.body)[1]) for record in batch)  # type: ignore[index]
        store.close()
    return found


def people_of(client: Client) -> set[int]:
    return {int(_NUMBER.search(body)[1]) for _, body in contents(client).values()}  # type: ignore[index]


@pytest.mark.timeout(240)
def test_two_of_three_are_lost_under_writers(tmp_path: Path, daemons: list[Daemon]) -> None:
    new, cluster = tmp_path / "new", Cluster(tmp_path)
    with cluster, cluster.client(timeout_s=5) as client:
        make_database(client, people=500)
        writers = hammer(client)
        until(lambda: all(len(writer.acknowledged) > 20 for writer in writers), 60, "writers are answered")
        leader = cluster.leader()
        survivor, kept, burnt = sorted(cluster.nodes, key=lambda node_id: (node_id == leader, node_id))
        old, address = cluster.data(survivor), cluster.members[survivor]
        refused = quiesce("salvage", str(old), "--data", str(new), "--yes")
        assert refused.code == DirectoryInUse.exit_code, refused
        for lost in (burnt, kept):
            cluster.nodes[lost].kill()
        shutil.rmtree(cluster.data(burnt))
        for writer in writers:
            writer.end()
        acknowledged = {number for writer in writers for number in writer.acknowledged}
        cluster.coordinator.stop()
        cluster.nodes[survivor].kill()

        looked = quiesce("salvage", str(old), "--dry-run", "--output", "json")
        facts = json.loads(looked.output)
        made = quiesce("salvage", str(old), "--data", str(new), "--yes", "--output", "json")
        assert made.code == 0, made.error
        salvaged = json.loads(made.output.splitlines()[-1])["salvaged"]
        assert salvaged["last_index"] == facts["last_index"] > facts["committed_index"] - 1
        shutil.copytree(old, tmp_path / "copy")
        here = numbers_in(read_survivor(tmp_path / "copy"))
        assert len(acknowledged - here) < len(acknowledged), "the test shows nothing"

        node(daemons, new, survivor, address)
        with Client(address, timeout_s=30) as after:
            assert people_of(after) == here, "all that the log held is there, and nothing else"
            # Clients of the old cluster are refused, and so is its other node.
            with pytest.raises(WrongCluster):
                contents(client)
            cluster.nodes[kept].start()
            until(lambda: cluster.status(kept, client), 30, "the old node answers")
            time.sleep(3)
            with cluster.client() as stale:
                assert stale.admin.status(cluster.members[kept]).leader_id == 0
            assert people_of(after) == here

            for node_id, port in zip((7, 8), free_ports(8)[6:], strict=True):
                further = f"127.0.0.1:{port}"
                node(daemons, tmp_path / f"new-{node_id}", node_id, further, "--join", address)
                wanted = ("nodes", "add", f"{node_id}={further}", "--promote", "--cluster", address)
                added = quiesce(*wanted, timeout_s=90)
                assert added.code == 0, added.error
        # It bears the loss of the one that it began with.
        daemons[0].kill()
        with Client(further, timeout_s=30) as after:
            assert people_of(after) == here


@pytest.mark.timeout(120)
def test_salvage_may_be_killed_and_is_refused_while_the_cluster_lives(tmp_path: Path, daemons: list[Daemon]) -> None:
    with Cluster(tmp_path) as cluster:
        with cluster.client() as client:
            make_database(client, people=200)
        away = cluster.followers()[0]
        cluster.nodes[away].kill()
        old, new = cluster.data(away), tmp_path / "new"
        refused = quiesce("salvage", str(old), "--data", str(new), "--yes")
        assert refused.code == ClusterAlive.exit_code, refused
        assert not new.exists()
    command = [sys.executable, "-m", "quiesce", "salvage", str(old), "--data", str(new), "--yes"]
    for pause_s in (0.6, 0.8, 1.0, 1.2):
        # SIGKILL, at whatever it does by then.
        run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(pause_s)
        run.kill()
        run.wait()
    if read_identity(new) is None:
        done = quiesce(*command[3:])
        assert done.code == 0, done.error
    again = quiesce(*command[3:])
    assert again.code == DirectoryNotEmpty.exit_code, again
    node(daemons, new, away, cluster.members[away])
    with Client(cluster.members[away], timeout_s=30) as client:
        assert people_of(client) == set(range(200))


@pytest.mark.timeout(120)
def test_a_directory_that_was_put_back_is_noticed_and_stays_out(tmp_path: Path) -> None:
    """A snapshot of a virtual machine that somebody restored: the node lacks what it has acknowledged since."""
    with Cluster(tmp_path) as cluster, cluster.client(timeout_s=30) as client:
        make_database(client, people=100)
        leader, (follower, _) = cluster.leader(), cluster.followers()
        data, put_back = cluster.data(follower), cluster.nodes[follower]
        put_back.kill()
        shutil.copytree(data, tmp_path / "copy")
        put_back.start()
        cluster.wait_until_serving()
        make_database(client, people=1000, database="later")
        until(lambda: cluster.status(follower, client).applied_index > 15, 30, "the follower has it")  # type: ignore[union-attr]
        put_back.kill()
        shutil.rmtree(data)
        shutil.move(tmp_path / "copy", data)
        put_back.start()
        assert put_back.wait(60) == LogRolledBack.exit_code, put_back.tail()
        # Nor does it come back under a leader who does not remember.
        cluster.nodes[leader].kill()
        cluster.nodes[leader].start()
        client.create_database("after")
        put_back.start()
        assert put_back.wait(60) == LogRolledBack.exit_code
        assert f"quiesce nodes remove {follower}" in put_back.tail()
        assert len(contents(client, "later")) == 1000


def test_what_cannot_be_salvaged(tmp_path: Path) -> None:
    refused = quiesce("salvage", str(tmp_path), "--dry-run")
    assert refused.code == FileUnusable.exit_code
    assert "not the data directory of a node" in refused.error
    missing = quiesce("salvage", str(tmp_path / "nowhere"), "--dry-run")
    assert missing.code == 2
    assert list(tmp_path.iterdir()) == []
