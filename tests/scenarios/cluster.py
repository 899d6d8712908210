"""A cluster of real node processes and a coordinator on this machine, for tests and benchmarks."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from quiesce import BlockingBackups, Client
from quiesce.errors import MembershipChangeRefused, QuiesceError
from quiesce.v1 import node_pb2
from tests.scenarios.daemon import Daemon, until


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, below those that the kernel gives to outgoing connections.

    Else a node that was killed could find its port taken by somebody's connection.
    """
    first = free_port_range(count)
    return list(range(first, first + count))


def free_port_range(count: int) -> int:
    """Return the first of `count` such ports in a row."""
    start = 12_000 + os.getpid() * 37 % 18_000
    for first in range(start, start + 2_000, count):
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for port in range(first, first + count):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise RuntimeError("no free ports")


class Cluster:
    """`size` nodes and a coordinator; a context manager that starts them, waits until they serve, and ends them.

    `spare` is how many nodes may join later, `coordinators` how many there are, of which one leads;
    with `metrics` each daemon shows them.
    """

    def __init__(
        self,
        directory: Path,
        *,
        size: int = 3,
        spare: int = 0,
        coordinators: int = 1,
        metrics: bool = False,
        await_restore: bool = False,
        node_options: Mapping[str, str] | None = None,
        coordinator_options: Mapping[str, str] | None = None,
    ) -> None:
        listening = size + spare + coordinators
        ports = free_ports(2 * listening if metrics else listening)
        # Where each daemon shows them, by the address that it listens on.
        self.metrics = {f"127.0.0.1:{port}": f"127.0.0.1:{port + listening}" for port in ports if metrics}
        self.directory = directory
        self.repository = directory / "repository"
        self.repository.mkdir(parents=True, exist_ok=True)
        self.await_restore = await_restore
        self._node_options = dict(node_options or {})
        self._spare = {node: f"127.0.0.1:{ports[node]}" for node in range(size + 1, size + spare + 1)}
        self.members = {node: f"127.0.0.1:{ports[node]}" for node in range(1, size + 1)}
        listen = [f"127.0.0.1:{port}" for port in (ports[0], *ports[size + spare + 1 : listening])]
        # For clients, which find the one that leads.
        self.coordinator_address = ",".join(listen)
        identity = {} if await_restore else {"cluster-id": uuid.uuid4().hex, "members": self._members_text()}
        self.nodes = {
            node: Daemon(
                [
                    "node",
                    *(["--await-restore"] if await_restore else []),
                    *_flags({"node-id": str(node), "data": str(self.data(node)), "listen": address, **identity}),
                    *self._metrics_flags(address),
                    *_flags(node_options or {}),
                ],
                directory / f"node-{node}.log",
            )
            for node, address in self.members.items()
        }
        defaults = {"cluster": self.addresses, "repository": str(self.repository), **(coordinator_options or {})}
        self.coordinators = [
            Daemon(
                ["coordinator", *_flags({"listen": address, **defaults}), *self._metrics_flags(address)],
                directory / f"coordinator-{number}.log",
            )
            for number, address in enumerate(listen, 1)
        ]
        self.coordinator = self.coordinators[0]

    def _members_text(self) -> str:
        return ",".join(f"{node}={address}" for node, address in self.members.items())

    def _metrics_flags(self, address: str) -> list[str]:
        return ["--metrics", self.metrics[address]] if address in self.metrics else []

    def data(self, node: int) -> Path:
        """Return the data directory of a node."""
        return self.directory / f"node-{node}"

    @property
    def addresses(self) -> str:
        return ",".join(self.members.values())

    def client(self, *, timeout_s: float = 10.0) -> Client:
        return Client(self.addresses, timeout_s=timeout_s)

    def backups(self, *, timeout_s: float = 10.0) -> BlockingBackups:
        return BlockingBackups(self.coordinator_address, timeout_s=timeout_s)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start what does not run, and wait until it serves."""
        for daemon in [*self.nodes.values(), *self.coordinators]:
            if not daemon.running:
                daemon.start()
        if not self.await_restore:
            self.wait_until_serving()

    def joiner(self, node: int, *, address: str | None = None, join: str | None = None) -> Daemon:
        """Return a further node, not started, that joins this cluster; it may be that its id is not added yet."""
        self.members[node] = address or self._spare[node]
        options = {"node-id": str(node), "data": str(self.data(node)), "listen": self.members[node]}
        options["join"] = join or self.addresses
        self.nodes[node] = Daemon(
            ["node", *_flags({**options, **self._node_options})], self.directory / f"node-{node}.log"
        )
        return self.nodes[node]

    def grow(self, node: int, client: Client) -> None:
        """Add a further node, start it, and give it its vote as soon as it may have it."""
        daemon = self.joiner(node)
        client.admin.add_node(node, self.members[node])
        daemon.start()
        self.promote(node, client)

    def promote(self, node: int, client: Client, timeout_s: float = 60) -> None:
        """Give a learner its vote as soon as it may have it."""

        def promoted() -> bool:
            self.check_alive()
            with contextlib.suppress(MembershipChangeRefused):
                client.admin.promote_node(node)
                return True
            return False

        until(promoted, timeout_s, f"node {node} has caught up")

    def shrink(self, node: int, client: Client) -> int:
        """Remove a node that runs, and return the code with which it ended."""
        client.admin.remove_node(node)
        code = self.nodes.pop(node).wait(60)
        self.members.pop(node)
        return code

    def stop(self) -> None:
        """Ask everything to end, the coordinator first, the nodes at once."""
        for daemons in (self.coordinators, [*self.nodes.values()]):
            with ThreadPoolExecutor(len(daemons)) as pool:
                list(pool.map(Daemon.stop, daemons))

    def kill(self) -> None:
        """Kill -9 of every process at once."""
        for daemon in [*self.coordinators, *self.nodes.values()]:
            daemon.kill()

    def status(self, node: int, client: Client) -> node_pb2.NodeStatus | None:
        """Return what a node says of itself; None where it does not answer."""
        with contextlib.suppress(QuiesceError):
            return client.admin.status(self.members[node])
        return None

    def wait_until_serving(self, timeout_s: float = 60) -> None:
        """Wait until every node that runs is in rotation and they agree on a leader."""
        deadline = time.monotonic() + timeout_s
        with self.client(timeout_s=2) as client:

            def serving() -> bool:
                self.check_alive()
                running = [node for node, daemon in self.nodes.items() if daemon.running]
                states = [self.status(node, client) for node in running]
                known = [state for state in states if state is not None]
                return (
                    len(known) == len(running)
                    and {state.serving for state in known} == {node_pb2.SERVING_STATE_SERVING}
                    and len({state.leader_id for state in known}) == 1
                    and known[0].leader_id != 0
                )

            until(serving, max(0.0, deadline - time.monotonic()), "every node in rotation, one leader")

    def wait_until_awaiting_restore(self, timeout_s: float = 30) -> None:
        """Wait until every node waits for a snapshot."""
        with self.client(timeout_s=2) as client:

            def awaiting() -> bool:
                self.check_alive()
                states = [self.status(node, client) for node in self.nodes]
                return all(
                    state is not None and state.serving == node_pb2.SERVING_STATE_AWAITING_RESTORE for state in states
                )

            until(awaiting, timeout_s, "every node awaits a restore")

    def check_alive(self) -> None:
        """Fail, with its last words, if a daemon ended that nobody ended."""
        coordinators = (("coordinator", daemon) for daemon in self.coordinators)
        for name, daemon in [*coordinators, *((f"node {n}", d) for n, d in self.nodes.items())]:
            code = daemon.exit_code
            if code is not None and code >= 0:
                raise AssertionError(f"{name} ended with code {code}:\n{daemon.tail()}")

    def leader(self) -> int:
        """Return the id of the leader."""
        with self.client() as client:
            return int(client.admin.members().leader_id)

    def followers(self) -> list[int]:
        leader = self.leader()
        return [node for node in self.members if node != leader]


def _flags(options: Mapping[str, str]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", value)]
