"""The replicated membership: what each command makes of it, and that it outlives whatever happens to a store."""

from pathlib import Path

import pytest
from state_entries import Replica, adopt, change, command, content, drain, readdress, tick

from nodes.statemachine.membership import MOST_NODES, MOST_VOTERS
from nodes.store import keys
from nodes.store.engine import META
from quiesce.v1 import peer_pb2


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    found = Replica(tmp_path / "node")
    found(tick(1))
    return found


@pytest.fixture
def three(replica: Replica) -> Replica:
    replica.ok(adopt(1, 2, 3))
    return replica


def shown(replica: Replica) -> tuple[list[tuple[int, str]], list[int]]:
    """Return the members as (id, address), a learner's with a star, and the removed ids."""
    held = replica.state.membership
    assert held is not None
    return [(node.node_id, node.address + "*" * node.learner) for node in held.nodes], list(held.removed)


def test_the_founders_are_written_down_once(replica: Replica) -> None:
    assert replica.state.membership is None
    [first] = replica.ok(adopt(3, 1, 2))
    assert shown(replica) == ([(1, "n:1"), (2, "n:2"), (3, "n:3")], [])
    [second] = replica.ok(adopt(7))
    assert second == first
    assert second.membership == replica.state.membership


@pytest.mark.parametrize("nodes", [(), (1, 1), range(1, MOST_NODES + 2), (0,), (1 << 63,)])
def test_founders_that_cannot_be(replica: Replica, nodes: tuple[int, ...]) -> None:
    assert replica.refused(adopt(*nodes))[0] == "INVALID_REQUEST"
    assert replica.state.membership is None


def test_a_founder_is_no_learner_and_none_is_removed(replica: Replica) -> None:
    founder = peer_pb2.Membership.Node(node_id=1, address="n:1", learner=True)
    replica.ok(command(adopt_membership=peer_pb2.Membership(nodes=[founder], removed=[2])))
    assert shown(replica) == ([(1, "n:1")], [])


def test_no_change_before_the_founders_are_known(replica: Replica) -> None:
    for early in (change(add=(4, "n:4")), change(promote=1), change(remove=1), readdress({1: "n:9"})):
        assert replica.refused(early)[0] == "MEMBERSHIP_CHANGE_REFUSED"


def test_a_node_comes_as_a_learner_gets_a_vote_and_goes(three: Replica) -> None:
    three.ok(change(add=(4, "n:4")))
    assert shown(three)[0][-1] == (4, "n:4*")
    three.ok(change(promote=4))
    assert shown(three)[0][-1] == (4, "n:4")
    three.ok(change(remove=2))
    assert shown(three) == ([(1, "n:1"), (3, "n:3"), (4, "n:4")], [2])


@pytest.mark.parametrize(("node_id", "said"), [(1, "it is the member at n:1"), (2, "a node of this id was removed")])
def test_an_id_is_never_used_again(three: Replica, node_id: int, said: str) -> None:
    three.ok(change(remove=2))
    reason, fields = three.refused(change(add=(node_id, "n:8")))
    assert (reason, fields["detail"]) == ("NODE_ID_TAKEN", said)


@pytest.mark.parametrize("address", ["", "n", "n:0", "n:x", "n:65536", "a b:1", "a,b:1", "n:" + "9" * 5000, "n" * 301])
def test_an_address_that_cannot_be(three: Replica, address: str) -> None:
    assert three.refused(change(add=(4, address)))[0] == "INVALID_REQUEST"
    assert three.refused(readdress({1: address}))[0] == "INVALID_REQUEST"


def test_two_nodes_never_have_one_address(three: Replica) -> None:
    for taken in (change(add=(4, "n:1")), readdress({2: "n:1"})):
        reason, fields = three.refused(taken)
        assert reason == "MEMBERSHIP_CHANGE_REFUSED"
        assert "n:1" in fields["detail"]


def test_addresses_change_all_or_none_and_may_be_swapped(three: Replica) -> None:
    three.ok(change(add=(4, "n:4")))
    three.ok(readdress({1: "n:2", 2: "n:1", 4: "m:4"}))
    assert shown(three)[0] == [(1, "n:2"), (2, "n:1"), (3, "n:3"), (4, "m:4*")]
    assert three.refused(readdress({1: "n:11", 9: "n:9"})) == ("UNKNOWN_NODE", {"node_id": "9", "known": "1, 2, 3, 4"})
    assert three.refused(readdress({}))[0] == "INVALID_REQUEST"


