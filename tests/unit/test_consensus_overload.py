"""What waits is bounded, also when those who asked for it have given up."""

import asyncio
import threading
from pathlib import Path

import pytest
from consensus_cluster import InProcessCluster, command

from nodes.consensus.disk import Disk
from nodes.consensus.proposals import Backlog, Proposal
from quiesce.errors import DeadlineExceeded, Overloaded

pytestmark = pytest.mark.timeout(60)


class HangingDisk(Disk):
    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()

    def sync(self, descriptor: int, path: Path) -> None:
        self.free.wait(30)
        super().sync(descriptor, path)


async def test_proposals_that_nobody_waits_for_any_more_are_counted(tmp_path: Path) -> None:
    disk = HangingDisk()
    async with InProcessCluster(tmp_path, size=1, waiting_proposals=50, disk=disk) as cluster:
        node = await cluster.leader()
        await node.consensus.propose(command("a"), timeout_s=5)
        disk.free.clear()
        refused = 0
        for _ in range(200):
            with pytest.raises((DeadlineExceeded, Overloaded)) as caught:
                await node.consensus.propose(command("b"), timeout_s=0.002)
            refused += caught.type is Overloaded
        disk.free.set()
        # The bound, and what the Raft thread had taken before the disk hung.
        assert 100 <= refused < 200
        async with asyncio.timeout(20):
            while node.state.values.get("b", 0) < 200 - refused:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        # There is room again.
        await node.consensus.propose(command("c"), timeout_s=5)
        assert node.state.values["b"] == 200 - refused


def test_a_backlog_is_what_was_put_and_not_taken() -> None:
    backlog = Backlog()
    for size in (3, 5, 7):
        backlog.put(size)
    assert (backlog.count, backlog.size) == (3, 15)
    backlog.take([Proposal(1, b"xxx"), Proposal(2, b"xxxxx")])
    assert (backlog.count, backlog.size) == (1, 7)
