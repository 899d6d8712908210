"""The edge of a node: the passage of calls, scans, the worker's supervision, a node in waiting."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from nodes.rotation.gate import CaughtUp, Gate, LeaseTaken, Serving
from nodes.service.calls import CLUSTER_ID_KEY, LONGEST_WAIT_S, Calls, time_left
from nodes.service.restoring import RefuseClients, RestoringService, restored_identity
from nodes.service.scanning import MESSAGE_BYTES, MESSAGE_RECORDS, scan_messages, stream
from nodes.service.worker_process import SNAPSHOT, WorkerProcess
from nodes.store.keys import RECORD, RECORD_HEADER
from nodes.store.packing import pack
from quiesce.errors import (
    AwaitingRestore,
    DamagedStore,
    DiskFailed,
    InvalidRequest,
    LeaseLost,
    NoLeader,
    OutOfRotation,
    Overloaded,
    SnapshotWorkerFailed,
    WrongCluster,
)
from quiesce.rpc import error_of, open_channel, open_server
from quiesce.v1 import database_pb2, node_pb2, node_pb2_grpc, record_pb2, record_pb2_grpc
from tests.simulation.engine import Rows, Table


class Context:
    def __init__(self, remaining=None, **metadata):
        self.remaining = remaining
        self.metadata = tuple(metadata.items())
        self.written = []
        self.hold = None

    def time_remaining(self):
        return self.remaining

    def invocation_metadata(self):
        return tuple((key.replace("_", "-"), value) for key, value in self.metadata)

    async def write(self, message):
        if self.hold is not None:
            await self.hold.wait()
        self.written.append(message)


def make_calls(*, leader=True, caught_up=True, max_requests=3, max_scans=1, on_damage=lambda _: None):
    gate = Gate(clock_ms=lambda: 0, monotonic=lambda: 0.0, grace_s=5.0)
    if caught_up:
        gate.step(CaughtUp(1))
    calls = Calls(
        node_id=2,
        cluster_id="x",
        others=lambda: "a:1, c:3",
        gate=gate,
        has_leader=lambda: leader,
        on_damage=on_damage,
        max_requests=max_requests,
        max_scans=max_scans,
    )
    return calls, gate


def test_the_deadline_of_a_call_is_the_callers_up_to_a_limit():
    assert time_left(Context()) == LONGEST_WAIT_S
    assert time_left(Context(remaining=2.5)) == 2.5
    assert time_left(Context(remaining=60)) == LONGEST_WAIT_S
    assert time_left(Context(remaining=-1)) == 0


@pytest.mark.parametrize("error", [DamagedStore(path="p", detail="d"), DiskFailed(operation="reading", path="p")])
async def test_a_read_that_meets_damage_is_sent_elsewhere_and_the_node_is_told(error):
    told = []
    calls, gate = make_calls(on_damage=told.append)
    with pytest.raises(OutOfRotation, match=r"its disk: .*ask a:1, c:3"):
        async with calls.read(Context()):
            raise error
    assert told == [error]
    assert (calls.running, gate.running) == (0, 0)


async def test_a_call_for_another_cluster():
    calls, _ = make_calls()
    assert CLUSTER_ID_KEY == "quiesce-cluster-id"
    async with calls.read(Context(quiesce_cluster_id="x")):
        pass
    with pytest.raises(WrongCluster, match="y"):
        async with calls.read(Context(quiesce_cluster_id="y")):
            pass
    with pytest.raises(WrongCluster), calls.change(Context(quiesce_cluster_id="y")):
        pass
    assert calls.running == 0


async def test_too_many_calls_at_once():
    calls, _ = make_calls(max_requests=2)
    with calls.change(Context()):
        async with calls.read(Context()):
            with pytest.raises(Overloaded), calls.change(Context()):
                pass
            assert not await calls.idle(0.01)
    assert await calls.idle(0.01)


async def test_too_many_scans_leave_room_for_reads():
    calls, gate = make_calls(max_scans=1)
    async with calls.scan(Context()):
        with pytest.raises(Overloaded):
            async with calls.scan(Context()):
                pass
        async with calls.read(Context()):
            pass
    assert (calls.scanning, calls.running, gate.running) == (0, 0, 0)


async def test_out_of_rotation_reads_are_sent_elsewhere_and_changes_go_on():
    calls, gate = make_calls()
    gate.step(LeaseTaken(5, "backup, for me"))
    with pytest.raises(OutOfRotation, match=r"backup, for me.*a:1, c:3"):
        async with calls.read(Context()):
            pass
    with calls.change(Context()):
        pass


async def test_before_it_has_caught_up_it_says_why():
    calls, _ = make_calls(caught_up=False, leader=False)
    with pytest.raises(NoLeader):
        async with calls.read(Context()):
            pass
    calls, _ = make_calls(caught_up=False)
    with pytest.raises(OutOfRotation, match="catching up"):
        async with calls.read(Context()):
            pass


async def test_a_cut_read_ends_with_a_retryable_error():
    calls, gate = make_calls()

    async def read():
        async with calls.read(Context()):
            await asyncio.sleep(60)

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    gate.step(LeaseTaken(5, "backup"))
    assert gate.state is Serving.DRAINING
    calls.cut_reads()
    with pytest.raises(OutOfRotation):
        await reading
    assert gate.state is Serving.DRAINED


async def test_errors_of_a_read_pass_through():
    calls, gate = make_calls()
    for error in (TimeoutError, NoLeader, ValueError):
        with pytest.raises(error):
            async with calls.read(Context()):
                raise error
    assert gate.running == 0


class View:
    """Clusters of records by size of body."""

    index = 42

    def __init__(self, clusters):
        self.clusters = clusters
        self.closed = False

    def scan_packed(self, _database, cluster, after=None, limit=None):
        sizes = enumerate(self.clusters[cluster])
        rows = {RECORD.pack(7, cluster, place): RECORD_HEADER.pack(1, 1) + bytes(size) for place, size in sizes}
        begin = RECORD.pack(7, cluster, 0 if after is None else after + 1)
        return pack(Rows(Table(rows, 0)), begin, b"\xff", Path("store"), limit)

    def class_clusters(self, _database, _name):
        return [5, 3]

    def close(self):
        assert not self.closed
        self.closed = True


def scan(clusters, **request):
    database = database_pb2.Database(name="d", clusters=[database_pb2.Cluster(id=key) for key in clusters])
    asked = record_pb2.ScanRequest(**{"database": "d", "whole_database": True, **request})
    return list(map(record_pb2.ScanResponse.FromString, scan_messages(View(clusters), asked, database)))


def places(messages):
    return [(record.cluster, record.position) for message in messages for record in message.records]


def test_a_scan_is_cut_into_messages_by_count_and_by_bytes():
    messages = scan({3: [10] * (2 * MESSAGE_RECORDS + 500)})
    assert [len(message.records) for message in messages] == [MESSAGE_RECORDS, MESSAGE_RECORDS, 500]
    assert [message.HasField("database") for message in messages] == [True, False, False]
    assert {message.index for message in messages} == {42}
    messages = scan({3: [MESSAGE_BYTES // 2] * 5})
    assert [len(message.records) for message in messages] == [2, 2, 1]


def test_a_scan_of_nothing_still_answers():
    (message,) = scan({3: []})
    assert message.database.name == "d"
    assert not message.records


def test_targets_order_limits_and_going_on():
    clusters = {5: [1] * 3, 3: [1] * 2}
    everything = [(3, 0), (3, 1), (5, 0), (5, 1), (5, 2)]
    assert places(scan(clusters)) == everything
    assert places(scan(clusters, class_name="C")) == everything
    assert places(scan(clusters, cluster=5)) == everything[2:]
    for limit in range(1, 6):
        assert places(scan(clusters, limit=limit)) == everything[:limit]
    for at, (cluster, position) in enumerate(everything):
        after = record_pb2.RecordId(cluster=cluster, position=position)
        assert places(scan(clusters, after=after)) == everything[at + 1 :]


async def test_a_stream_waits_for_its_caller_and_closes_the_view():
    view, context, made = View({}), Context(), []
    context.hold = asyncio.Event()

    def messages():
        for number in range(5):
            made.append(number)
            yield number

    with ThreadPoolExecutor(2) as threads:
        streaming = asyncio.create_task(stream(context, view, messages(), threads, 5.0))
        await asyncio.sleep(0.05)
        assert len(made) <= 2, "made no more than one message ahead"
        context.hold.set()
        await streaming
    assert context.written == [0, 1, 2, 3, 4]
    assert view.closed


async def test_a_cancelled_stream_closes_the_view_only_when_no_thread_is_in_it():
    view, context, closed_inside = View({}), Context(), []

    def messages():
        time.sleep(0.1)
        closed_inside.append(view.closed)
        yield 0

    with ThreadPoolExecutor(2) as threads:
        streaming = asyncio.create_task(stream(context, view, messages(), threads, 5.0))
        await asyncio.sleep(0.02)
        streaming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await streaming
    assert closed_inside == [False]
    assert view.closed


async def test_a_worker_that_fails_is_told_of_with_its_last_words():
    worker = await WorkerProcess.start(2, ["--nonsense"], SNAPSHOT)
    with pytest.raises(SnapshotWorkerFailed, match=r"node 2 ended with code 2.*required"):
        async for _ in worker.progress():
            pass


async def test_a_worker_that_is_killed_says_what_for():
    worker = await WorkerProcess.start(2, ["--help"], SNAPSHOT)
    worker.kill(LeaseLost(epoch=7))
    with pytest.raises(LeaseLost):
        async for _ in worker.progress():
            pass
    await worker.ended()


def restore_request(**more):
    members = [node_pb2.Member(node_id=n, address=f"h:{n}") for n in (1, 2)]
    return node_pb2.RestoreNodeRequest(
        **{"repository": "/r", "snapshot_id": "s", "cluster_id": "c", "members": members, **more}
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"repository": ""},
        {"snapshot_id": ""},
        {"cluster_id": ""},
        {"members": []},
        {"members": [node_pb2.Member(node_id=1, address="h:1")]},
        {"members": [node_pb2.Member(node_id=2, address="h")]},
        {"members": [node_pb2.Member(node_id=2, address="h:1"), node_pb2.Member(node_id=2, address="h:2")]},
        {"members": [node_pb2.Member(node_id=2, address="h:1"), node_pb2.Member(node_id=1, address="h:1")]},
    ],
)
def test_who_a_restored_node_is(wrong):
    identity = restored_identity(2, restore_request())
    assert (identity.cluster_id, identity.members) == ("c", {1: "h:1", 2: "h:2"})
    with pytest.raises(InvalidRequest):
        restored_identity(2, restore_request(**wrong))


async def test_a_node_in_waiting(tmp_path):
    loaded = []

    def load(identity, request, progress):
        if request.snapshot_id == "bad":
            raise NoLeader
        progress(node_pb2.RestoreProgress(pages_done=3))
        loaded.append(identity)

    server = open_server("127.0.0.1:0")
    port = server.listen()
    service = RestoringService(node_id=2, address="h:2", data=tmp_path, version="1", load=load, started_ms=5)
    node_pb2_grpc.add_NodeServicer_to_server(service, server.grpc)
    server.grpc.add_generic_rpc_handlers((RefuseClients(AwaitingRestore(node_id=2), ("quiesce.v1.Records",)),))
    await server.start([])
    async with open_channel(f"127.0.0.1:{port}") as channel:
        node, records = node_pb2_grpc.NodeStub(channel), record_pb2_grpc.RecordsStub(channel)
        assert (await node.Status(node_pb2.StatusRequest())).serving == node_pb2.SERVING_STATE_AWAITING_RESTORE
        for call in (
            records.Get(record_pb2.GetRequest()),
            node.Drain(node_pb2.DrainRequest()),
            records.Scan(record_pb2.ScanRequest()).read(),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert isinstance(error_of(caught.value, addresses=""), AwaitingRestore)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await node.Restore(restore_request(snapshot_id="bad")).read()
        assert isinstance(error_of(caught.value, addresses=""), NoLeader)
        reports = [report async for report in node.Restore(restore_request())]
        assert (reports[-1].done, reports[-1].pages_done, reports[-1].node_id) == (True, 3, 2)
        assert await asyncio.wait_for(service.restored, 1) == loaded[0]
    await server.stop(0)