def test_unknown_ids(three: Replica) -> None:
    for unknown in (change(promote=9), change(remove=9), change(remove=0)):
        assert three.refused(unknown)[0] == "UNKNOWN_NODE"
    three.ok(change(remove=3))
    assert three.refused(change(remove=3))[0] == "UNKNOWN_NODE"


def test_the_last_vote_stays(replica: Replica) -> None:
    replica.ok(adopt(1))
    replica.ok(change(add=(2, "n:2")))
    assert replica.refused(change(remove=1)) == (
        "MEMBERSHIP_CHANGE_REFUSED",
        {"detail": "node 1 is the only one that votes"},
    )
    replica.ok(change(remove=2))


def test_promoting_twice(three: Replica) -> None:
    assert three.refused(change(promote=1))[0] == "MEMBERSHIP_CHANGE_REFUSED"


def test_seven_vote_and_nine_belong_at_most(replica: Replica) -> None:
    replica.ok(adopt(*range(1, MOST_VOTERS + 1)))
    replica.ok(change(add=(8, "n:8")))
    reason, fields = replica.refused(change(promote=8))
    assert reason == "MEMBERSHIP_CHANGE_REFUSED"
    assert "7 voting nodes at most" in fields["detail"]
    replica.ok(change(add=(9, "n:9")))
    reason, fields = replica.refused(change(add=(10, "n:10")))
    assert reason == "MEMBERSHIP_CHANGE_REFUSED"
    assert "9 nodes at most" in fields["detail"]
    replica.ok(change(remove=1))
    replica.ok(change(promote=8))


def test_an_empty_change(three: Replica) -> None:
    assert three.refused(command(change_membership=peer_pb2.MembershipChange()))[0] == "INVALID_REQUEST"


def test_the_lease_of_a_removed_node_ends_with_it(three: Replica) -> None:
    three.ok(drain(2))
    told: list[object] = []
    three.state.on_lease_changed = told.append
    three.ok(change(remove=3))
    assert told == []
    three.ok(change(remove=2))
    assert told == [None]
    assert three.state.store.state.lease is None
    three.reopen()
    assert three.state.store.state.lease is None


@pytest.mark.parametrize("node_id", [3, 4, 9])
def test_only_who_votes_is_drained(three: Replica, node_id: int) -> None:
    three.ok(change(remove=3))
    three.ok(change(add=(4, "n:4")))
    assert three.refused(drain(node_id))[0] == "UNKNOWN_NODE"


def test_it_outlives_a_restart_and_travels_with_a_checkpoint(three: Replica, tmp_path: Path) -> None:
    three.ok(change(add=(4, "n:4")))
    three.ok(change(remove=1))
    expected = three.state.membership
    three.reopen()
    assert three.state.membership == expected
    three.state.checkpoint(tmp_path / "sent")
    other = Replica(tmp_path / "other", node_id=4)
    other.ok(adopt(4))
    other.state.install(tmp_path / "sent")
    assert other.state.membership == expected
    assert other.refused(change(add=(1, "n:1")))[0] == "NODE_ID_TAKEN"


def test_it_is_written_with_what_is_applied(three: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change and the index after which it holds are one batch: after a crash both are there, or neither."""
    batches: list[int] = []
    engine = three.state.store.engine
    write = engine.write
    monkeypatch.setattr(engine, "write", lambda batch: (batches.append(len(batch)), write(batch)))
    three(change(remove=1))
    assert len(batches) == 1
    three.reopen()
    assert shown(three)[1] == [1]


def test_the_same_bytes_on_every_replica(tmp_path: Path) -> None:
    one, two = Replica(tmp_path / "1", node_id=1), Replica(tmp_path / "2", node_id=2)
    for replica in (one, two):
        replica(adopt(3, 2, 1))
        replica(change(remove=1), change(add=(9, "n:9")), readdress({3: "m:3", 2: "m:2"}))
    assert content(one.state.store) == content(two.state.store)
    assert one.state.store.engine.get(META, keys.MEMBERSHIP)
