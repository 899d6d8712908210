"""What a node has the cluster write down of its members, and when; and that its removal outlives it."""

import asyncio
from types import SimpleNamespace

import pytest
from state_entries import adopt, change, entry, readdress

from nodes.identity import Identity, read_identity, write_identity
from nodes.membership import keeper
from nodes.membership.keeper import MembershipKeeper
from nodes.statemachine import ReplicatedState
from quiesce.errors import InvalidConfiguration, MembershipChangeRefused, NodeRemoved, NoLeader
from quiesce.v1.node_pb2 import NODE_ROLE_LEADER
from quiesce.v1.peer_pb2 import Command

MEMBERS = {1: "n:1", 2: "n:2", 3: "n:3"}


class Node:
    """A state, and a consensus that applies at once what is proposed to it."""

    def __init__(self, directory, *commands):
        self.directory = directory
        self.state = ReplicatedState(directory, 2)
        self.index = 0
        self.refusals = []
        self.proposed = []
        self.heard = {}
        self.apply(*commands)
        if read_identity(directory) is None:
            write_identity(directory, Identity(2, "x", MEMBERS, MEMBERS))

    def apply(self, *commands):
        for command in commands:
            self.index += 1
            [(_, outcome)] = self.state.apply([entry(self.index, command)])
            assert not outcome.HasField("failure"), outcome

    async def propose(self, *, timeout_s, **command):
        self.proposed.append(next(iter(command)))
        if self.refusals:
            raise self.refusals.pop(0)
        self.apply(Command(**command))

    def status(self):
        return SimpleNamespace(role=NODE_ROLE_LEADER, leader_id=2)

    def addresses(self):
        return {}

    def hear_of(self, node_id, address):
        self.heard[node_id] = address

    def keeper(self, configured=MEMBERS):
        return MembershipKeeper(read_identity(self.directory), configured, self.directory, self.state)

    def run(self, keeper, until):
        async def main():
            work = asyncio.ensure_future(keeper.run(self, self))
            async with asyncio.timeout(10):
                while not until():
                    assert not work.done(), work.result()
                    await asyncio.sleep(0.01)
            work.cancel()

        asyncio.run(main())

    def shown(self):
        return {node.node_id: node.address for node in self.state.membership.nodes}


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(keeper, "_LOOK_S", 0.01)
    monkeypatch.setattr(keeper, "_PAUSE_S", 0.01)


def test_the_first_leader_writes_down_the_founders(tmp_path):
    node = Node(tmp_path)
    node.refusals = [NoLeader()]
    node.run(node.keeper(), lambda: node.state.membership is not None)
    assert node.shown() == MEMBERS
    assert node.proposed == ["adopt_membership"] * 2


def test_founders_are_written_down_where_the_configuration_moved_them(tmp_path):
    node, moved = Node(tmp_path), {**MEMBERS, 3: "m:3"}
    node.run(node.keeper(moved), lambda: read_identity(tmp_path).configured == moved)
    assert node.shown() == moved
    with pytest.raises(InvalidConfiguration):
        Node(tmp_path / "other").keeper({1: "n:1", 2: "n:2"})


def test_new_addresses_are_used_and_written_down_once(tmp_path):
    node = Node(tmp_path, adopt(1, 2, 3))
    moved = {**MEMBERS, 1: "m:1"}
    first = node.keeper(moved)
    assert first.told == {1: "m:1"}
    # It dies before the cluster has taken them in, and says so again.
    again = node.keeper(moved)
    assert again.told == {1: "m:1"}
    node.refusals = [MembershipChangeRefused(detail="not now"), NoLeader()]
    node.run(again, lambda: read_identity(tmp_path).configured == moved)
    assert node.shown() == moved
    assert again.told == {}
    assert node.heard == {1: "m:1"}
    # Somebody changes it by hand; the configuration, which still says the same, does not change it back.
    node.apply(readdress({1: "hand:1"}))
    assert node.keeper(moved).told == {}


def test_a_configuration_as_ever_changes_nothing(tmp_path):
    node = Node(tmp_path, adopt(1, 2, 3), readdress({1: "m:1"}), change(remove=3))
    found = node.keeper()
    assert found.told == {}
    looks = iter(range(20))
    node.run(found, lambda: next(looks) == 19)
    assert node.proposed == []


def test_what_it_says_of_its_own_address(tmp_path):
    node = Node(tmp_path)
    assert node.keeper().own_address("n:2") == "n:2"
    node.apply(adopt(1, 2, 3), readdress({2: "hand:2"}))
    # A configuration that was not brought up to date is no news; one that is goes before.
    assert node.keeper().own_address("n:2") == "hand:2"
    assert node.keeper({**MEMBERS, 2: "m:2"}).own_address("m:2") == "m:2"
    # One that joined has no other word for where it is.
    assert node.keeper({}).own_address("moved:2") == "moved:2"


def test_a_removal_is_written_down_and_stays(tmp_path):
    node = Node(tmp_path, adopt(1, 2, 3))
    error = node.keeper().removed()
    assert isinstance(error, NodeRemoved)
    assert read_identity(tmp_path).removed


def test_a_removed_node_that_died_before_the_others_knew_takes_part_again(tmp_path):
    node = Node(tmp_path, adopt(1, 2, 3), change(remove=2))
    # Of a pair the other half cannot be elected without it; it ends when it was refused (consensus.departure).
    assert node.keeper().told == {}
    assert not read_identity(tmp_path).removed
