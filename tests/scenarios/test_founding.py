"""A new cluster begins when all its nodes are there; a node that lost its directory is told from one that is new."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from quiesce import errors
from quiesce.v1.node_pb2 import SERVING_STATE_CATCHING_UP
from tests.scenarios.cluster import Cluster
from tests.scenarios.daemon import Daemon, until
from tests.scenarios.people import contents, make_database

WAITS = "waiting for all founding nodes"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.stop()


def waits(daemon: Daemon) -> None:
    until(lambda: WAITS in daemon.tail(), 30, "the node waits for the others")


def nobody_leads(cluster: Cluster, *nodes: int) -> None:
    with cluster.client() as client:
        for node in nodes:
            until(partial(cluster.status, node, client), 30, f"node {node} answers")
            status = cluster.status(node, client)
            assert status is not None
            assert (status.leader_id, status.serving) == (0, SERVING_STATE_CATCHING_UP)


def wipe(cluster: Cluster, node: int) -> None:
    cluster.nodes[node].kill()
    shutil.rmtree(cluster.data(node))
    cluster.nodes[node].log.unlink()


def test_nodes_may_start_one_after_the_other_and_die_meanwhile(cluster: Cluster) -> None:
    for node in (1, 2):
        cluster.nodes[node].start()
        waits(cluster.nodes[node])
    nobody_leads(cluster, 1, 2)
    cluster.nodes[1].kill()
    cluster.nodes[3].start()
    waits(cluster.nodes[3])
    cluster.nodes[2].kill()
    cluster.nodes[2].start()
    waits(cluster.nodes[2])
    cluster.start()
    with cluster.client() as client:
        client.create_database("in-time")
    # From then on a majority is enough.
    cluster.kill()
    for node in (1, 2):
        cluster.nodes[node].start()
    cluster.wait_until_serving()


def test_a_lost_directory_is_not_taken_for_a_new_one(cluster: Cluster) -> None:
    cluster.start()
    with cluster.client() as client:
        make_database(client, 10)
    wipe(cluster, 3)
    cluster.nodes[3].start()
    assert cluster.nodes[3].wait(30) == errors.DirectoryLost.exit_code
    assert "quiesce nodes remove 3" in cluster.nodes[3].tail()
    assert [entry.name for entry in cluster.data(3).iterdir()] == ["lock"]
    with cluster.client() as client:
        assert len(contents(client)) == 10


def test_two_lost_directories_do_not_make_a_cluster_behind_the_back_of_the_third(cluster: Cluster) -> None:
    """As in etcd-io/etcd#12227, where two empty members began anew and the third one's data went."""
    cluster.start()
    with cluster.client() as client:
        make_database(client, 10)
    cluster.kill()
    for node in (2, 3):
        wipe(cluster, node)
        cluster.nodes[node].start()
    for node in (2, 3):
        waits(cluster.nodes[node])
    # Longer than an election takes.
    time.sleep(3)
    nobody_leads(cluster, 2, 3)
    cluster.nodes[1].start()
    for node in (2, 3):
        assert cluster.nodes[node].wait(30) == errors.DirectoryLost.exit_code
    assert cluster.nodes[1].running
