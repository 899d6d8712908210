"""Members come and go while clients work: nothing that was acknowledged is lost, and who is gone stays gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from quiesce.errors import NodeRemoved
from tests.scenarios.cluster import Cluster
from tests.scenarios.people import check_all, contents, hammer, make_database

REMOVED = NodeRemoved.exit_code


@pytest.mark.timeout(240)
def test_a_cluster_of_one_grows_to_three_under_writers(tmp_path: Path) -> None:
    with Cluster(tmp_path, size=1, spare=2) as cluster, cluster.client(timeout_s=30) as client:
        make_database(client, people=2_000)
        writers = hammer(client)
        cluster.grow(2, client)
        cluster.grow(3, client)
        cluster.wait_until_serving()
        for writer in writers:
            writer.end()
        assert [writer.failures for writer in writers] == [[]] * len(writers)
        found = {member.node_id: member.learner for member in client.admin.members().members}
        assert found == {1: False, 2: False, 3: False}
        # It bears the loss of one now, be it the one that was there first.
        cluster.nodes[1].kill()
        check_all(writers, contents(client))


@pytest.mark.timeout(300)
def test_every_node_is_replaced_one_by_one_under_writers(tmp_path: Path) -> None:
    """A dead disk, a leader, a follower: at the end none of the first three is left, and no client was told."""
    with Cluster(tmp_path, spare=3) as cluster, cluster.client(timeout_s=30) as client:
        make_database(client, people=500)
        writers = hammer(client, count=2)
        lost, leader = cluster.followers()[0], cluster.leader()
        # Its machine burns down: another one takes its place under another id.
        cluster.nodes[lost].kill()
        shutil.rmtree(cluster.data(lost))
        cluster.grow(4, client)
        client.admin.remove_node(lost)
        del cluster.nodes[lost], cluster.members[lost]
        # The leader hands leadership on before it goes, and goes for good.
        cluster.grow(5, client)
        gone = cluster.nodes[leader]
        assert cluster.shrink(leader, client) == REMOVED
        gone.start()
        assert gone.wait(30) == REMOVED
        assert "was removed from cluster" in gone.tail()
        last = next(node for node in (1, 2, 3) if node not in (lost, leader))
        cluster.grow(6, client)
        assert cluster.shrink(last, client) == REMOVED
        cluster.wait_until_serving()
        for writer in writers:
            writer.end()
        assert [writer.failures for writer in writers] == [[]] * len(writers)
        check_all(writers, contents(client))
        answer = client.admin.members()
        assert [member.node_id for member in answer.members] == [4, 5, 6]
        assert list(answer.removed_node_ids) == [1, 2, 3]
        # The coordinator was told of the first three only, and had nothing to do meanwhile.
        with cluster.backups(timeout_s=30) as backups:
            done = list(backups.create())[-1].job
        assert done.node_id in (4, 5, 6)
