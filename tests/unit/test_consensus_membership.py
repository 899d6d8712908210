import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress

import grpc
import pytest
from consensus_cluster import CLUSTER_ID, Dictionary, InProcessCluster, Node, command, free_port

from nodes.consensus import peers
from quiesce.errors import MembershipChanging, NodeIdTaken, NodeRemoved, OutcomeUnknown, UnknownNode
from quiesce.rpc import error_of, open_channel
from quiesce.v1.peer_pb2 import Command, Membership, MembershipChange, RaftBatch
from quiesce.v1.peer_pb2_grpc import PeerStub

pytestmark = pytest.mark.timeout(60)
SMALL = {"segment_bytes": 4096, "compact_bytes": 16384, "keep_bytes": 4096}


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what it waits for is on other threads
        await asyncio.sleep(0.01)


def add(node: int, address: str = "127.0.0.1:1") -> MembershipChange:
    return MembershipChange(add=Membership.Node(node_id=node, address=address))


def removed_at(node: Node) -> list[int]:
    held = node.state.membership
    return [] if held is None else list(held.removed)


async def agreed(cluster: InProcessCluster, voters: list[int], learners: list[int] | None = None) -> None:
    """Wait until the core and the state of every node say the same."""
    learners = learners or []
    await cluster.settled()
    for node in cluster.nodes.values():
        held = node.state.membership
        assert held is not None
        assert [one.node_id for one in held.nodes if not one.learner] == voters
        assert [one.node_id for one in held.nodes if one.learner] == learners
        status = node.consensus.status
        await until(lambda status=status: (status().voters, status().learners) == (voters, learners))


async def test_a_cluster_grows_and_shrinks_while_it_takes_writes(tmp_path):
    async with InProcessCluster(tmp_path, size=1) as cluster:
        await cluster.adopt()
        written = itertools.count()
        stop = asyncio.Event()

        async def write() -> None:
            while not stop.is_set():
                # A leader that is removed with a write under way cannot tell what becomes of it.
                with suppress(OutcomeUnknown):
                    await cluster.write(f"k{next(written)}")

        writer = asyncio.create_task(write())
        for new in (2, 3, 4, 5):
            await cluster.add(new)
            await cluster.change(promote=new)
        for old in (1, 2):
            await cluster.change(remove=old)
            await cluster.nodes[old].gone.wait()
            await cluster.stop(old)
        middle = next(written)
        await until(lambda: next(written) > middle + 20)
        for old in (3, 4):
            await cluster.change(remove=old)
            await cluster.nodes[old].gone.wait()
            await cluster.stop(old)
        stop.set()
        await writer
        await agreed(cluster, [5])
        assert removed_at(cluster.nodes[5]) == [1, 2, 3, 4]
        taken = cluster.nodes[5].state.values
        assert set(taken.values()) == {1}
        assert len(taken) > 20

        # And all of it is there after a restart.
        await cluster.stop(5)
        await cluster.start(5)
        await cluster.write("last")
        await agreed(cluster, [5])
        assert cluster.nodes[5].state.values == {**taken, "last": 1}


async def test_a_node_that_joins_gets_a_checkpoint_and_can_be_started_before_it_is_added(tmp_path):
    async with InProcessCluster(tmp_path, size=1, **SMALL) as cluster:
        await cluster.adopt()
        for number in range(30):
            await cluster.write(f"k{number}", padding=200)
        node = await cluster.join(2)
        await asyncio.sleep(0.3)
        assert node.state.applied == (0, 0)
        await cluster.change(add=Membership.Node(node_id=2, address=cluster.members[2]))
        await until(lambda: node.state.applied[0] > 30)
        await agreed(cluster, [1], [2])
        assert node.state.values == cluster.nodes[1].state.values
        # It reads, by way of the leader, and is no candidate for leadership.
        await node.consensus.read_barrier(timeout_s=10)
        assert cluster.nodes[1].consensus.status().peers[2].learner
        with pytest.raises(UnknownNode):
            await cluster.nodes[1].consensus.transfer_leadership(2, timeout_s=1)
        await cluster.stop(2)
        again = await cluster.start(2)
        await cluster.write("more")
        await agreed(cluster, [1], [2])
        assert again.state.values["more"] == 1


