"""Real nodes by gRPC alone: exactly once through everything, reads by index, and what overload is answered with."""

from __future__ import annotations

import asyncio
import contextlib

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from nodes.service.calls import CLUSTER_ID_KEY
from quiesce.errors import DatabaseExists, DeadlineExceeded, NotLeader, Overloaded, ScanStalled, WrongCluster
from quiesce.rpc import error_of
from quiesce.v1 import database_pb2, node_pb2, record_pb2
from tests.scenarios.cluster import Cluster
from tests.scenarios.raw import RawNode, collected, refusal, soon, typed

SERVING = node_pb2.SERVING_STATE_SERVING
STALE = record_pb2.READ_CONSISTENCY_STALE
SCANS = 2


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    options = {"max-scans": str(SCANS), "scan-stall": "3s"}
    cluster = Cluster(tmp_path_factory.mktemp("limits"), node_options=options)
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
async def nodes(cluster):
    for daemon in cluster.nodes.values():
        if not daemon.running:
            daemon.start()
    async with contextlib.AsyncExitStack() as stack:
        found = {node: await stack.enter_async_context(RawNode(a)) for node, a in cluster.members.items()}
        for node in found.values():
            await node.is_in(SERVING, within_s=60)
        with contextlib.suppress(DatabaseExists):
            leader = await leader_of(found)
            await typed(leader.databases.CreateDatabase(database_pb2.CreateDatabaseRequest(name="d"), timeout=30))
        yield found


async def leader_of(nodes):
    async def found():
        for node in nodes.values():
            status = await node.status()
            if status is not None and status.role == node_pb2.NODE_ROLE_LEADER:
                return node
        return None

    return await soon(found, 60, "a leader")


def write_request(body, **session):
    create = record_pb2.Create(cluster=3, kind=record_pb2.RECORD_KIND_BLOB, body=body)
    return record_pb2.WriteRequest(database="d", operations=[record_pb2.Operation(create=create)], **session)


async def write(nodes, request):
    """Write through whoever leads; this request is in a session, so it may be asked as often as it takes."""

    async def answer():
        leader = await leader_of(nodes)
        with contextlib.suppress(grpc.RpcError):
            return await leader.records.Write(request, timeout=10)
        return None

    return await soon(answer, 60, "an answer to the write")


async def records(nodes):
    leader = await leader_of(nodes)
    found = await typed(leader.databases.GetDatabase(database_pb2.GetDatabaseRequest(name="d"), timeout=30))
    return next(each.records for each in found.clusters if each.id == 3)


async def test_a_write_is_applied_once_through_a_change_of_leader_and_a_restart_of_all(nodes, cluster):
    leader = await leader_of(nodes)
    opened = await typed(leader.records.OpenSession(record_pb2.OpenSessionRequest(client="test"), timeout=10))
    request = write_request(b"once", session_id=opened.session_id, sequence=1)
    before = await records(nodes)
    first = await write(nodes, request)
    assert await write(nodes, request) == first

    await typed(leader.node.TransferLeadership(node_pb2.TransferLeadershipRequest(), timeout=20))
    assert await write(nodes, request) == first

    cluster.kill()
    for daemon in cluster.nodes.values():
        daemon.start()
    assert await write(nodes, request) == first
    for node in nodes.values():
        await node.is_in(SERVING, within_s=60)
    # Its answer has arrived: it is forgotten then, and still not applied again.
    acknowledged = write_request(b"twice", session_id=opened.session_id, sequence=2, acknowledged_through=1)
    await write(nodes, acknowledged)
    error = await refusal((await leader_of(nodes)).records.Write(request, timeout=10))
    assert error.reason() == "OUTCOME_UNKNOWN"
    assert await records(nodes) == before + 2


async def test_a_stale_read_that_names_an_index_sees_what_it_made_on_every_node(nodes):
    leader = await leader_of(nodes)
    for number in range(30):
        written = await typed(leader.records.Write(write_request(b"%d" % number), timeout=10))
        place = written.written[0]
        request = record_pb2.GetRequest(
            database="d",
            ids=[record_pb2.RecordId(cluster=place.cluster, position=place.position)],
            consistency=STALE,
            min_index=written.index,
        )
        for answer in await asyncio.gather(*(typed(node.records.Get(request, timeout=20)) for node in nodes.values())):
            assert answer.index >= written.index
            assert [record.body for record in answer.records] == [b"%d" % number]
    request.min_index = written.index + 1_000_000
    for node in nodes.values():
        error = await refusal(node.records.Get(request, timeout=0.5))
        assert isinstance(error, DeadlineExceeded)


async def test_reads_on_any_node_see_what_was_written_before_and_after_a_change_of_leader(nodes):
    for number in range(3):
        leader = await leader_of(nodes)
        written = await typed(leader.records.Write(write_request(b"%d" % number), timeout=10))
        handing_over = asyncio.create_task(
            typed(leader.node.TransferLeadership(node_pb2.TransferLeadershipRequest(), timeout=20))
        )
        place = written.written[0]
        request = record_pb2.GetRequest(
            database="d", ids=[record_pb2.RecordId(cluster=place.cluster, position=place.position)]
        )
        for answer in await asyncio.gather(*(typed(node.records.Get(request, timeout=30)) for node in nodes.values())):
            assert answer.index >= written.index
            assert len(answer.records) == 1
        await handing_over


async def test_a_follower_reads_no_batch_and_says_at_once_who_leads(nodes):
    leader = await leader_of(nodes)
    follower = next(node for node in nodes.values() if node is not leader)
    error = await refusal(follower.begins("/quiesce.v1.Records/Write", timeout=10))
    assert isinstance(error, NotLeader)
    assert error.fields["leader_address"] == leader.address
    elsewhere = ((CLUSTER_ID_KEY, "another"),)
    error = await refusal(follower.begins("/quiesce.v1.Records/Write", timeout=10, metadata=elsewhere))
    assert isinstance(error, WrongCluster)


async def test_one_scan_too_many_is_told_when_to_come_again_and_scans_that_nobody_reads_end(nodes):
    leader = await leader_of(nodes)
    for _ in range(8):
        await typed(leader.records.Write(write_request(bytes(2 << 20)), timeout=30))
    request = record_pb2.ScanRequest(database="d", cluster=3)
    unread = [leader.records.Scan(request, timeout=60) for _ in range(SCANS)]
    for scan in unread:
        await scan.read()
    one_more = leader.records.Scan(request, timeout=30)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await one_more.read()
    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert isinstance(error_of(failed.value, addresses="-"), Overloaded)
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in rpc_status.from_call(failed.value).details)
    assert retry.retry_delay.ToMilliseconds() > 0

    # What is not taken is given up, and then there is room again, long before their deadlines.
    async def room():
        with contextlib.suppress(Overloaded):
            return await collected(leader.records.Scan(request, timeout=30))
        return None

    assert sum(len(message.records) for message in await soon(room, 30, "room for a scan")) > 8
    for scan in unread:
        assert isinstance(await refusal(_to_the_end(scan)), ScanStalled)


async def _to_the_end(scan):
    while await scan.read() is not grpc.aio.EOF:
        pass
