import asyncio
from pathlib import Path

import grpc
import grpc.aio
import pytest
from consensus_cluster import CLUSTER_ID, InProcessCluster, command

from nodes.consensus.disk import Disk
from quiesce.errors import (
    BatchTooLarge,
    DeadlineExceeded,
    DiskFailed,
    NoLeader,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    UnknownNode,
    WrongCluster,
)
from quiesce.rpc import error_of, open_channel
from quiesce.v1.node_pb2 import NODE_ROLE_FOLLOWER, NODE_ROLE_LEADER
from quiesce.v1.peer_pb2 import RaftBatch
from quiesce.v1.peer_pb2_grpc import PeerStub

pytestmark = pytest.mark.timeout(60)
SMALL = {"segment_bytes": 4096, "compact_bytes": 16384, "keep_bytes": 4096}


async def test_what_is_proposed_is_applied_on_every_node_and_seen_by_every_reader(tmp_path):
    async with InProcessCluster(tmp_path) as cluster:
        leader = await cluster.leader()
        outcomes = await asyncio.gather(
            *(leader.consensus.propose(command(f"k{number % 10}"), timeout_s=5) for number in range(200))
        )
        newest = max(outcome.mark.index for outcome in outcomes)
        assert newest < 200  # many shared an entry
        for node in cluster.nodes.values():
            reads = await asyncio.gather(*(node.consensus.read_barrier(timeout_s=5) for _ in range(50)))
            assert min(reads) >= newest
            assert node.state.values == {f"k{number}": 20 for number in range(10)}
        await cluster.settled()
        status = leader.consensus.status()
        assert status.role == NODE_ROLE_LEADER
        assert set(status.peers) == {1, 2, 3}


async def test_a_follower_names_the_leader_and_a_transfer_changes_it(tmp_path):
    async with InProcessCluster(tmp_path) as cluster:
        leader = await cluster.leader()
        follower = next(node for node in cluster.nodes.values() if node is not leader)
        assert follower.consensus.status().role == NODE_ROLE_FOLLOWER
        with pytest.raises(NotLeader) as caught:
            await follower.consensus.propose(command("a"), timeout_s=1)
        assert caught.value.fields["leader_address"] == cluster.members[leader.id]
        with pytest.raises(UnknownNode):
            await leader.consensus.transfer_leadership(9, timeout_s=1)

        done = asyncio.create_task(leader.consensus.transfer_leadership(follower.id, timeout_s=5))
        await asyncio.sleep(0)
        # Comes in the middle of the transfer: is appended, or told where to go, never dropped.
        try:
            await leader.consensus.propose(command("b"), timeout_s=5)
        except (NotLeader, NoLeader):
            await cluster.write("b")
        assert await done == follower.id
        assert await cluster.leader() is follower
        await cluster.write("c")
        await cluster.settled()
        assert leader.state.values == {"b": 1, "c": 1}
        assert await follower.consensus.transfer_leadership(0, timeout_s=5) != follower.id


async def test_a_transfer_that_cannot_be_is_not_waited_for(tmp_path):
    async with InProcessCluster(tmp_path) as cluster:
        await cluster.settled()
        leader = await cluster.leader()
        dead, other = (node for node in cluster.members if node != leader.id)
        await cluster.stop(dead)
        with pytest.raises(DeadlineExceeded):
            await leader.consensus.transfer_leadership(dead, timeout_s=1000)
        assert await cluster.leader() is leader
        await cluster.write("goes on")
        await cluster.stop(other)
        # The leader finds out that it has no majority before it would give up, or after.
        with pytest.raises((NoLeader, DeadlineExceeded)):
            await leader.consensus.transfer_leadership(other, timeout_s=1000)


async def test_writes_survive_the_loss_of_a_leader_and_a_restart_of_all(tmp_path):
    async with InProcessCluster(tmp_path) as cluster:
        for number in range(10):
            await cluster.write(f"k{number}")
        first = await cluster.leader()
        await cluster.stop(first.id)
        second = await cluster.leader()
        assert second.id != first.id
        assert second.consensus.status().term > 1
        await cluster.write("more")
        back = await cluster.start(first.id)
        await back.consensus.read_barrier(timeout_s=5)
        assert back.state.values["more"] == 1

        for node in list(cluster.nodes):
            await cluster.stop(node)
        for node in cluster.members:
            await cluster.start(node)
        await cluster.write("k0")
        await cluster.settled()
        for node in cluster.nodes.values():
            assert node.state.values == {**{f"k{number}": 1 for number in range(1, 10)}, "k0": 2, "more": 1}


