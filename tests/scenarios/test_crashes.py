"""`kill -9` of one node or of all: a leader serves soon, and every acknowledged write is there, once."""

from __future__ import annotations

import time
from pathlib import Path

from quiesce.records import create
from tests.scenarios.cluster import Cluster
from tests.scenarios.people import DATABASE, check_all, contents, hammer, make_database, person


def test_a_new_leader_serves_within_five_seconds_of_the_old_ones_death(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster, cluster.client(timeout_s=20) as client:
        make_database(client)
        writers = hammer(client)
        time.sleep(2)
        leader = cluster.leader()
        cluster.nodes[leader].kill()
        with cluster.client() as fresh:
            fresh.write(DATABASE, [create(person(1), class_name="Person")], timeout_s=5)
        assert cluster.leader() != leader
        time.sleep(1)
        for writer in writers:
            writer.end()
            assert writer.failures == []
        check_all(writers, contents(client))
        cluster.nodes[leader].start()
        cluster.wait_until_serving()
        check_all(writers, contents(client))


def test_nothing_acknowledged_is_lost_when_all_nodes_die_at_once(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        with cluster.client(timeout_s=30) as client:
            make_database(client)
            writers = hammer(client)
            time.sleep(2)
            cluster.kill()
            for writer in writers:
                writer.ended.set()
            cluster.start()
            for writer in writers:
                writer.end()
            check_all(writers, contents(client))
        with cluster.client() as fresh:
            before = contents(fresh)
            cluster.kill()
            cluster.start()
            assert contents(fresh) == before


def test_a_node_that_was_away_comes_back_with_everything(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster, cluster.client(timeout_s=20) as client:
        make_database(client, 1000)
        away = cluster.followers()[0]
        cluster.nodes[away].kill()
        writers = hammer(client)
        time.sleep(2)
        for writer in writers:
            writer.end()
            assert writer.failures == []
        cluster.nodes[away].start()
        cluster.wait_until_serving()
        others = [node for node in cluster.members if node != away]
        cluster.nodes[others[0]].kill()
        check_all(writers, contents(client))
