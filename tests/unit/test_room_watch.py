"""What a full disk asks of a node: hand leadership over, refuse writes, leave service only where it is behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nodes.proposals import Proposals
from nodes.room.watch import RoomWatch, wait_for_room
from nodes.room.watermark import Watermark
from nodes.rotation.admission import Voter
from quiesce.errors import DeadlineExceeded, DiskFull, NotLeader
from quiesce.v1.peer_pb2 import Outcome

RESERVE = 1000


class Node:
    """Consensus and rotation of node 1."""

    def __init__(self) -> None:
        self.leads = True
        self.reluctant = False
        self.full: set[int] = set()
        self.behind = False
        self.fallen: list[str] = []
        self.transferred: list[int] = []
        self.proposed: list[str] = []
        self.out: int | None = None

    def check_takes(self) -> None:
        if not self.leads:
            raise NotLeader(node_id=1, leader_address="n:2")

    def full_peers(self) -> set[int]:
        return self.full

    def voters(self) -> dict[int, Voter]:
        return {node: Voter(10 + node, True) for node in (1, 2, 3)} if self.leads else {}

    def fell_behind(self, why: str) -> None:
        self.fallen.append(why)

    async def read_barrier(self, *, timeout_s: float) -> int:
        if self.behind:
            raise DeadlineExceeded(operation="the read barrier", seconds=timeout_s)
        return 5

    async def transfer_leadership(self, to: int, *, timeout_s: float) -> int:
        self.transferred.append(to)
        self.leads = False
        return to

    async def propose(self, command, *, timeout_s: float) -> Outcome:
        self.proposed.append(command.WhichOneof("command"))
        return Outcome()


class Clock:
    def now_ms(self) -> int:
        return 1


def made(free: int) -> tuple[Node, Watermark, RoomWatch]:
    node = Node()
    mark = Watermark(lambda: free, RESERVE)
    return node, mark, RoomWatch(node_id=1, path=Path("/data"), watermark=mark, consensus=node, rotation=node)


async def looked(watch: RoomWatch) -> None:
    """Let it look once."""
    task = asyncio.create_task(watch.run())
    await asyncio.sleep(0.05)
    task.cancel()


async def test_a_node_with_room_does_nothing() -> None:
    node, _, watch = made(5000)
    await looked(watch)
    assert (node.transferred, node.fallen, node.reluctant, watch.refusal()) == ([], [], False, None)


async def test_a_full_leader_hands_leadership_to_who_has_room() -> None:
    node, _, watch = made(900)
    node.full = {3}
    await looked(watch)
    assert node.transferred == [2]
    assert node.reluctant
    assert node.fallen == []


async def test_a_full_leader_among_full_nodes_stays_and_refuses_writes() -> None:
    node, _, watch = made(900)
    node.full = {2, 3}
    await looked(watch)
    assert node.transferred == []
    refusal = watch.refusal()
    assert isinstance(refusal, DiskFull)
    assert "/data has 900 B left" in str(refusal)
    assert int(refusal.fields["retry_ms"]) > 0


async def test_the_node_out_of_rotation_is_not_made_to_lead() -> None:
    node, _, watch = made(900)
    node.full, node.out = {3}, 2
    await looked(watch)
    assert node.transferred == []


async def test_a_full_follower_that_cannot_follow_leaves_service() -> None:
    node, _, watch = made(100)
    node.leads, node.behind = False, True
    await looked(watch)
    assert node.fallen == ["the disk is full"]


@pytest.mark.parametrize(("full", "refused"), [(set(), False), ({3}, False), ({2, 3}, True)])
def test_a_leader_refuses_what_a_majority_has_no_room_for(full: set[int], refused: bool) -> None:
    node, _, watch = made(5000)
    node.full = full
    refusal = watch.refusal()
    assert (refusal is not None) is refused
    if refusal is not None:
        assert "nodes 2, 3" in str(refusal)


async def test_what_needs_no_room_is_proposed_all_the_same() -> None:
    node, mark, watch = made(900)
    spent: list[int] = []
    proposals = Proposals(node, Clock(), watch.refusal, spent.append)  # type: ignore[arg-type]
    for command in ("write", "open_session", "create_database", "checkpoint"):
        with pytest.raises(DiskFull):
            await proposals.propose(timeout_s=1, **{command: {}})
    for command in ("drop_database", "undrain", "advance_clock", "change_membership"):
        await proposals.propose(timeout_s=1, **{command: {}})
    assert node.proposed == ["drop_database", "undrain", "advance_clock", "change_membership"]
    # The leader elsewhere may have room.
    node.leads = False
    with pytest.raises(NotLeader):
        await proposals.propose(timeout_s=1, write={"database": "d"})
    assert spent == []
    node.leads, mark.full, mark.free = True, False, 5000
    await proposals.propose(timeout_s=1, write={"database": "d"})
    assert len(spent) == 1
    assert spent[0] > 0


async def test_a_start_waits_for_room() -> None:
    stop = asyncio.Event()
    left = [10, 10, 400]
    assert await wait_for_room(Path("/"), 1000, stop, lambda _: left.pop(0)) is True
    assert left == []
    stop.set()
    assert await wait_for_room(Path("/"), 1000, stop, lambda _: 10) is False
