"""Members that come and go in the wrong way: refused with words, or survived."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quiesce import Client, errors
from quiesce.errors import NodeRemoved, QuiesceError
from quiesce.v1.node_pb2 import SERVING_STATE_SERVING
from tests.scenarios.cli import Answer, quiesce
from tests.scenarios.cluster import Cluster, free_ports
from tests.scenarios.daemon import until
from tests.scenarios.people import contents, make_database

REMOVED = NodeRemoved.exit_code


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), spare=2) as running:
        yield running


def nodes(cluster: Cluster, *arguments: str) -> Answer:
    return quiesce("nodes", *arguments, "--cluster", cluster.addresses)


def refused(answer: Answer, error: type[QuiesceError], *named: str) -> None:
    """Check that a command failed as `error`, naming these words."""
    assert answer.code == error.exit_code, f"{answer.code}: {answer.error}"
    assert "Traceback" not in answer.error
    for word in named:
        assert word in answer.error


def members(cluster: Cluster) -> tuple[dict[int, str], list[int]]:
    with cluster.client() as client:
        answer = client.admin.members()
    return {member.node_id: member.address for member in answer.members}, list(answer.removed_node_ids)


def test_changes_that_cannot_be(cluster: Cluster) -> None:
    before = members(cluster)
    first = cluster.members[1]
    refused(nodes(cluster, "add", "2=127.0.0.1:9"), errors.NodeIdTaken, "id 2", cluster.members[2])
    refused(nodes(cluster, "add", f"9={first}"), errors.MembershipChangeRefused, first)
    refused(nodes(cluster, "promote", "9"), errors.UnknownNode, "9", "1, 2, 3")
    refused(nodes(cluster, "remove", "9"), errors.UnknownNode, "9")
    refused(nodes(cluster, "address", "9=127.0.0.1:9"), errors.UnknownNode, "9")
    refused(nodes(cluster, "address", f"2={first}"), errors.MembershipChangeRefused, first)
    assert nodes(cluster, "add", "4").code == 2
    assert members(cluster) == before


def test_nine_nodes_are_enough(cluster: Cluster) -> None:
    more = range(11, 17)
    with cluster.client() as client:
        for node in more:
            client.admin.add_node(node, f"127.0.0.1:{node}")
        refused(nodes(cluster, "add", "17=127.0.0.1:17"), errors.MembershipChangeRefused, "9 nodes at most")
        # Nobody waits for those that are not there, and nobody gives them a vote.
        refused(nodes(cluster, "promote", "11"), errors.MembershipChangeRefused, "node 11 does not answer")
        for node in more:
            client.admin.remove_node(node)
    refused(nodes(cluster, "add", "11=127.0.0.1:11"), errors.NodeIdTaken, "removed")
    shown = json.loads(nodes(cluster, "list", "--output", "json").output)
    assert ([node["id"] for node in shown["nodes"]], shown["removed"]) == ([1, 2, 3], list(more))
    assert not any(node["learner"] for node in shown["nodes"])


def test_a_node_that_joins_under_a_wrong_address_or_a_removed_id(cluster: Cluster) -> None:
    [port] = free_ports(1)
    joiner = cluster.joiner(4, address=f"127.0.0.1:{port}", join=cluster.addresses)
    del cluster.nodes[4], cluster.members[4]
    with cluster.client() as client:
        client.admin.add_node(4, "127.0.0.1:9")
        joiner.start()
        assert joiner.wait(30) == errors.InvalidConfiguration.exit_code
        assert f"it is 127.0.0.1:{port}, and node 4 was added at 127.0.0.1:9" in joiner.tail()
        client.admin.remove_node(4)
    joiner.start()
    assert joiner.wait(30) == REMOVED
    assert not (cluster.data(4) / "raft").exists()


def test_what_a_cluster_that_lacks_a_node_must_not_do_and_what_the_lost_node_must_not(cluster: Cluster) -> None:
    lost, other = cluster.followers()
    before = members(cluster)
    arguments = list(cluster.nodes[lost].arguments)
    with cluster.client() as client:
        client.admin.members()
        cluster.nodes[lost].kill()
        # At once: the leader has not had the time to notice by itself.
        with pytest.raises(errors.MembershipChangeRefused):
            client.admin.remove_node(other)
    answer = nodes(cluster, "remove", str(other))
    refused(answer, errors.MembershipChangeRefused, f"{lost} do not answer")
    assert members(cluster) == before
    # Its directory is lost: it has forgotten for whom it voted, and must not come back under its id.
    kept = cluster.data(lost).rename(cluster.directory / "kept")
    at = arguments.index("--cluster-id")
    cluster.nodes[lost].arguments = [*arguments[:at], *arguments[at + 4 :], "--join", cluster.members[other]]
    cluster.nodes[lost].start()
    assert cluster.nodes[lost].wait(30) == errors.NodeIdTaken.exit_code
    assert f"quiesce nodes remove {lost}" in cluster.nodes[lost].tail()
    shutil.rmtree(cluster.data(lost))
    kept.rename(cluster.data(lost))
    cluster.nodes[lost].arguments = arguments
    cluster.start()


def test_a_node_that_was_away_when_it_was_removed(cluster: Cluster) -> None:
    gone = cluster.followers()[0]
    cluster.nodes[gone].kill()
    daemon = cluster.nodes.pop(gone)
    with cluster.client() as client:
        client.admin.remove_node(gone)
        cluster.members.pop(gone)
        leader = client.admin.members().leader_id
        term = client.admin.status(leader).term
        for _ in range(2):
            daemon.start()
            assert daemon.wait(60) == REMOVED
            assert json.loads((cluster.data(gone) / "identity.json").read_text())["removed"] is True
        # It has asked for votes in vain, and has unsettled nobody.
        assert (client.admin.members().leader_id, client.admin.status(leader).term) == (leader, term)


@pytest.mark.timeout(240)
def test_a_node_that_is_killed_while_it_joins_goes_on(tmp_path: Path) -> None:
    with Cluster(tmp_path, size=1, spare=1) as cluster, cluster.client(timeout_s=30) as client:
        make_database(client, people=20_000)
        daemon = cluster.joiner(2)
        client.admin.add_node(2, cluster.members[2])
        # A second to come up; then it joins, receives, installs.
        for moment in (0.6, 0.8, 1.0, 1.2, 1.5, 2.0):
            daemon.start()
            time.sleep(moment)
            daemon.kill()
        daemon.start()
        until(lambda: _serves(cluster, 2, client), 60, "a learner serves reads")
        with Client(cluster.members[2]) as reader:
            assert [member.learner for member in reader.admin.members().members] == [False, True]
        cluster.promote(2, client)
        cluster.wait_until_serving()
        expected = contents(client)
        client.admin.transfer_leadership(2)
        assert client.admin.remove_node(1).leader_id == 2
        assert contents(client) == expected


def _serves(cluster: Cluster, node: int, client: Client) -> bool:
    status = cluster.status(node, client)
    return status is not None and status.serving == SERVING_STATE_SERVING


@pytest.mark.timeout(240)
def test_machines_that_move(tmp_path: Path) -> None:
    """All at once while the cluster is down; then one alone."""
    with Cluster(tmp_path) as cluster:
        with cluster.client() as client:
            make_database(client, people=10)
        for moved in ([1, 2, 3], [2]):
            for node in moved:
                cluster.nodes[node].stop()
            before = dict(cluster.members)
            cluster.members.update(zip(moved, (f"127.0.0.1:{port}" for port in free_ports(len(moved))), strict=True))
            for node in moved:
                daemon = cluster.nodes[node]
                known = ",".join(f"{n}={address}" for n, address in before.items())
                told = ",".join(f"{n}={address}" for n, address in cluster.members.items())
                news = {known: told, before[node]: cluster.members[node]}
                daemon.arguments = [news.get(word, word) for word in daemon.arguments]
            cluster.start()
            with cluster.client(timeout_s=30) as client:
                until(lambda: members(cluster)[0] == cluster.members, 30, "the new addresses are written down")
                assert len(contents(client)) == 10
        # Said again it is no news: what the cluster says counts.
        with cluster.client() as client:
            client.admin.change_node_address(3, cluster.members[3].replace("127.0.0.1", "localhost"))
        cluster.nodes[3].stop()
        cluster.start()
        assert members(cluster)[0][3].startswith("localhost")
