"""Log time goes by the clocks of a majority."""

from dataclasses import replace
from pathlib import Path

import pytest
from consensus_cluster import InProcessCluster, Node

from nodes.consensus.peer_clocks import PeerClocks

WEEK_MS = 7 * 24 * 3_600_000
NOW_MS = 1_800_000_000_000
THREE = (1, 2, 3)


class Steady:
    def __init__(self) -> None:
        self.s = 5.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def steady() -> Steady:
    return Steady()


@pytest.fixture
def clocks(steady: Steady) -> PeerClocks:
    return PeerClocks(steady)


@pytest.mark.parametrize("own_ms", [NOW_MS + WEEK_MS, NOW_MS - WEEK_MS, NOW_MS])
def test_a_wrong_clock_among_three_moves_nothing(clocks: PeerClocks, own_ms: int) -> None:
    clocks.heard(2, NOW_MS)
    clocks.heard(3, NOW_MS)
    assert clocks.agreed_ms(THREE, 1, own_ms) == NOW_MS


def test_another_nodes_wrong_clock_moves_nothing(clocks: PeerClocks) -> None:
    clocks.heard(2, NOW_MS)
    clocks.heard(3, NOW_MS + 1000 * WEEK_MS)
    assert clocks.agreed_ms(THREE, 1, NOW_MS) == NOW_MS


def test_of_two_the_earlier_counts(clocks: PeerClocks) -> None:
    clocks.heard(2, NOW_MS)
    assert clocks.agreed_ms((1, 2), 1, NOW_MS + WEEK_MS) == NOW_MS
    assert clocks.agreed_ms((1, 2), 1, NOW_MS - WEEK_MS) == NOW_MS - WEEK_MS
    # As where the third of three does not answer.
    assert clocks.agreed_ms(THREE, 1, NOW_MS + WEEK_MS) == NOW_MS


def test_one_alone_is_its_own_majority(clocks: PeerClocks) -> None:
    assert clocks.agreed_ms([1], 1, NOW_MS) == NOW_MS


def test_without_a_majority_nothing_is_known(clocks: PeerClocks) -> None:
    assert clocks.agreed_ms(THREE, 1, NOW_MS) == 0
    # One of an earlier version says nothing, a node that is no voter does not count.
    clocks.heard(2, 0)
    clocks.heard(4, NOW_MS)
    assert clocks.agreed_ms(THREE, 1, NOW_MS) == 0


def test_clocks_go_on_between_messages(clocks: PeerClocks, steady: Steady) -> None:
    clocks.heard(2, NOW_MS)
    steady.s += 2.5
    assert clocks.agreed_ms((1, 2), 1, NOW_MS + WEEK_MS) == NOW_MS + 2_500
    # Set back, or late on its way.
    clocks.heard(2, NOW_MS - 10)
    assert clocks.agreed_ms((1, 2), 1, NOW_MS + WEEK_MS) == NOW_MS - 10


def test_a_cluster_that_was_off_for_a_week_moves_on_at_once(clocks: PeerClocks) -> None:
    clocks.heard(2, NOW_MS + WEEK_MS)
    clocks.heard(3, NOW_MS + WEEK_MS)
    assert clocks.agreed_ms(THREE, 1, NOW_MS + WEEK_MS) == NOW_MS + WEEK_MS


class ClocksThatDiffer(InProcessCluster):
    """Node 1 is a week ahead, whoever leads."""

    async def start(self, node_id: int) -> Node:
        mine = replace(self.options, clock_ms=lambda: NOW_MS + (WEEK_MS if node_id == 1 else 0))
        node = Node(node_id, self.members, self.root, mine)
        await node.start()
        self.nodes[node_id] = node
        return node


@pytest.mark.timeout(60)
async def test_whoever_leads_knows_the_time_of_the_majority(tmp_path: Path) -> None:
    async with ClocksThatDiffer(tmp_path) as cluster:
        for leader_id in THREE:
            leader = await cluster.leader()
            if leader.id != leader_id:
                await leader.consensus.transfer_leadership(leader_id, timeout_s=10)
                leader = await cluster.leader()
            # The others' clocks stand still here, and this process's monotonic one does not.
            assert 0 <= leader.consensus.agreed_ms() - NOW_MS < 60_000
