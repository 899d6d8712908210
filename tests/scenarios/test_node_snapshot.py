"""One node's part in a snapshot and a restore: the worker lives as long as its caller, its lease and its daemon."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from quiesce.errors import AwaitingRestore, LeaseLost, NotAwaitingRestore, SnapshotWorkerFailed
from quiesce.repository import open_repository
from quiesce.snapshot import decode_manifest
from quiesce.v1 import database_pb2, node_pb2, record_pb2
from tests.scenarios.cluster import Cluster
from tests.scenarios.raw import RawNode, collected, refusal, soon, typed

SERVING, DRAINED = node_pb2.SERVING_STATE_SERVING, node_pb2.SERVING_STATE_DRAINED
BODIES = [b"%d" % number * 100 for number in range(3_000)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("snapshots"))
    open_repository(cluster.repository, create=True)
    try:
        yield cluster
    finally:
        cluster.stop()


@contextlib.asynccontextmanager
async def all_of(cluster):
    for daemon in cluster.nodes.values():
        if not daemon.running:
            daemon.start()
    async with contextlib.AsyncExitStack() as stack:
        yield {node: await stack.enter_async_context(RawNode(a)) for node, a in cluster.members.items()}


@pytest.fixture
async def nodes(cluster):
    async with all_of(cluster) as nodes:
        for node in nodes.values():
            await node.is_in(SERVING, within_s=30)
        yield nodes


async def leader_of(nodes):
    async def found():
        for node in nodes.values():
            status = await node.status()
            if status is not None and status.role == node_pb2.NODE_ROLE_LEADER:
                return node
        return None

    return await soon(found, 20, "a leader")


async def filled(nodes, name):
    leader = await leader_of(nodes)
    await typed(leader.databases.CreateDatabase(database_pb2.CreateDatabaseRequest(name=name), timeout=10))
    blobs = [record_pb2.Create(cluster=3, kind=record_pb2.RECORD_KIND_BLOB, body=body) for body in BODIES]
    operations = [record_pb2.Operation(create=create) for create in blobs]
    await typed(leader.records.Write(record_pb2.WriteRequest(database=name, operations=operations), timeout=10))


async def marked(nodes):
    """Take a follower out of rotation and have it make a checkpoint; return leader, id of the follower, epoch."""
    leader = await leader_of(nodes)
    out_id = next(node_id for node_id, node in nodes.items() if node is not leader)
    drain = node_pb2.DrainRequest(node_id=out_id, owner="test", reason="a test", ttl_ms=60_000)
    epoch = (await typed(leader.node.Drain(drain, timeout=10))).epoch
    await nodes[out_id].is_in(DRAINED)
    await typed(leader.node.Checkpoint(node_pb2.CheckpointRequest(epoch=epoch), timeout=10))
    return leader, out_id, epoch


def request(cluster, epoch, snapshot_id, **more):
    return node_pb2.TakeSnapshotRequest(
        epoch=epoch, snapshot_id=snapshot_id, repository=str(cluster.repository), **more
    )


def children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def alive(pids):
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


async def nobody(pids):
    async def gone():
        return None if alive(pids) else True

    await soon(gone, 10, f"the end of {pids}")


async def slowly(cluster, nodes, out_id, epoch, snapshot_id):
    """Start a snapshot that would take hours; return the call and the worker's process ids."""
    call = nodes[out_id].node.TakeSnapshot(request(cluster, epoch, snapshot_id, rate_limit=10), timeout=60)

    async def started():
        return children(cluster.nodes[out_id].pid) or None

    reading = asyncio.create_task(collected(call))
    return call, reading, await soon(started, 20, "a worker")


async def test_a_worker_ends_with_its_caller_its_lease_and_its_daemon(cluster, nodes):
    await filled(nodes, "ends")
    leader, out_id, epoch = await marked(nodes)

    call, reading, workers = await slowly(cluster, nodes, out_id, epoch, "cancelled")
    call.cancel()
    await nobody(workers)
    await asyncio.wait([reading])

    _, reading, workers = await slowly(cluster, nodes, out_id, epoch, "superseded")
    _, second, others = await slowly(cluster, nodes, out_id, epoch, "superseding")
    with pytest.raises(SnapshotWorkerFailed, match="took its place"):
        await reading
    await nobody(set(workers) - set(children(cluster.nodes[out_id].pid)))

    await typed(leader.node.Undrain(node_pb2.UndrainRequest(epoch=epoch), timeout=10))
    with pytest.raises(LeaseLost):
        await second
    await nobody(others)
    await nodes[out_id].is_in(SERVING)

    leader, out_id, epoch = await marked(nodes)
    _, reading, workers = await slowly(cluster, nodes, out_id, epoch, "orphaned")
    cluster.nodes[out_id].kill()
    await nobody(workers)
    await asyncio.wait([reading])
    cluster.nodes[out_id].start()
    # The checkpoint and its mark are still there, and the lease still holds: the backup may go on.
    await nodes[out_id].is_in(DRAINED)
    reports = await collected(nodes[out_id].node.TakeSnapshot(request(cluster, epoch, "resumed"), timeout=60))
    assert reports[-1].phase == node_pb2.SnapshotProgress.PHASE_DONE
    await typed((await leader_of(nodes)).node.Undrain(node_pb2.UndrainRequest(epoch=epoch), timeout=10))
    await nodes[out_id].is_in(SERVING)
    assert [entry.snapshot_id for entry in open_repository(cluster.repository).list_snapshots()] == []


async def test_new_nodes_are_filled_by_a_snapshot_and_become_a_cluster_of_their_own(cluster, nodes, tmp_path):
    await filled(nodes, "moved")
    leader, out_id, epoch = await marked(nodes)
    reports = await collected(nodes[out_id].node.TakeSnapshot(request(cluster, epoch, "s-1"), timeout=60))
    manifest = decode_manifest(reports[-1].manifest_draft)
    open_repository(cluster.repository).publish_manifest(manifest)
    await typed(leader.node.Undrain(node_pb2.UndrainRequest(epoch=epoch), timeout=10))

    restored = Cluster(tmp_path, await_restore=True)
    try:
        async with all_of(restored) as new:
            for node in new.values():
                await node.is_in(node_pb2.SERVING_STATE_AWAITING_RESTORE)
                get = node.records.Get(record_pb2.GetRequest(database="moved"), timeout=10)
                assert isinstance(await refusal(get), AwaitingRestore)
            members = [node_pb2.Member(node_id=n, address=a) for n, a in restored.members.items()]
            restore = node_pb2.RestoreNodeRequest(
                repository=str(cluster.repository), snapshot_id="s-1", cluster_id="new", members=members
            )
            ends = await asyncio.gather(*(collected(node.node.Restore(restore, timeout=60)) for node in new.values()))
            assert all(reports[-1].done and reports[-1].records >= len(BODIES) for reports in ends)
            for node in new.values():
                status = await node.is_in(SERVING, within_s=30)
                assert status.cluster_id == "new"
                assert status.term > manifest.mark.term
                assert status.first_log_index > manifest.mark.index
                scan = record_pb2.ScanRequest(database="moved", whole_database=True)
                messages = await collected(node.records.Scan(scan, timeout=30))
                assert [record.body for message in messages for record in message.records] == BODIES
                with pytest.raises(NotAwaitingRestore):
                    await collected(node.node.Restore(restore, timeout=10))
            # Started again with the same words it is a node like any other.
            restored.nodes[1].kill()
            restored.nodes[1].start()
            await new[1].is_in(SERVING)
    finally:
        restored.stop()
