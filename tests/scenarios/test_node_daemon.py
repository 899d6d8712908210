"""Three real node daemons: who answers what, in and out of rotation, and what a kill changes."""

from __future__ import annotations

import asyncio
import contextlib
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from quiesce.errors import (
    BatchTooLarge,
    ClusterDegraded,
    LeaseLost,
    NoCheckpoint,
    NotAwaitingRestore,
    NotLeader,
    OutOfRotation,
    QuiesceError,
    RecordTooLarge,
    RotationHeld,
    UnknownDatabase,
    UnknownNode,
    WrongCluster,
)
from quiesce.repository import open_repository
from quiesce.rpc import open_channel
from quiesce.v1 import database_pb2, node_pb2, record_pb2
from tests.scenarios.cluster import Cluster
from tests.scenarios.raw import RawNode, collected, refusal, soon, typed

SERVING, DRAINED = node_pb2.SERVING_STATE_SERVING, node_pb2.SERVING_STATE_DRAINED
OUT = (node_pb2.SERVING_STATE_DRAINING, DRAINED)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("nodes"))
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
async def nodes(cluster):
    """All nodes, in rotation, with one leader; what an earlier test killed is started again."""
    for daemon in cluster.nodes.values():
        if not daemon.running:
            daemon.start()
    async with contextlib.AsyncExitStack() as stack:
        found = {node: await stack.enter_async_context(RawNode(a)) for node, a in cluster.members.items()}
        for node in found.values():
            await node.is_in(SERVING, within_s=30)
        yield found


async def leader_of(nodes, *, within_s=20):
    async def found():
        for node_id, node in nodes.items():
            status = await node.status()
            if status is not None and status.role == node_pb2.NODE_ROLE_LEADER:
                return node_id
        return None

    return await soon(found, within_s, "a leader")


async def database(nodes, name):
    leader = nodes[await leader_of(nodes)]
    return await typed(leader.databases.CreateDatabase(database_pb2.CreateDatabaseRequest(name=name), timeout=10))


def blob(body, cluster=3):
    create = record_pb2.Create(cluster=cluster, kind=record_pb2.RECORD_KIND_BLOB, body=body)
    return record_pb2.Operation(create=create)


async def put(node, name, *bodies):
    request = record_pb2.WriteRequest(database=name, operations=[blob(body) for body in bodies])
    written = (await typed(node.records.Write(request, timeout=10))).written
    return [record_pb2.RecordId(cluster=record.cluster, position=record.position) for record in written]


async def get(node, name, ids, **metadata):
    request = record_pb2.GetRequest(database=name, ids=ids)
    answer = await typed(node.records.Get(request, timeout=10, metadata=tuple(metadata.items())))
    return [record.body for record in answer.records]


def drain(node_id, ttl_ms=20_000):
    return node_pb2.DrainRequest(node_id=node_id, owner="test", reason="a test", ttl_ms=ttl_ms)


async def give_back(nodes, epoch):
    leader = nodes[await leader_of(nodes)]
    await typed(leader.node.Undrain(node_pb2.UndrainRequest(epoch=epoch), timeout=10))


async def test_every_node_reads_what_the_leader_wrote_and_only_it_writes(nodes):
    await database(nodes, "plain")
    leader = await leader_of(nodes)
    ids = await put(nodes[leader], "plain", b"one", b"two")
    for node_id, node in nodes.items():
        assert await get(node, "plain", ids) == [b"one", b"two"]
        messages = await collected(
            node.records.Scan(record_pb2.ScanRequest(database="plain", whole_database=True), timeout=10)
        )
        assert [record.body for message in messages for record in message.records] == [b"one", b"two"]
        assert messages[0].database.name == "plain"
        if node_id != leader:
            with pytest.raises(NotLeader, match=nodes[leader].address):
                await put(node, "plain", b"three")


