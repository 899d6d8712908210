"""Whether a new node may begin, by what a member says of the cluster, and what it leaves on the disk."""

import asyncio

import grpc.aio
import pytest

from nodes.config import node_config
from nodes.consensus.record import Point
from nodes.consensus.recovery import recover_log
from nodes.data_directory import DataDirectory
from nodes.identity import read_identity
from nodes.membership.join import admitted, check_join, join
from quiesce.errors import InvalidConfiguration, NodeIdTaken, NodeRemoved, PeersUnreachable, WrongCluster
from quiesce.rpc import open_server
from quiesce.v1 import node_pb2, node_pb2_grpc


@pytest.fixture
def data(tmp_path):
    data = DataDirectory(tmp_path / "data")
    data.lock()
    yield data
    data.unlock()


def config(tmp_path, **more):
    return node_config({"node_id": 4, "data": tmp_path, "advertise": "d:4", "join": "a:1", **more})


def answer(*members, leader=True, **more):
    members = [node_pb2.Member(node_id=1, address="a:1"), *members]
    if leader:
        members[0].match_index = 9
    return node_pb2.MembersResponse(members=members, leader_id=1, cluster_id="x", **more)


def learner(address="d:4", match=0, **more):
    return node_pb2.Member(node_id=4, address=address, learner=True, match_index=match, **more)


@pytest.mark.parametrize("extra", [{"members": "1=a:1,4=d:4"}, {"await_restore": True}, {"join": "d:4"}])
def test_a_node_that_joins_is_told_nothing_else(tmp_path, extra):
    check_join(config(tmp_path))
    with pytest.raises(InvalidConfiguration, match="join"):
        check_join(config(tmp_path, **extra))


def test_it_begins_when_the_leader_has_it(tmp_path):
    identity = admitted(config(tmp_path), answer(learner()))
    assert identity is not None
    assert (identity.node_id, identity.cluster_id, identity.members) == (4, "x", {1: "a:1", 4: "d:4"})
    assert identity.configured == {}


def test_it_waits_while_it_is_not_added_or_no_leader_says_so(tmp_path):
    assert admitted(config(tmp_path), answer()) is None
    stale = node_pb2.Member(node_id=4, address="other:4", learner=True)
    assert admitted(config(tmp_path), answer(stale, leader=False)) is None


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        (answer(learner("other:4")), InvalidConfiguration, r"d:4.* other:4"),
        (answer(removed_node_ids=[4]), NodeRemoved, "Node 4 was removed from cluster x"),
        (answer(node_pb2.Member(node_id=4, address="d:4", match_index=0)), NodeIdTaken, "has taken part already"),
        (answer(learner(match=7)), NodeIdTaken, "has taken part already"),
    ],
)
def test_it_cannot_join(tmp_path, said, error, words):
    with pytest.raises(error, match=words):
        admitted(config(tmp_path), said)


def test_another_cluster_than_the_one_it_is_to_join(tmp_path):
    assert admitted(config(tmp_path, cluster_id="x"), answer(learner())) is not None
    with pytest.raises(WrongCluster):
        admitted(config(tmp_path, cluster_id="y"), answer(learner()))


class Member(node_pb2_grpc.NodeServicer):
    def __init__(self, *answers):
        self.answers = list(answers)

    async def Members(self, request, context):  # noqa: N802
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if said is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no")
        return said


async def joined(data, *answers, **more):
    server = open_server("127.0.0.1:0")
    node_pb2_grpc.add_NodeServicer_to_server(Member(*answers), server.grpc)
    port = await server.start([])
    try:
        return await asyncio.wait_for(
            join(config(data.path, join=f"127.0.0.1:{port}", **more), data, asyncio.Event()), timeout=30
        )
    finally:
        await server.stop(0)


def test_it_asks_until_it_is_added_and_begins_empty(data):
    identity = asyncio.run(joined(data, None, answer(), answer(learner())))
    assert read_identity(data.path) == identity
    state = recover_log(data.raft).log.state
    assert (list(state.voters), list(state.learners), state.base) == ([], [], Point(0, 0))


def test_a_join_that_died_before_the_identity_begins_anew(data):
    asyncio.run(joined(data, answer(learner())))
    (data.path / "identity.json").unlink()
    (data.path / "bootstrap.unfinished").touch()
    assert asyncio.run(joined(data, answer(learner()))).node_id == 4


def test_nothing_is_written_where_it_cannot_join(data):
    with pytest.raises(NodeRemoved):
        asyncio.run(joined(data, answer(removed_node_ids=[4])))
    assert [entry.name for entry in data.path.iterdir()] == ["lock"]


def test_it_gives_up_where_nobody_leads_in_time(data):
    no_leader = node_pb2.MembersResponse(members=[node_pb2.Member(node_id=1, address="127.0.0.1:1")], cluster_id="x")
    with pytest.raises(PeersUnreachable):
        asyncio.run(joined(data, no_leader, require_leader_within="200ms"))


def test_it_stops_when_it_is_told_to(data):
    async def run():
        stop = asyncio.Event()
        stop.set()
        return await join(config(data.path, join="127.0.0.1:1"), data, stop)

    assert asyncio.run(run()) is None
