"""P4: a replica that is out of rotation still stores and votes; a second one is never taken out."""

from __future__ import annotations

from pathlib import Path

import pytest

from quiesce.errors import ClusterDegraded, QuiesceError, RotationHeld
from quiesce.records import create
from quiesce.v1 import node_pb2
from tests.scenarios.cluster import Cluster
from tests.scenarios.daemon import until
from tests.scenarios.people import DATABASE, contents, make_database, person


def test_writes_go_on_with_one_of_three_out_of_rotation_and_another_dead(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster, cluster.client(timeout_s=20) as client:
        make_database(client, 100)
        drained, dead = cluster.followers()
        lease = client.admin.drain(drained, "a test", "to be short of one", 60_000)
        until(lambda: _serving(cluster, drained) == node_pb2.SERVING_STATE_DRAINED, 10, "the node drained")
        with cluster.backups() as backups, pytest.raises((RotationHeld, ClusterDegraded)):
            list(backups.create())
        cluster.nodes[dead].kill()
        for number in range(100, 120):
            client.write(DATABASE, [create(person(number), class_name="Person")])
        with cluster.backups() as backups, pytest.raises((RotationHeld, ClusterDegraded)):
            list(backups.create())
        client.admin.undrain(lease.epoch)
        until(lambda: _serving(cluster, drained) == node_pb2.SERVING_STATE_SERVING, 10, "the node back in rotation")
        with cluster.backups() as backups, pytest.raises(ClusterDegraded):
            list(backups.create())
        cluster.nodes[dead].start()
        cluster.wait_until_serving()
        assert len(contents(client)) == 120


def test_writes_go_on_when_the_leader_dies_while_another_is_out_of_rotation(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster, cluster.client(timeout_s=20) as client:
        make_database(client, 100)
        leader, drained = cluster.leader(), cluster.followers()[0]
        client.admin.drain(drained, "a test", "to be short of one", 60_000)
        until(lambda: _serving(cluster, drained) == node_pb2.SERVING_STATE_DRAINED, 10, "the node drained")
        cluster.nodes[leader].kill()
        for number in range(100, 120):
            client.write(DATABASE, [create(person(number), class_name="Person")])
        assert len(contents(client)) == 120
        assert cluster.leader() not in (leader, drained)


def test_a_lease_whose_owner_is_gone_ends_by_itself(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster, cluster.client() as client:
        drained = cluster.followers()[0]
        client.admin.drain(drained, "a test", "and then forgotten", 3_000)
        until(lambda: _serving(cluster, drained) == node_pb2.SERVING_STATE_DRAINED, 10, "the node drained")
        until(lambda: _serving(cluster, drained) == node_pb2.SERVING_STATE_SERVING, 10, "the lease ended")


def _serving(cluster: Cluster, node: int) -> int:
    with cluster.client() as client:
        try:
            return client.admin.status(cluster.members[node]).serving
        except QuiesceError:
            return 0
