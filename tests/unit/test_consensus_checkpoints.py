"""Checkpoints on their way between nodes of a cluster in one process, whose clients go on writing."""

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from consensus_cluster import Dictionary, InProcessCluster, command

from nodes.consensus.interface import CheckpointMade
from quiesce.errors import Overloaded

pytestmark = pytest.mark.timeout(90)
KIB = 1024
LATE = 3
TABLE, TABLES = 100 * KIB, 15
OPTIONS = {
    # On a busy machine too, one leader for the whole test.
    "election_ticks": 100,
    "segment_bytes": 4 * KIB,
    "compact_bytes": 16 * KIB,
    "keep_bytes": 4 * KIB,
    "hold_bytes": 8 << 20,
    "snapshot_chunk_bytes": 10 * KIB,
    "checkpoint_rate": 1 << 20,
}


class Tables(Dictionary):
    """A dictionary with tables that never change, as a store has; their checkpoints are links."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        (directory / "tables").mkdir(exist_ok=True)

    def fill(self) -> None:
        for number in range(TABLES):
            (self.directory / "tables" / f"{number:06d}.sst").write_bytes(os.urandom(TABLE))

    def tables(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.directory / "tables").iterdir()}

    def checkpoint(self, directory: Path) -> CheckpointMade:
        made = super().checkpoint(directory)
        for path in (self.directory / "tables").iterdir():
            os.link(path, directory / path.name)
        return made

    def install(self, directory: Path) -> None:
        super().install(directory)
        for path in directory.glob("*.sst"):
            path.rename(self.directory / "tables" / path.name)


class Logged:
    """What was logged of checkpoints, by event."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def __call__(self, logger: object, method: str, entry: dict[str, object]) -> dict[str, object]:
        self.entries.append(entry)
        raise structlog.DropEvent

    def of(self, event: str) -> list[dict[str, Any]]:
        return [entry for entry in self.entries if entry["event"] == event]


@pytest.fixture
def logged() -> Iterator[Logged]:
    found = Logged()
    before = structlog.get_config()
    # Whatever the level that somebody else has set: the tests wait for what is logged.
    structlog.configure(processors=[found], wrapper_class=structlog.make_filtering_bound_logger(0))
    yield found
    structlog.configure(**before)


@contextlib.asynccontextmanager
async def written_to(cluster: InProcessCluster, pause_s: float, padding: int) -> AsyncIterator[list[int]]:
    """Write all the time; any failure fails the test. The list is of the sizes that the leader's log has had."""
    sizes: list[int] = []
    ended = asyncio.Event()
    leader = await cluster.leader()

    async def write() -> None:
        while not ended.is_set():
            await cluster.nodes[leader.id].consensus.propose(command(f"k{len(sizes) % 20}", padding), timeout_s=20)
            sizes.append(leader.consensus.status().log_bytes)
            await asyncio.sleep(pause_s)

    task = asyncio.create_task(write())
    yield sizes
    ended.set()
    await task


async def filled(cluster: InProcessCluster) -> int:
    """Fill the leader and have it forget the begin of its log; return its id."""
    leader = await cluster.leader()
    leader.state.fill()
    while leader.consensus.status().first_index < 40:
        await cluster.write("k0", padding=500)
    return leader.id


async def until(true: Callable[[], object]) -> None:
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def whole(cluster: InProcessCluster, node: int) -> int:
    return len(list((cluster.root / str(node) / "raft" / "incoming").glob("*/*.sst")))


async def test_a_transfer_goes_on_after_the_receivers_restart_and_after_a_cut(tmp_path, logged):
    async with InProcessCluster(tmp_path, state=Tables, late=[LATE], **OPTIONS) as cluster:
        leader = await filled(cluster)
        async with written_to(cluster, 0.01, 100):
            await cluster.start(LATE)
            await until(lambda: whole(cluster, LATE) >= 4)
            await cluster.stop(LATE)
            node = await cluster.start(LATE)
            await until(lambda: whole(cluster, LATE) >= 8)
            receiving = node.consensus.peer_servicer().checkpoints._receiving
            assert receiving is not None
            receiving.cancel()
            await until(lambda: logged.of("checkpoint sent"))
        await cluster.settled()
        assert node.state.tables() == cluster.nodes[leader].state.tables()
        assert node.state.values == cluster.nodes[leader].state.values
        assert len(logged.of("checkpoint made")) == 1
        offers = logged.of("checkpoint offered")
        assert [offer["files"] >= least for offer, least in zip(offers, (0, 4, 8), strict=True)] == [True] * 3
        # Nothing that was there came again.
        sent = logged.of("checkpoint sent")[0]
        assert sent["sent"] == sent["bytes"] - offers[-1]["there"]
        # Nothing is left of it on either side.
        await until(lambda: not [*tmp_path.glob("*/raft/incoming/*"), *tmp_path.glob("*/raft/outgoing/*")])