async def test_wrong_requests_are_refused_by_name(nodes):
    await database(nodes, "edge")
    leader = nodes[await leader_of(nodes)]
    with pytest.raises(UnknownDatabase, match="nowhere"):
        await get(leader, "nowhere", [])
    with pytest.raises(WrongCluster):
        await get(leader, "edge", [], **{"quiesce-cluster-id": "another"})
    with pytest.raises(RecordTooLarge):
        await put(leader, "edge", bytes(9 << 20))
    with pytest.raises(BatchTooLarge):
        await put(leader, "edge", *[b"x"] * 10_001)
    with pytest.raises(NotAwaitingRestore):
        await collected(leader.node.Restore(node_pb2.RestoreNodeRequest(), timeout=10))


async def test_a_drained_node_sends_reads_elsewhere_and_comes_back_caught_up(nodes):
    await database(nodes, "drained")
    leader_id = await leader_of(nodes)
    leader = nodes[leader_id]
    out_id = next(node_id for node_id in nodes if node_id != leader_id)
    out = nodes[out_id]
    lease = await typed(leader.node.Drain(drain(out_id), timeout=10))
    status = await out.is_in(DRAINED)
    assert status.lease.epoch == lease.epoch
    assert [change.state for change in status.history][-2:] == [OUT[0], OUT[1]]

    with pytest.raises(OutOfRotation) as refused:
        await get(out, "drained", [])
    assert {node.address for node in nodes.values() if node is not out} == set(
        refused.value.fields["others"].split(", ")
    )
    async with open_channel(out.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service, serving in (("quiesce.v1.Records", 2), ("quiesce.v1.Databases", 2), ("", 1)):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
            assert answer.status == serving, service

    other_id = next(node_id for node_id in nodes if node_id not in (leader_id, out_id))
    assert isinstance(await refusal(leader.node.Drain(drain(other_id), timeout=10)), RotationHeld)
    assert isinstance(await refusal(leader.node.Drain(drain(9), timeout=10)), UnknownNode)
    assert isinstance(await refusal(out.node.Drain(drain(other_id), timeout=10)), NotLeader)

    renewed = await typed(
        leader.node.RenewDrain(node_pb2.RenewDrainRequest(epoch=lease.epoch, ttl_ms=40_000), timeout=10)
    )
    assert renewed.expires_ms > lease.expires_ms
    ids = await put(leader, "drained", b"meanwhile")
    assert await get(nodes[other_id], "drained", ids) == [b"meanwhile"]

    await give_back(nodes, lease.epoch)
    await out.is_in(SERVING)
    assert await get(out, "drained", ids) == [b"meanwhile"]
    again = node_pb2.RenewDrainRequest(epoch=lease.epoch, ttl_ms=40_000)
    assert isinstance(await refusal(leader.node.RenewDrain(again, timeout=10)), LeaseLost)
    checkpoint = node_pb2.CheckpointRequest(epoch=lease.epoch)
    assert isinstance(await refusal(leader.node.Checkpoint(checkpoint, timeout=10)), LeaseLost)


async def test_a_snapshot_is_made_of_the_checkpoint_of_the_lease_only(nodes, cluster):
    await database(nodes, "snap")
    leader_id = await leader_of(nodes)
    leader = nodes[leader_id]
    out_id = next(node_id for node_id in nodes if node_id != leader_id)
    out = nodes[out_id]
    open_repository(cluster.repository, create=True)
    await put(leader, "snap", *[b"before"] * 10)
    lease = await typed(leader.node.Drain(drain(out_id), timeout=10))
    await out.is_in(DRAINED)
    request = node_pb2.TakeSnapshotRequest(epoch=lease.epoch, snapshot_id="s-1", repository=str(cluster.repository))
    with pytest.raises(NoCheckpoint):
        await collected(out.node.TakeSnapshot(request, timeout=30))
    mark = await typed(leader.node.Checkpoint(node_pb2.CheckpointRequest(epoch=lease.epoch), timeout=10))
    assert mark.epoch == lease.epoch
    await put(leader, "snap", *[b"after"] * 5)
    reports = await collected(out.node.TakeSnapshot(request, timeout=30))
    assert reports[-1].phase == node_pb2.SnapshotProgress.PHASE_DONE
    assert reports[-1].records == await count(out_id, nodes, "snap", before=5)
    assert str(mark.index).encode() in reports[-1].manifest_draft
    assert list((await out.status()).checkpoints) == [lease.epoch]

    wrong = node_pb2.TakeSnapshotRequest(epoch=lease.epoch - 1, snapshot_id="s-2", repository=str(cluster.repository))
    with pytest.raises(LeaseLost):
        await collected(out.node.TakeSnapshot(wrong, timeout=30))
    await typed(out.node.DropCheckpoint(node_pb2.DropCheckpointRequest(epoch=lease.epoch), timeout=10))
    with pytest.raises(NoCheckpoint):
        await collected(out.node.TakeSnapshot(request, timeout=30))
    await give_back(nodes, lease.epoch)
    await out.is_in(SERVING)
    assert not (await out.status()).checkpoints


async def count(out_id, nodes, name, *, before):
    """Return the records of all databases but those written last to `name`, as a node in rotation has them."""
    node = next(node for node_id, node in nodes.items() if node_id != out_id)
    answer = await typed(node.databases.ListDatabases(database_pb2.ListDatabasesRequest(), timeout=10))
    assert name in {found.name for found in answer.databases}
    return sum(cluster.records for found in answer.databases for cluster in found.clusters) - before


async def test_a_leader_out_of_rotation_hands_over_and_writes_go_on(nodes):
    await database(nodes, "handover")
    leader_id = await leader_of(nodes)
    lease = await typed(nodes[leader_id].node.Drain(drain(leader_id), timeout=10))
    others = {node_id: node for node_id, node in nodes.items() if node_id != leader_id}
    successor = await leader_of(others)
    await put(nodes[successor], "handover", b"x")
    status = await nodes[leader_id].is_in(DRAINED)
    assert status.role == node_pb2.NODE_ROLE_FOLLOWER
    await give_back(others, lease.epoch)
    await nodes[leader_id].is_in(SERVING)


async def test_a_lease_that_nobody_renews_ends_by_itself_without_writes(nodes):
    leader_id = await leader_of(nodes)
    out = next(node for node_id, node in nodes.items() if node_id != leader_id)
    out_id = next(node_id for node_id in nodes if node_id != leader_id)
    began = time.monotonic()
    await typed(nodes[leader_id].node.Drain(drain(out_id, ttl_ms=2_000), timeout=10))
    await out.is_in(*OUT)
    await out.is_in(SERVING)
    assert time.monotonic() - began > 1.5


async def test_a_long_scan_is_cut_and_does_not_hold_up_a_drain(nodes):
    await database(nodes, "long")
    leader_id = await leader_of(nodes)
    out_id = next(node_id for node_id in nodes if node_id != leader_id)
    for _ in range(8):
        await put(nodes[leader_id], "long", *[bytes(1 << 20)] * 8)
    scan = nodes[out_id].records.Scan(record_pb2.ScanRequest(database="long", whole_database=True), timeout=60)
    await scan.read()
    lease = await typed(nodes[leader_id].node.Drain(drain(out_id), timeout=10))
    await nodes[out_id].is_in(node_pb2.SERVING_STATE_DRAINING)
    await nodes[out_id].is_in(DRAINED)
    with pytest.raises(OutOfRotation):
        await typed(rest_of(scan))
    await give_back(nodes, lease.epoch)
    await nodes[out_id].is_in(SERVING)


async def rest_of(scan):
    while await scan.read() is not grpc.aio.EOF:
        pass


async def test_with_one_out_of_rotation_and_another_dead_writes_go_on(nodes, cluster):
    """P4: the one that is out of rotation still stores and votes."""
    await database(nodes, "weaker")
    leader_id = await leader_of(nodes)
    out_id, dead_id = (node_id for node_id in nodes if node_id != leader_id)
    lease = await typed(nodes[leader_id].node.Drain(drain(out_id, ttl_ms=60_000), timeout=10))
    await nodes[out_id].is_in(DRAINED)
    cluster.nodes[dead_id].kill()
    ids = await put(nodes[leader_id], "weaker", *[b"y"] * 10)
    assert await get(nodes[leader_id], "weaker", ids) == [b"y"] * 10
    await give_back({leader_id: nodes[leader_id]}, lease.epoch)
    await nodes[out_id].is_in(SERVING)

    async def noticed():
        members = (await typed(nodes[leader_id].node.Members(node_pb2.MembersRequest(), timeout=10))).members
        return True if [member.node_id for member in members if not member.active] == [dead_id] else None

    await soon(noticed, 10, "the leader notices the dead node")
    for node_id in nodes:
        error = await refusal(nodes[leader_id].node.Drain(drain(node_id), timeout=10))
        assert isinstance(error, ClusterDegraded)
        assert f"node {dead_id}" in str(error)


async def test_a_node_killed_while_it_is_out_of_rotation_stays_out_and_comes_back_by_itself(nodes, cluster):
    leader_id = await leader_of(nodes)
    out_id = next(node_id for node_id in nodes if node_id != leader_id)
    await typed(nodes[leader_id].node.Drain(drain(out_id, ttl_ms=8_000), timeout=10))
    await nodes[out_id].is_in(DRAINED)
    cluster.nodes[out_id].kill()
    cluster.nodes[out_id].start()
    status = await nodes[out_id].is_in(*OUT, SERVING)
    assert status.serving in OUT
    status = await nodes[out_id].is_in(SERVING)
    assert SERVING not in [change.state for change in status.history][:-1]


async def test_kill_of_the_leader_under_load_loses_nothing_acknowledged(nodes, cluster):
    await database(nodes, "killed")
    leader_id = await leader_of(nodes)
    acknowledged = []

    async def write(name, number):
        body = b"%d-%d" % (name, number)
        try:
            acknowledged.append((await put(nodes[leader_id], "killed", body), body))
        except QuiesceError:  # the leader dies under it
            return False
        return True

    async def writer(name):
        number = 0
        while await write(name, number):
            number += 1

    writers = [asyncio.create_task(writer(name)) for name in range(16)]
    await asyncio.sleep(1)
    cluster.nodes[leader_id].kill()
    killed = time.monotonic()
    await asyncio.gather(*writers)
    rest = {node_id: node for node_id, node in nodes.items() if node_id != leader_id}
    successor = rest[await leader_of(rest)]
    await put(successor, "killed", b"after")
    took = time.monotonic() - killed
    assert len(acknowledged) > 16
    for node in rest.values():
        bodies = await get(node, "killed", [ids[0] for ids, _ in acknowledged])
        assert bodies == [body for _, body in acknowledged]
    assert took < 5, "a new leader serves within 5 s"


async def test_after_a_kill_of_all_everything_acknowledged_is_there(nodes, cluster):
    await database(nodes, "all-killed")
    leader = nodes[await leader_of(nodes)]
    ids = await put(leader, "all-killed", *[b"%d" % number for number in range(100)])
    for daemon in cluster.nodes.values():
        daemon.kill()
    for daemon in cluster.nodes.values():
        daemon.start()
    for node in nodes.values():
        await node.is_in(SERVING)
        assert await get(node, "all-killed", ids) == [b"%d" % number for number in range(100)]


async def test_sigterm_hands_leadership_over_and_ends_with_0(nodes, cluster):
    leader_id = await leader_of(nodes)
    stopping = asyncio.create_task(asyncio.to_thread(cluster.nodes[leader_id].stop))
    rest = {node_id: node for node_id, node in nodes.items() if node_id != leader_id}
    await leader_of(rest)
    assert await stopping == 0
    assert "stopped" in cluster.nodes[leader_id].tail()
    with pytest.raises(grpc.RpcError):
        await nodes[leader_id].node.Status(node_pb2.StatusRequest(), timeout=1)