async def test_a_follower_too_far_behind_gets_a_snapshot(tmp_path):
    async with InProcessCluster(tmp_path, **SMALL) as cluster:
        leader = await cluster.leader()
        behind = next(node for node in cluster.members if node != leader.id)
        await cluster.write("early")
        await cluster.settled()
        end = cluster.nodes[behind].consensus.status().last_index
        await cluster.stop(behind)
        number = 0
        while (await cluster.leader()).consensus.status().first_index <= end + 1:
            await cluster.write(f"k{number % 20}", padding=200)
            number += 1
        node = await cluster.start(behind)
        assert node.state.position[0] <= end
        await cluster.settled()
        assert node.state.values == cluster.nodes[leader.id].state.values
        # Its log starts behind the snapshot, and goes on from there.
        assert node.consensus.status().first_index > end + 1
        await cluster.write("late")
        await node.consensus.read_barrier(timeout_s=5)
        assert node.state.values["late"] == 1
        await cluster.stop(behind)
        again = await cluster.start(behind)
        await again.consensus.read_barrier(timeout_s=5)
        assert again.state.values["late"] == 1
        for one in cluster.members:
            assert not list((tmp_path / str(one) / "raft" / "incoming").glob("*"))


async def test_the_largest_commands_reach_a_follower_that_has_to_catch_up(tmp_path):
    async with InProcessCluster(tmp_path) as cluster:
        leader = await cluster.leader()
        behind = next(node for node in cluster.members if node != leader.id)
        await cluster.stop(behind)
        await asyncio.gather(*(cluster.write(f"k{number}", padding=3 << 20) for number in range(4)))
        await cluster.write("big", padding=17 << 20)
        with pytest.raises(BatchTooLarge):
            await cluster.write("bigger", padding=23 << 20)
        await cluster.start(behind)
        await cluster.write("small")
        await cluster.settled()
        assert len(cluster.nodes[behind].state.values) == 6


async def test_a_log_is_compacted_and_restarts_from_there(tmp_path):
    async with InProcessCluster(tmp_path, size=1, **SMALL) as cluster:
        node = await cluster.leader()
        number = 0
        while node.consensus.status().first_index < 40:
            await cluster.write(f"k{number % 7}", padding=300)
            number += 1
        values = dict(node.state.values)
        assert node.consensus.status().log_bytes < 3 * SMALL["compact_bytes"]
        await cluster.stop(1)
        node = await cluster.start(1)
        await cluster.leader()
        await node.consensus.read_barrier(timeout_s=5)
        assert node.state.values == values


async def test_without_a_majority_nothing_is_acknowledged_and_readers_are_told(tmp_path):
    async with InProcessCluster(tmp_path) as cluster:
        leader = await cluster.leader()
        for node in list(cluster.nodes):
            if node != leader.id:
                await cluster.stop(node)
        with pytest.raises(OutcomeUnknown):
            await leader.consensus.propose(command("a"), timeout_s=30)
        with pytest.raises(NoLeader):
            await leader.consensus.propose(command("b"), timeout_s=1)
        with pytest.raises((NoLeader, DeadlineExceeded)):
            await leader.consensus.read_barrier(timeout_s=0.1)
        assert leader.state.values == {}
        for node in cluster.members:
            if node != leader.id:
                await cluster.start(node)
        await cluster.write("c")
        assert (await cluster.leader()).state.values["c"] == 1


async def test_more_proposals_than_the_bound_are_refused(tmp_path):
    async with InProcessCluster(tmp_path, size=1, waiting_proposals=3) as cluster:
        node = await cluster.leader()
        answers = await asyncio.gather(
            *(node.consensus.propose(command("a"), timeout_s=5) for _ in range(5)), return_exceptions=True
        )
        assert [type(answer) for answer in answers[3:]] == [Overloaded, Overloaded]
        await cluster.settled()
        assert node.state.values == {"a": 3}


async def test_a_stranger_is_refused(tmp_path):
    async with InProcessCluster(tmp_path, size=1) as cluster, open_channel(cluster.members[1]) as channel:
        call = PeerStub(channel).Raft()
        await call.write(RaftBatch(cluster_id="another", from_node_id=1))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        error = error_of(caught.value, addresses="-")
        assert isinstance(error, WrongCluster)
        assert error.fields["actual"] == CLUSTER_ID


class DyingDisk(Disk):
    dead = False

    def sync(self, descriptor: int, path: Path) -> None:
        if self.dead:
            raise DiskFailed(operation="fdatasync", path=path, detail="Input/output error")
        super().sync(descriptor, path)


async def test_a_failed_fsync_is_fatal_and_acknowledges_nothing(tmp_path):
    disk = DyingDisk()
    async with InProcessCluster(tmp_path, size=1, disk=disk) as cluster:
        node = await cluster.leader()
        disk.dead = True
        with pytest.raises(DeadlineExceeded):
            await node.consensus.propose(command("a"), timeout_s=0.3)
        assert [type(error) for error in cluster.failures] == [DiskFailed]
        assert node.state.values == {}
        cluster.failures.clear()


async def test_a_node_of_low_priority_does_not_lead_while_another_can(tmp_path):
    async with InProcessCluster(tmp_path) as cluster:
        await cluster.settled()
        low = (await cluster.leader()).id
        cluster.nodes[low].consensus.set_priority(-1)
        await cluster.nodes[low].consensus.transfer_leadership(0, timeout_s=5)
        leader = await cluster.leader()
        await cluster.settled()
        await cluster.stop(leader.id)
        assert (await cluster.leader()).id not in (low, leader.id)
