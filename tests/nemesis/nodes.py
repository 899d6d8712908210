"""Five node daemons, each in its place in the network."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable
from pathlib import Path

from tests.nemesis.network import Network
from tests.scenarios.daemon import Daemon

PORT = 7100


class Nodes:
    """The daemons by node id; all run by product defaults."""

    def __init__(self, directory: Path, network: Network, count: int) -> None:
        self.network = network
        self.ids = list(range(1, count + 1))
        self.addresses = {node: f"{network.address(place(node))}:{PORT}" for node in self.ids}
        members = ",".join(f"{node}={address}" for node, address in self.addresses.items())
        identity = ["--cluster-id", uuid.uuid4().hex, "--members", members]
        self.daemons = {
            node: Daemon(
                [
                    "node",
                    "--node-id",
                    str(node),
                    "--data",
                    str(directory / f"node-{node}"),
                    "--listen",
                    address,
                    *identity,
                ],
                directory / f"node-{node}.log",
                through=network.within(place(node)),
            )
            for node, address in self.addresses.items()
        }
        # Those that we killed, ended or stopped, and nobody else.
        self._ended: set[int] = set()
        self.stopped: set[int] = set()

    async def start(self, nodes: Iterable[int]) -> None:
        for node in nodes:
            if not self.daemons[node].running:
                self.daemons[node].start()
            self._ended.discard(node)

    async def kill(self, nodes: Iterable[int]) -> None:
        """Kill -9, all at once."""
        chosen = list(nodes)
        self._ended.update(chosen)
        self.stopped.difference_update(chosen)
        await asyncio.gather(*(asyncio.to_thread(self.daemons[node].kill) for node in chosen))

    async def end(self, nodes: Iterable[int]) -> None:
        """Ask them to end, all at once."""
        chosen = list(nodes)
        self._ended.update(chosen)
        self.stopped.difference_update(chosen)
        await asyncio.gather(*(asyncio.to_thread(self.daemons[node].stop) for node in chosen))

    def stop(self, nodes: Iterable[int]) -> None:
        """SIGSTOP those that run."""
        for node in nodes:
            if self.daemons[node].running:
                self.daemons[node].pause()
                self.stopped.add(node)

    def resume(self, nodes: Iterable[int]) -> None:
        for node in nodes:
            if node in self.stopped and self.daemons[node].running:
                self.daemons[node].resume()
            self.stopped.discard(node)

    def is_stopped(self, node: int) -> bool:
        """Whether the kernel says so."""
        stat = Path(f"/proc/{self.daemons[node].pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def surprises(self) -> list[str]:
        """Return the last words of those that ended by themselves."""
        return [
            f"node {node} ended by itself with code {daemon.exit_code}:\n{daemon.tail()}"
            for node, daemon in self.daemons.items()
            if not daemon.running and node not in self._ended
        ]


def place(node: int) -> str:
    """Return the name of a node's place in the network."""
    return f"n{node}"