async def test_a_learner_does_not_count(tmp_path):
    async with InProcessCluster(tmp_path, size=2) as cluster:
        await cluster.adopt()
        await cluster.add(3)
        await agreed(cluster, [1, 2], [3])
        leader = await cluster.leader()
        await cluster.stop(3)
        await cluster.write("without the learner")
        await cluster.start(3)
        await agreed(cluster, [1, 2], [3])
        await cluster.stop(3 - leader.id)
        with pytest.raises(OutcomeUnknown):
            await leader.consensus.propose(command("with the learner only"), timeout_s=30)
        assert leader.state.values == {"without the learner": 1}
        assert cluster.nodes[3].consensus.status().role == 1
        await cluster.start(3 - leader.id)
        await agreed(cluster, [1, 2], [3])
        # With a vote it does.
        await cluster.change(promote=3)
        await agreed(cluster, [1, 2, 3])
        # Also after a restart that has nothing to apply again.
        for node in (1, 2, 3):
            cluster.nodes[node].state.durable_index()
            await cluster.stop(node)
        for node in (1, 2, 3):
            await cluster.start(node)
        await agreed(cluster, [1, 2, 3])
        await cluster.stop((await cluster.leader()).id)
        await cluster.write("two of three")


async def test_a_node_that_was_away_when_it_was_removed_is_told_and_does_not_disturb(tmp_path, monkeypatch):
    # It does not get the entry that removes it.
    monkeypatch.setattr(peers, "_PARTING_S", 0.0)
    async with InProcessCluster(tmp_path) as cluster:
        await cluster.adopt()
        leader = await cluster.leader()
        away = next(node for node in (1, 2, 3) if node != leader.id)
        stays = [node for node in (1, 2, 3) if node != away]
        await agreed(cluster, [1, 2, 3])
        await cluster.stop(away)
        await cluster.change(remove=away)
        await agreed(cluster, stays)
        term = leader.consensus.status().term

        async with open_channel(cluster.members[leader.id]) as channel:
            call = PeerStub(channel).Raft()
            await call.write(RaftBatch(cluster_id=CLUSTER_ID, from_node_id=away))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
        error = error_of(caught.value, addresses="-")
        assert isinstance(error, NodeRemoved)
        assert error.fields == {"node_id": str(away), "cluster_id": CLUSTER_ID}

        back = await cluster.start(away)
        await back.gone.wait()
        assert removed_at(back) == []
        await cluster.write("more")
        assert leader.consensus.status().term == term
        await cluster.stop(away)
        await agreed(cluster, stays)


async def test_a_leader_that_is_removed_leaves_and_the_others_go_on(tmp_path):
    async with InProcessCluster(tmp_path, departure_s=1.0) as cluster:
        await cluster.adopt()
        leader = await cluster.leader()
        outcome = await leader.consensus.change_membership(MembershipChange(remove=leader.id), timeout_s=10)
        assert leader.id in outcome.membership.removed
        await leader.gone.wait()
        assert leader.consensus.status().leader_id != leader.id
        assert (await cluster.leader()).id != leader.id
        await cluster.write("more")
        leader.state.durable_index()
        await cluster.stop(leader.id)
        await agreed(cluster, [node for node in (1, 2, 3) if node != leader.id])
        # Started again it ends again, also where nobody is there to refuse it.
        for other in list(cluster.nodes):
            await cluster.stop(other)
        assert Dictionary(leader.directory / "store").membership is not None
        again = await cluster.start(leader.id)
        await again.gone.wait()
        await cluster.stop(leader.id)


async def test_the_half_of_a_pair_that_stays_needs_the_other_no_more(tmp_path):
    async with InProcessCluster(tmp_path, size=2) as cluster:
        await cluster.adopt()
        await agreed(cluster, [1, 2])
        leader = await cluster.leader()
        other = cluster.nodes[3 - leader.id]
        # The leader dies when it has committed the removal and said so, before it has applied it.
        leader.state.gate = dies
        asked = asyncio.create_task(leader.consensus.change_membership(MembershipChange(remove=other.id), timeout_s=30))
        await until(lambda: removed_at(other) == [other.id])
        assert not other.gone.is_set()
        await cluster.stop(other.id)
        await cluster.stop(leader.id)
        with pytest.raises(OutcomeUnknown):
            await asked
        assert [str(error) for error in cluster.failures] == ["dies"]
        cluster.failures.clear()
        await cluster.start(leader.id)
        await cluster.write("alone")
        await agreed(cluster, [leader.id])


def dies(*_: object) -> None:
    raise RuntimeError("dies")


class DeadlyCore:
    """A core that ends the process when it is to be configured."""

    def __init__(self, core: object) -> None:
        self._core = core

    def __getattr__(self, name: str) -> object:
        return dies if name == "configure" else getattr(self._core, name)


