"""A cluster in one process, over real gRPC on loopback, with a small dictionary as its state."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path

from nodes.consensus import CheckpointMade, CommittedEntry, Consensus, ConsensusOptions, initialise_log
from nodes.statemachine.membership import adopted, changed, readdressed
from quiesce.errors import MembershipChanging, NoLeader, NotLeader, QuiesceError
from quiesce.rpc import open_server
from quiesce.v1.node_pb2 import NODE_ROLE_LEADER
from quiesce.v1.peer_pb2 import Command, Failure, LogEntry, Membership, MembershipChange, Outcome
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
        self.membership: Membership | None = None
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
                assert len(entries) == 1 or not entry.changes_members
                commands = LogEntry.FromString(entry.data).commands
                outcomes += [(command.proposal_id, self._apply(command, entry.index)) for command in commands]
                self.position = (entry.index, entry.term)
        return outcomes

    def _apply(self, command: Command, index: int) -> Outcome:
        try:
            match command.WhichOneof("command"):
                case "change_membership":
                    self.membership = changed(self.membership, command.change_membership)
                    return Outcome(membership=self.membership)
                case "adopt_membership":
                    self.membership = adopted(self.membership, command.adopt_membership)
                    return Outcome(membership=self.membership)
                case "change_addresses":
                    self.membership = readdressed(self.membership, command.change_addresses)
                    return Outcome(membership=self.membership)
        except QuiesceError as error:
            return Outcome(failure=Failure(reason=error.reason(), fields=error.fields))
        key = command.create_database.name
        self.values[key] = self.values.get(key, 0) + 1
        outcome = Outcome()
        outcome.mark.index = index
        return outcome

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
            held = self.membership.SerializeToString().hex() if self.membership is not None else None
            json.dump({"position": self.position, "values": self.values, "membership": held}, file)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)

    def _load(self, path: Path) -> None:
        found = json.loads(path.read_text())
        self.position = tuple(found["position"])
        self.values = found["values"]
        held = found["membership"]
        self.membership = None if held is None else Membership.FromString(bytes.fromhex(held))


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
        self.gone = asyncio.Event()
        self.consensus = Consensus(
            node_id=node_id,
            cluster_id=CLUSTER_ID,
            members=members,
            directory=self.directory / "raft",
            state=self.state,
            on_removed=self.gone.set,
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

    async def adopt(self) -> None:
        """Have the state say who the members are."""
        founders = [Membership.Node(node_id=node, address=address) for node, address in self.members.items()]
        await self.propose(Command(time_ms=1, adopt_membership=Membership(nodes=founders)))

    async def join(self, node_id: int) -> Node:
        """Start a node that knows nothing."""
        self.members[node_id] = f"127.0.0.1:{free_port()}"
        initialise_log(self.root / str(node_id) / "raft", index=0, term=0, voters=[])
        return await self.start(node_id, {node_id: self.members[node_id]})

    async def add(self, node_id: int) -> Node:
        """Start a node, and have it added."""
        node = await self.join(node_id)
        await self.change(add=Membership.Node(node_id=node_id, address=self.members[node_id]))
        return node

    async def change(self, **change: object) -> Outcome:
        """Have the membership changed; errors that say that nothing has happened are retried."""
        made = MembershipChange(**change)
        return await self._retry(lambda leader: leader.change_membership(made, timeout_s=10))

    async def __aexit__(self, *_: object) -> None:
        for node in list(self.nodes):
            await self.stop(node)
        assert self.failures == []

    async def start(self, node_id: int, members: dict[int, str] | None = None) -> Node:
        node = Node(node_id, members or self.members, self.root, self.options, self.state)
        await node.start()
        self.nodes[node_id] = node
        return node

    async def stop(self, node_id: int) -> None:
        await self.nodes.pop(node_id).stop()

    async def leader(self) -> Node:
        """Return the leader once all running nodes that it knows follow it."""
        while True:
            statuses = {node.id: node.consensus.status() for node in self.nodes.values()}
            leaders = [node for node, status in statuses.items() if status.role == NODE_ROLE_LEADER]
            if len(leaders) == 1:
                known = {*statuses[leaders[0]].voters, *statuses[leaders[0]].learners} & statuses.keys()
                if leaders[0] in known and all(statuses[node].leader_id == leaders[0] for node in known):
                    return self.nodes[leaders[0]]
            await asyncio.sleep(0.01)

    async def write(self, key: str, padding: int = 0) -> Outcome:
        """Propose until a leader takes it; only errors that say that nothing has happened are retried."""
        return await self.propose(command(key, padding))

    async def propose(self, made: Command) -> Outcome:
        return await self._retry(lambda leader: leader.propose(made, timeout_s=10))

    async def _retry(self, ask: Callable[[Consensus], Awaitable[Outcome]]) -> Outcome:
        while True:
            try:
                return await ask((await self.leader()).consensus)
            except (NotLeader, NoLeader, MembershipChanging):
                await asyncio.sleep(0.01)

    async def settled(self) -> None:
        """Wait until all running nodes have applied the same."""
        while True:
            reached = {node.state.applied for node in self.nodes.values()}
            commits = {node.consensus.status().commit_index for node in self.nodes.values()}
            if len(reached) == 1 and commits == {next(iter(reached))[0]}:
                return
            await asyncio.sleep(0.01)
