"""The client against nodes that misbehave: what is asked where, and that nothing is applied twice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from client_fake_node import FakeCluster, hang, lose, refuse

from quiesce.client import AsyncClient, Client
from quiesce.errors import (
    BatchTooLarge,
    DeadlineExceeded,
    InvalidRequest,
    NoLeader,
    OutcomeUnknown,
    OutOfRotation,
    Overloaded,
    QuiesceError,
    RecordTooLarge,
    SessionExpired,
    StaleVersion,
    Unavailable,
    WrongCluster,
)
from quiesce.records import RID, create
from quiesce.v1 import node_pb2

WRITE = [create({"a": 1}, class_name="P")]


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    cluster = FakeCluster()
    await cluster.start()
    yield cluster
    await cluster.stop()


@pytest.fixture
async def client(cluster: FakeCluster) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(cluster.addresses[:1], timeout_s=5, attempt_timeout_s=0.3) as client:
        yield client


def calls(cluster: FakeCluster, method: str) -> list[int]:
    return [node.calls.count(method) for node in cluster.nodes]


async def test_finds_the_members_and_spreads_reads(cluster: FakeCluster, client: AsyncClient) -> None:
    for _ in range(9):
        assert list(await client.get("d", [RID(9, 1)])) == [RID(9, 1)]
    assert calls(cluster, "Get") == [3, 3, 3]
    assert client.cluster_id == "c1"


async def test_an_unreachable_seed_costs_nothing_while_another_answers(cluster: FakeCluster) -> None:
    cluster.nodes[0].before["Members"] = [hang()]
    async with AsyncClient(["127.0.0.1:1", *cluster.addresses], timeout_s=5) as client:
        await client.get("d", [])


async def test_writes_go_to_the_leader_and_follow_it(cluster: FakeCluster, client: AsyncClient) -> None:
    await client.write("d", WRITE)
    cluster.leader_id = 3
    await client.write("d", WRITE)
    assert calls(cluster, "Write") == [2, 0, 1]
    assert len(cluster.applied) == 2


async def test_a_read_moves_off_a_node_out_of_rotation_and_comes_back(
    cluster: FakeCluster, client: AsyncClient
) -> None:
    drained = cluster.nodes[1]
    error = OutOfRotation(node_id=2, why="backup", others="1, 3")
    drained.before["Get"] = [refuse(error) for _ in range(100)]
    drained.serving = node_pb2.SERVING_STATE_DRAINED
    for _ in range(30):
        await client.get("d", [])
    assert calls(cluster, "Get")[1] == 1
    drained.serving = node_pb2.SERVING_STATE_SERVING
    drained.before["Get"] = []
    async with asyncio.timeout(10):
        while calls(cluster, "Get")[1] == 1:
            await client.get("d", [])
            await asyncio.sleep(0.02)


async def test_a_lost_answer_is_asked_for_again_and_not_applied_twice(
    cluster: FakeCluster, client: AsyncClient
) -> None:
    cluster.nodes[0].after["Write"] = [lose(), hang(), lose()]
    first = await client.write("d", WRITE)
    assert first.index == 2
    assert len(cluster.applied) == 1
    await client.write("d", WRITE)
    assert [sequence for _, sequence in cluster.applied] == [1, 2]


async def test_a_hung_node_does_not_eat_the_deadline(cluster: FakeCluster, client: AsyncClient) -> None:
    for node in cluster.nodes[:2]:
        node.before["Get"] = [hang() for _ in range(20)]
        node.before["Status"] = [hang() for _ in range(20)]
    for _ in range(10):
        await client.get("d", [])
    # Each of the two costs one call one attempt, and is then left alone.
    assert calls(cluster, "Get") == [1, 1, 10]


async def test_a_dead_node_is_left_for_another(cluster: FakeCluster, client: AsyncClient) -> None:
    await client.get("d", [])
    await cluster.nodes[1].stop()
    for _ in range(10):
        await client.get("d", [])


async def test_a_refusal_that_lasts_is_raised_at_once(cluster: FakeCluster, client: AsyncClient) -> None:
    cluster.nodes[0].before["Write"] = [refuse(StaleVersion(rid="#1:1", actual=2, expected=1))]
    with pytest.raises(StaleVersion, match="version 2, not 1"):
        await client.write("d", WRITE)
    assert calls(cluster, "Write") == [1, 0, 0]


async def test_overload_is_waited_out(cluster: FakeCluster, client: AsyncClient) -> None:
    cluster.nodes[0].before["Write"] = [refuse(Overloaded(node_id=1, waiting=9, retry_ms=20)) for _ in range(3)]
    await client.write("d", WRITE)
    assert calls(cluster, "Write") == [4, 0, 0]


async def test_without_a_leader_the_last_word_is_no_leader(cluster: FakeCluster) -> None:
    cluster.leader_id = 0
    for node in cluster.nodes:
        node.before["OpenSession"] = [refuse(NoLeader()) for _ in range(100)]
    async with AsyncClient(cluster.addresses, timeout_s=2.0) as client:
        with pytest.raises(NoLeader):
            await client.write("d", WRITE)


async def test_nobody_there() -> None:
    async with AsyncClient(["127.0.0.1:1"], timeout_s=0.3) as client:
        with pytest.raises(Unavailable, match=r"within 0\.3 s: Connection refused"):
            await client.get("d", [])


async def test_a_write_whose_outcome_stays_open_says_so(cluster: FakeCluster) -> None:
    async with AsyncClient(cluster.addresses, timeout_s=0.6) as client:
        await client.write("d", WRITE)
        for node in cluster.nodes:
            node.after["Write"] = [lose() for _ in range(100)]
        with pytest.raises(OutcomeUnknown):
            await client.write("d", WRITE)


async def test_a_read_that_takes_too_long(cluster: FakeCluster) -> None:
    for node in cluster.nodes:
        node.before["Get"] = [hang() for _ in range(100)]
    async with AsyncClient(cluster.addresses, timeout_s=0.3) as client:
        with pytest.raises(DeadlineExceeded):
            await client.get("d", [])


async def test_an_expired_session_is_replaced_where_nothing_was_sent(cluster: FakeCluster, client: AsyncClient) -> None:
    await client.write("d", WRITE)
    cluster.sessions.clear()
    await asyncio.gather(*(client.write("d", WRITE) for _ in range(20)))
    assert len(cluster.applied) == len(set(cluster.applied)) == 21
    assert len(cluster.sessions) == 1


async def test_an_expired_session_after_a_lost_answer_leaves_it_open(cluster: FakeCluster, client: AsyncClient) -> None:
    cluster.nodes[0].after["Write"] = [lose()]
    cluster.nodes[0].before["Write"] = [hang(0), refuse(SessionExpired(session_id=1))]
    with pytest.raises(OutcomeUnknown):
        await client.write("d", WRITE)


async def test_many_writes_in_flight_are_each_applied_once(cluster: FakeCluster, client: AsyncClient) -> None:
    cluster.nodes[0].after["Write"] = [lose() if n % 3 == 0 else hang(0) for n in range(200)]
    await asyncio.gather(*(client.write("d", WRITE, timeout_s=20) for _ in range(300)))
    assert sorted(sequence for _, sequence in cluster.applied) == list(range(1, 301))
    assert len(cluster.sessions) == 1
    # All have been answered: the next write says so.
    await client.write("d", WRITE)
    assert cluster.acknowledged[-1] == 300


async def test_a_change_that_may_have_happened_is_not_repeated(cluster: FakeCluster, client: AsyncClient) -> None:
    cluster.nodes[0].after["CreateDatabase"] = [lose()]
    with pytest.raises(OutcomeUnknown):
        await client.create_database("d")
    assert calls(cluster, "CreateDatabase") == [1, 0, 0]


async def test_a_change_is_repeated_where_it_certainly_did_not_happen(cluster: FakeCluster) -> None:
    await cluster.nodes[0].stop()
    async with AsyncClient(cluster.addresses, timeout_s=5) as client:
        electing = asyncio.create_task(client.create_database("d"))
        await asyncio.sleep(0.1)
        cluster.leader_id = 2
        assert (await electing).name == "d"


async def test_another_cluster_at_the_same_address_is_refused(cluster: FakeCluster, client: AsyncClient) -> None:
    await client.get("d", [])
    cluster.cluster_id = "c2"
    with pytest.raises(WrongCluster, match="cluster c2, not c1"):
        await client.get("d", [])


async def positions(client: AsyncClient, **options: bool) -> list[int]:
    return [r.position async for batch in client.scan("d", whole=True, **options) for r in batch.records]


async def test_a_scan_moves_on_before_its_first_batch(cluster: FakeCluster, client: AsyncClient) -> None:
    for node in cluster.nodes[:2]:
        node.before["Scan"] = [lose()]
    assert await positions(client) == [0, 1, 2]


async def test_a_scan_that_breaks_midway_raises_unless_it_may_resume(cluster: FakeCluster, client: AsyncClient) -> None:
    for node in cluster.nodes:
        node.after["Scan"] = [lose()]
    with pytest.raises(Unavailable):
        await positions(client)
    cluster.min_indexes.clear()
    assert await positions(client, resume=True) == [0, 1, 2]
    # Never at a node that shows an earlier moment than what came already.
    assert cluster.min_indexes[0] == 0
    assert set(cluster.min_indexes[1:]) == {41}


async def test_answers_tell_their_index(client: AsyncClient) -> None:
    assert (await client.get("d", [RID(9, 1)], stale=True, min_index=1)).log_index == 1


async def test_a_silent_scan_ends(cluster: FakeCluster) -> None:
    for node in cluster.nodes:
        node.after["Scan"] = [hang()]
    async with AsyncClient(cluster.addresses, timeout_s=0.3) as client:
        with pytest.raises(DeadlineExceeded):
            await positions(client)


async def test_leaving_a_scan_ends_its_call(cluster: FakeCluster, client: AsyncClient) -> None:
    batches = client.scan("d", whole=True)
    async for _ in batches:
        break
    await batches.aclose()  # type: ignore[attr-defined]


async def test_what_is_too_large_is_refused_before_it_is_sent(client: AsyncClient) -> None:
    large = create(b"x" * (100 << 20), class_name="P")
    with pytest.raises(RecordTooLarge, match="104857600 bytes"):
        await client.write("d", [large])
    with pytest.raises(BatchTooLarge, match="16777216 bytes"):
        await client.write("d", [create(b"x" * (6 << 20), class_name="P")] * 3)
    with pytest.raises(BatchTooLarge, match="operations"):
        await client.write("d", WRITE * 10_001)
    with pytest.raises(InvalidRequest):
        await client.write("d", [])


@pytest.mark.parametrize("address", ["", "localhost", "h:0", "h:70000", ":7101"])
def test_bad_addresses(address: str) -> None:
    with pytest.raises(InvalidRequest):
        AsyncClient([address])


async def test_the_blocking_client_is_used_by_many_threads(cluster: FakeCluster) -> None:
    def work() -> None:
        threads = threading.active_count()
        with Client(cluster.addresses, timeout_s=5) as client:
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda _: client.write("d", WRITE), range(50)))
            assert [r.position for batch in client.scan("d", whole=True) for r in batch.records] == [0, 1, 2]
            for _ in client.scan("d", whole=True):
                break
            with pytest.raises(QuiesceError):
                client.write("d", [])
        assert threading.active_count() == threads
        client.close()
        with pytest.raises(RuntimeError):
            client.get("d", [])

    await asyncio.to_thread(work)
    assert len(cluster.applied) == 50
