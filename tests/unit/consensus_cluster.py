"""A cluster in one process, over real gRPC on loopback, with a small dictionary as its state."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from nodes.consensus import CheckpointMade, CommittedEntry, Consensus, ConsensusOptions, initialise_log
from quiesce.errors import NoLeader, NotLeader
from quiesce.rpc import open_server
from quiesce.v1.node_pb2 import NODE_ROLE_LEADER
from quiesce.v1.peer_pb2 import Command, LogEntry, Membership, Outcome
from quiesce.v1.peer_pb2_grpc import add_PeerServicer_to_server

CLUSTER_ID = "c1"


class Dictionary:
    """A state machine that writes all of itself to one file whenever it is asked to be durable."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self.values: dict[str, int] = {}
        self.position = (0, 0)
        self.gate: Callable[[], None] = lambda: None
        if (directory / "state.json").exists():
            self._load(directory / "state.json")

    @property
    def applied(self) -> tuple[int, int]:
        return self.position

    def apply(self, entries: Sequence[CommittedEntry]) -> list[tuple[int, Outcome]]:
        self.gate()
        outcomes = []
        with self._lock:
            for entry in entries:
                assert entry.index > self.position[0]
                for command in LogEntry.FromString(entry.data).commands:
                    key = command.create_database.name
                    self.values[key] = self.values.get(key, 0) + 1
                    outcome = Outcome()
                    outcome.mark.index = entry.index
                    outcomes.append((command.proposal_id, outcome))
                self.position = (entry.index, entry.term)
        return outcomes

    @property
    def membership(self) -> Membership | None:
        return None

    def checkpoint(self, directory: Path) -> CheckpointMade:
        directory.mkdir(parents=True)
        (directory / "deep").mkdir()
        (directory / "deep" / "empty").touch()
        with self._lock:
            self._dump(directory / "state.json")
            return CheckpointMade(*self.position, self.membership)

    def install(self, directory: Path) -> None:
        assert (directory / "deep" / "empty").exists()
        with self._lock:
            self._load(directory / "state.json")
            self._dump(self.directory / "state.json")

    def durable_index(self) -> int:
        with self._lock:
            self._dump(self.directory / "state.json")
            return self.position[0]

    def _dump(self, path: Path) -> None:
        part = path.with_suffix(".part")
        with part.open("w") as file:
            json.dump({"position": self.position, "values": self.values}, file)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)

    def _load(self, path: Path) -> None:
        found = json.loads(path.read_text())
        self.position = tuple(found["position"])
        self.values = found["values"]


def command(key: str, padding: int = 0) -> Command:
    made = Command(time_ms=1)
    made.create_database.name = key
    if padding:
        # Unknown to the dictionary, but in the log.
        made.create_database.name = key + "x" * padding
    return made


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Node:
    def __init__(
        self,
        node_id: int,
        members: dict[int, str],
        root: Path,
        options: ConsensusOptions,
        state: Callable[[Path], Dictionary] = Dictionary,
    ) -> None:
        self.id = node_id
        self.directory = root / str(node_id)
        self.state = state(self.directory / "store")
        self.failures: list[BaseException] = []
        self.consensus = Consensus(
            node_id=node_id,
            cluster_id=CLUSTER_ID,
            members=members,
            directory=self.directory / "raft",
            state=self.state,
            on_removed=lambda: None,
            options=options,
        )
        self.server = open_server(members[node_id])

    async def start(self) -> None:
        add_PeerServicer_to_server(self.consensus.peer_servicer(), self.server.grpc)
        await self.consensus.start()
        await self.server.start(["quiesce.v1.Peer"])

    async def stop(self) -> None:
        await self.consensus.stop()
        await self.server.stop(0)


class InProcessCluster:
    def __init__(
        self,
        root: Path,
        size: int = 3,
        state: Callable[[Path], Dictionary] = Dictionary,
        late: Collection[int] = (),
        **options: object,
    ) -> None:
        self.root = root
        self.state = state
        # Members that are not started with the others.
        self.late = late
        self.failures: list[BaseException] = []
        quick = {"tick_ms": 10, "election_ticks": 20, "on_fatal": self.failures.append}
        self.options = ConsensusOptions(**{**quick, **options})
        self.members = {node: f"127.0.0.1:{free_port()}" for node in range(1, size + 1)}
        self.nodes: dict[int, Node] = {}

    async def __aenter__(self) -> InProcessCluster:
        for node in self.members:
            initialise_log(self.root / str(node) / "raft", voters=list(self.members))
        for node in self.members:
            if node not in self.late:
                await self.start(node)
        await self.leader()
        return self

    async def __aexit__(self, *_: object) -> None:
        for node in list(self.nodes):
            await self.stop(node)
        assert self.failures == []

    async def start(self, node_id: int) -> Node:
        node = Node(node_id, self.members, self.root, self.options, self.state)
        await node.start()
        self.nodes[node_id] = node
        return node

    async def stop(self, node_id: int) -> None:
        await self.nodes.pop(node_id).stop()

    async def leader(self) -> Node:
        """Return the leader once all running nodes follow it."""
        while True:
            statuses = [node.consensus.status() for node in self.nodes.values()]
            leaders = [status.leader_id for status in statuses if status.role == NODE_ROLE_LEADER]
            if len(leaders) == 1 and all(status.leader_id == leaders[0] for status in statuses):
                return self.nodes[leaders[0]]
            await asyncio.sleep(0.01)

    async def write(self, key: str, padding: int = 0) -> Outcome:
        """Propose until a leader takes it; only errors that say that nothing has happened are retried."""
        while True:
            try:
                return await (await self.leader()).consensus.propose(command(key, padding), timeout_s=10)
            except (NotLeader, NoLeader):
                await asyncio.sleep(0.01)

    async def settled(self) -> None:
        """Wait until all running nodes have applied the same."""
        while True:
            reached = {node.state.applied for node in self.nodes.values()}
            commits = {node.consensus.status().commit_index for node in self.nodes.values()}
            if len(reached) == 1 and commits == {next(iter(reached))[0]}:
                return
            await asyncio.sleep(0.01)
