"""What Prometheus finds: how policies are going, and how each node is."""

from __future__ import annotations

import math
from pathlib import Path

from quiesce.client import BlockingPolicies
from quiesce.errors import AddressInUse, InvalidConfiguration
from quiesce.v1 import policy_pb2
from tests.scenarios.cli import quiesce
from tests.scenarios.cluster import Cluster, free_ports
from tests.scenarios.daemon import until
from tests.scenarios.metrics import scrape, value

EVERY = policy_pb2.Schedule(every_ms=3_600_000)


def test_policies_and_nodes_are_shown_also_where_the_cluster_is_gone(tmp_path: Path) -> None:
    with Cluster(tmp_path, metrics=True) as cluster:
        coordinator = cluster.metrics[cluster.coordinator_address]
        with BlockingPolicies(cluster.coordinator_address) as policies:
            policies.create(
                policy_pb2.PolicySpec(name="hourly", schedule=EVERY, drill=policy_pb2.Drill(schedule=EVERY))
            )
            until(lambda: value(coordinator, "policy_failures", "hourly") == 0, 30, "the policy among the metrics")
            until(lambda: value(coordinator, "coordinator_leads") == 1, 30, "that it leads among the metrics")
            assert value(coordinator, "policy_success_age_seconds", "hourly") == math.inf
            policies.run("hourly")
            until(lambda: policies.show("hourly").last_success_ms, 60, "a run")
        until(lambda: value(coordinator, "policy_success_age_seconds", "hourly") < 60, 30, "its age")
        shown = scrape(coordinator)
        assert shown["policy_verified_age_seconds"]["hourly"] == math.inf, "nothing has proven it yet"
        assert shown["node_diverged"] == {"1": 0, "2": 0, "3": 0}
        assert shown["jobs"]["succeeded"] == 1

        leader = cluster.leader()
        for node, address in cluster.members.items():
            shown = scrape(cluster.metrics[address])
            assert (shown["raft_leads"][""], shown["node_serving"][""]) == (node == leader, 1)
            assert ("raft_member_lag_entries" in shown) is (node == leader)
        away = cluster.followers()[0]
        with cluster.client() as client:
            client.admin.drain(away, "test", "a test", 60_000)
        address = cluster.metrics[cluster.members[away]]
        until(lambda: value(address, "node_state", "drained") == 1, 20, "the drained node's state")
        assert (value(address, "node_out_of_rotation"), value(address, "node_serving")) == (1, 0)

        for daemon in cluster.nodes.values():
            daemon.kill()
        until(lambda: value(coordinator, "cluster_reachable") == 0, 40, "the lost cluster among the metrics")
        assert value(coordinator, "policy_success_age_seconds", "hourly") < 120, "what was known stays known"


def test_an_address_that_is_none_or_in_use(tmp_path: Path) -> None:
    node = ("node", "--node-id", "1", "--data", str(tmp_path / "n"), "--metrics", "nowhere")
    answer = quiesce(*node, "--members", "1=127.0.0.1:7999", "--cluster-id", "metrics")
    assert answer.code == InvalidConfiguration.exit_code
    assert "metrics" in answer.error
    with Cluster(tmp_path / "taken", size=1) as cluster:
        listen = f"127.0.0.1:{free_ports(1)[0]}"
        answer = quiesce(
            *("coordinator", "--listen", listen, "--cluster", cluster.addresses, "--metrics", cluster.addresses)
        )
        assert answer.code == AddressInUse.exit_code
        assert cluster.addresses in answer.error
