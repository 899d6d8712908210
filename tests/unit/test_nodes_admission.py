import pytest

from nodes.rotation.admission import GREATEST_TTL_MS, Voter, check_drain, check_ttl
from nodes.rotation.log_clock import LogClock
from nodes.rotation.succession import choose_successor
from quiesce.errors import ClusterDegraded, InvalidRequest, RotationHeld, UnknownNode
from quiesce.v1 import node_pb2

HEALTHY = {1: Voter(100, True), 2: Voter(100, True), 3: Voter(95, True)}


def check(node_id=2, voters=HEALTHY, lease=None, last_index=100):
    check_drain(node_id, voters=voters, last_index=last_index, max_lag=10, lease=lease, log_time_ms=1_000)


def test_a_healthy_cluster_may_spare_any_node():
    for node_id in HEALTHY:
        check(node_id)


def test_an_unknown_node():
    with pytest.raises(UnknownNode, match="1, 2, 3"):
        check(9)


def test_one_at_a_time():
    lease = node_pb2.RotationLease(node_id=3, owner="coordinator", reason="backup", expires_ms=1_001, epoch=5)
    with pytest.raises(RotationHeld, match="coordinator"):
        check(lease=lease)
    lease.expires_ms = 1_000
    check(lease=lease)


@pytest.mark.parametrize("bad", [Voter(100, False), Voter(89, True)])
@pytest.mark.parametrize("node_id", [1, 2, 3])
def test_not_where_a_voter_is_away_or_behind(bad, node_id):
    with pytest.raises(ClusterDegraded, match="node 3"):
        check(node_id, {**HEALTHY, 3: bad})


def test_not_the_only_one():
    with pytest.raises(ClusterDegraded, match="the only one"):
        check(1, {1: Voter(100, True)})


@pytest.mark.parametrize("ttl_ms", [0, 999, GREATEST_TTL_MS + 1])
def test_length_of_a_lease(ttl_ms):
    with pytest.raises(InvalidRequest):
        check_ttl(ttl_ms)


def test_the_successor_is_active_and_furthest():
    assert choose_successor(HEALTHY, leader=1) == 2
    assert choose_successor(HEALTHY, leader=2) == 1
    assert choose_successor(HEALTHY, leader=1, avoid=[2]) == 3
    assert choose_successor({**HEALTHY, 2: Voter(100, False)}, leader=1) == 3
    assert choose_successor({1: Voter(100, True)}, leader=1) is None
    assert choose_successor({1: Voter(5, True), 2: Voter(5, True), 3: Voter(5, True)}, leader=3) == 1


def test_the_log_clock_goes_on_when_the_wall_clock_is_set_back():
    wall, steady = [10_000], [0.0]
    clock = LogClock(lambda: wall[0], lambda: steady[0])
    assert clock.now_ms() == 10_000
    wall[0], steady[0] = 2_000, 1.5
    assert clock.now_ms() == 11_500
    for _ in range(10):  # steps below a millisecond are not lost
        steady[0] += 0.00045
        clock.now_ms()
    assert clock.now_ms() == 11_504
    clock.observe(50_000)
    steady[0] += 1
    assert clock.now_ms() == 51_000
    wall[0] = 60_000
    assert clock.now_ms() == 60_000
    # A majority is not heard: it goes on all the same.
    wall[0] = 0
    steady[0] += 1
    assert clock.now_ms() == 61_000