def before_the_store(node: Node) -> None:
    node.state.gate = dies


def before_the_core(node: Node) -> None:
    def told(*_: object) -> None:
        node.state.durable_index()
        dies()

    node.consensus._replica.membership_applied = told


def in_the_core(node: Node) -> None:
    membership = node.consensus._replica._membership
    membership._core = DeadlyCore(membership._core)


def in_the_core_with_the_store_on_disk(node: Node) -> None:
    in_the_core(node)
    told = node.consensus._replica.membership_applied

    def durable(*args: object) -> None:
        node.state.durable_index()
        told(*args)

    node.consensus._replica.membership_applied = durable


@pytest.mark.parametrize("crash", [before_the_store, before_the_core, in_the_core, in_the_core_with_the_store_on_disk])
@pytest.mark.parametrize("change", [MembershipChange(promote=2), MembershipChange(remove=2), add(3)], ids=str)
async def test_a_crash_anywhere_in_a_change_leaves_it_to_be_finished(tmp_path, crash, change):
    async with InProcessCluster(tmp_path, size=1) as cluster:
        await cluster.adopt()
        await cluster.add(2)
        await agreed(cluster, [1], [2])
        crash(cluster.nodes[1])
        asked = asyncio.create_task(cluster.nodes[1].consensus.change_membership(change, timeout_s=30))
        await until(lambda: len(cluster.failures) > 0)
        await cluster.stop(1)
        with pytest.raises(OutcomeUnknown):
            await asked
        assert [str(error) for error in cluster.failures] == ["dies"]
        cluster.failures.clear()
        await cluster.start(1)
        match change.WhichOneof("change"):
            case "promote":
                await agreed(cluster, [1, 2])
            case "remove":
                await cluster.nodes[2].gone.wait()
                await cluster.stop(2)
                await agreed(cluster, [1])
            case "add":
                await agreed(cluster, [1], [2, 3])
        await cluster.write("more")


async def test_a_change_that_the_state_refuses_leaves_the_core_as_it_was(tmp_path):
    async with InProcessCluster(tmp_path) as cluster:
        # Before anybody has said who the members are.
        assert (await cluster.change(remove=2)).failure.reason == "MEMBERSHIP_CHANGE_REFUSED"
        await cluster.adopt()
        # To the core this would take the vote of node 1 away.
        outcome = await cluster.change(add=Membership.Node(node_id=1, address="h:1"))
        assert outcome.failure.reason == NodeIdTaken.reason()
        assert (await cluster.change(remove=9)).failure.reason == UnknownNode.reason()
        await agreed(cluster, [1, 2, 3])
        for node in list(cluster.nodes):
            await cluster.stop(node)
        for node in cluster.members:
            await cluster.start(node)
        await cluster.write("more")
        await agreed(cluster, [1, 2, 3])
        await cluster.change(remove=(await cluster.leader()).id % 3 + 1)


async def test_of_two_changes_at_once_one_is_refused(tmp_path):
    async with InProcessCluster(tmp_path) as cluster:
        await cluster.adopt()
        leader = (await cluster.leader()).consensus
        answers = await asyncio.gather(
            *(leader.change_membership(add(node, f"127.0.0.1:{node}"), timeout_s=10) for node in (4, 5, 6)),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers[1:]] == [MembershipChanging, MembershipChanging]
        # The first is done when its caller is told, so that the next may follow at once.
        assert (await leader.change_membership(add(5, "127.0.0.1:5"), timeout_s=10)).HasField("membership")
        await agreed(cluster, [1, 2, 3], [4, 5])
        assert leader.addresses()[5] == "127.0.0.1:5"


async def test_a_node_that_moved_is_reached_where_it_says_that_it_is(tmp_path):
    async with InProcessCluster(tmp_path) as cluster:
        await cluster.adopt()
        leader = await cluster.leader()
        moves = next(node for node in (1, 2, 3) if node != leader.id)
        await cluster.stop(moves)
        address = f"127.0.0.1:{free_port()}"
        moved = await cluster.start(moves, {**cluster.members, moves: address})
        await cluster.write("found")
        await until(lambda: moved.state.values == {"found": 1})
        assert leader.consensus.addresses()[moves] == cluster.members[moves]

        node = Membership.Node(node_id=moves, address=address)
        await cluster.propose(Command(time_ms=1, change_addresses=Membership(nodes=[node])))
        await agreed(cluster, [1, 2, 3])
        await until(lambda: leader.consensus.addresses()[moves] == address)
        await cluster.write("more")
        await agreed(cluster, [1, 2, 3])
