"""Restoring all nodes of a new cluster at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from coordinator.restore import check_awaiting, check_members, restore
from quiesce import errors
from quiesce.v1 import node_pb2
from quiesce.v1.node_pb2 import Member, NodeStatus, RestoreNodeRequest, RestoreProgress

MEMBERS = [Member(node_id=n, address=f"n:{n}") for n in (1, 2, 3)]
REQUEST = RestoreNodeRequest(repository="/r", snapshot_id="s", cluster_id="c", members=MEMBERS)


class FakeNodes:
    def __init__(self) -> None:
        self.fail: dict[str, errors.QuiesceError] = {}
        self.holding: set[str] = set()
        self.silent: set[str] = set()
        self.started: set[str] = set()
        self.left: set[str] = set()
        self.hang = asyncio.Event()

    async def status(self, node: int | str, *, timeout_s: float | None = None) -> NodeStatus:
        state = node_pb2.SERVING_STATE_SERVING if node in self.holding else node_pb2.SERVING_STATE_AWAITING_RESTORE
        return NodeStatus(node_id=int(str(node)[2:]), serving=state)

    async def restore_node(
        self, address: str, request: RestoreNodeRequest, *, idle_s: float = 60.0
    ) -> AsyncIterator[RestoreProgress]:
        self.started.add(address)
        try:
            for pages in range(3):
                yield RestoreProgress(pages_done=pages)
                await asyncio.sleep(0)
            if address in self.fail:
                raise self.fail[address]
            if self.fail:
                await self.hang.wait()
            if address not in self.silent:
                yield RestoreProgress(pages_done=3, done=True)
        finally:
            self.left.add(address)


async def collect(nodes: FakeNodes) -> list[RestoreProgress]:
    return [progress async for progress in restore(nodes, REQUEST, idle_s=1)]


async def test_the_last_of_each_node_is_done() -> None:
    nodes = FakeNodes()
    seen = await collect(nodes)
    for member in MEMBERS:
        own = [progress for progress in seen if progress.node_id == member.node_id]
        assert own[-1].done
        assert [progress.pages_done for progress in own] == sorted(progress.pages_done for progress in own)


async def test_the_first_failure_ends_all() -> None:
    nodes = FakeNodes()
    nodes.fail["n:2"] = errors.DamagedObject(object="o", repository="/r", detail="x")
    with pytest.raises(errors.DamagedObject):
        await asyncio.wait_for(collect(nodes), 5)
    assert nodes.left == nodes.started == {"n:1", "n:2", "n:3"}


async def test_a_node_that_ends_without_being_done_is_a_failure() -> None:
    nodes = FakeNodes()
    nodes.silent.add("n:3")
    with pytest.raises(errors.QuiesceError, match="node 3"):
        await collect(nodes)


async def test_members_are_looked_at_before_any_is_touched() -> None:
    nodes = FakeNodes()
    nodes.holding.add("n:3")
    with pytest.raises(errors.NotAwaitingRestore):
        await check_awaiting(nodes, MEMBERS)
    with pytest.raises(errors.InvalidRequest, match="has the id 2"):
        await check_awaiting(nodes, [Member(node_id=1, address="n:2")])


@pytest.mark.parametrize(
    "members",
    [
        [],
        [Member(node_id=1, address="a:1"), Member(node_id=1, address="a:2")],
        [Member(node_id=1, address="a:1"), Member(node_id=2, address="a:1")],
        [Member(node_id=0, address="a:1")],
        [Member(node_id=1)],
    ],
)
def test_refuses_members(members: list[Member]) -> None:
    with pytest.raises(errors.InvalidRequest):
        check_members(members)