class Overtaken:
    """A rate at which two transfers in a row are overtaken by the log, each after five tables more."""

    def __init__(self, logged: Logged) -> None:
        self.logged = logged
        self.left = 0
        self.rounds = 0

    def delay_s(self, size: int) -> float:
        rounds = len(self.logged.of("checkpoint superseded")) + 1
        if rounds > self.rounds:
            self.rounds, self.left = rounds, 5 * TABLE
        self.left -= size
        return 0.0 if self.left > 0 or rounds > 2 else 60.0


async def test_a_store_that_the_log_leaves_behind_gets_there_while_the_writes_go_on(tmp_path, logged):
    options = {**OPTIONS, "hold_bytes": 192 * KIB, "memory_bytes": 1024 * KIB}
    async with InProcessCluster(tmp_path, state=Tables, late=[LATE], **options) as cluster:
        leader = await filled(cluster)
        cluster.nodes[leader].consensus._snapshots._rate = Overtaken(logged)
        async with written_to(cluster, 0.002, 3000) as sizes:
            node = await cluster.start(LATE)
            await until(lambda: logged.of("checkpoint sent"))
            await until(lambda: node.state.applied[0] + 50 > cluster.nodes[leader].state.applied[0])
            assert max(sizes) < options["memory_bytes"]
        await cluster.settled()
        assert node.state.tables() == cluster.nodes[leader].state.tables()
        # It went on each time with the tables that it had.
        offers = logged.of("checkpoint offered")
        assert [offer["files"] >= least for offer, least in zip(offers, (0, 4, 9), strict=False)] == [True] * 3


async def test_a_log_stays_small_while_a_follower_is_away_for_ever(tmp_path):
    async with InProcessCluster(tmp_path, late=[LATE], **OPTIONS) as cluster:
        leader = await cluster.leader()
        sizes = []
        for number in range(400):
            await cluster.write(f"k{number % 20}", padding=500)
            sizes.append(leader.consensus.status().log_bytes)
        assert sum(sizes) / len(sizes) > OPTIONS["keep_bytes"]
        assert max(sizes) < OPTIONS["compact_bytes"] + 4 * OPTIONS["segment_bytes"]


async def test_a_log_is_held_for_a_follower_that_is_slow_and_no_longer_than_the_bound(tmp_path):
    options = {**OPTIONS, "hold_bytes": 48 * KIB, "memory_bytes": 96 * KIB}
    async with InProcessCluster(tmp_path, state=Tables, **options) as cluster:
        await cluster.settled()
        leader = await cluster.leader()
        slow = next(node for node in cluster.nodes.values() if node is not leader)
        released = threading.Event()
        slow.state.gate = released.wait
        sizes, behind = [], []
        for number in range(400):
            await leader.consensus.propose(command(f"k{number % 20}", 1000), timeout_s=20)
            sizes.append(leader.consensus.status().log_bytes)
            behind.append(slow.consensus.status().log_bytes)
        # The slow one takes no more than it may, and the leader keeps no more for it than it may.
        assert 80 * KIB < max(behind) < options["memory_bytes"] + 8 * KIB
        assert 40 * KIB < max(sizes) < options["hold_bytes"] + 4 * options["segment_bytes"]
        released.set()
        await cluster.settled()
        assert slow.state.values == leader.state.values


async def test_a_leader_whose_store_stands_still_takes_no_more_than_its_log_may_hold(tmp_path):
    options = {**OPTIONS, "memory_bytes": 96 * KIB, "apply_bytes": 8 * KIB}
    async with InProcessCluster(tmp_path, state=Tables, **options) as cluster:
        await cluster.settled()
        leader = await cluster.leader()
        released = threading.Event()
        leader.state.gate = released.wait
        tasks, sizes = [], []
        for number in range(250):
            propose = leader.consensus.propose(command(f"k{number % 20}", 1000), timeout_s=30)
            tasks.append(asyncio.create_task(propose))
            await asyncio.sleep(0.001)
            sizes.append(leader.consensus.status().log_bytes)
        # What waits when the bound is reached still comes.
        assert options["memory_bytes"] - 8 * KIB < max(sizes) < options["memory_bytes"] + 64 * KIB
        released.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert Overloaded in {type(outcome) for outcome in refused}
        # It goes on by itself, and gives the room back.
        await until(
            lambda: leader.consensus.status().log_bytes < options["compact_bytes"] + 4 * options["segment_bytes"]
        )
        await cluster.write("k0")
        await cluster.settled()
