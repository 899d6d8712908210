"""The node daemons, each in its place in the network."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

from quiesce.errors import NodeRemoved
from tests.nemesis.network import Network
from tests.scenarios.daemon import Daemon

PORT = 7100


class Nodes:
    """The daemons by node id; all run by product defaults.

    Ids are never used again, places are: a network has one more than there are nodes at first, for one that comes
    before another goes.
    """

    def __init__(self, directory: Path, network: Network, places: Sequence[str], count: int) -> None:
        self.network = network
        self._directory = directory
        # Those that belong to the cluster, and what is known of these and of those that left it.
        self.ids: list[int] = []
        self.addresses: dict[int, str] = {}
        self.places: dict[int, str] = {}
        self.daemons: dict[int, Daemon] = {}
        self._free = list(places)
        # Those that we killed, ended or stopped, and nobody else; and those that end by themselves when they are told.
        self._ended: set[int] = set()
        self._leaving: set[int] = set()
        self.stopped: set[int] = set()
        for node in range(1, count + 1):
            self._settle(node)
        members = ",".join(f"{node}={address}" for node, address in self.addresses.items())
        founding = ["--cluster-id", uuid.uuid4().hex, "--members", members]
        for node in self.ids:
            self.daemons[node] = self._daemon(node, founding)

    def new(self) -> int:
        """Return a new node, at a free place, that joins the others once it is started."""
        others = ",".join(self.addresses[node] for node in self.ids)
        node = max(self.addresses) + 1
        self._settle(node)
        self.daemons[node] = self._daemon(node, ["--join", others])
        self._ended.add(node)
        return node

    async def left(self, node: int, timeout_s: float) -> None:
        """Wait until a node that was removed has learnt it and has ended, and give its place away.

        Raises:
            TimeoutError: it did not; what it did instead is the message.
        """
        self._leaving.add(node)
        daemon = self.daemons[node]
        deadline = asyncio.get_running_loop().time() + timeout_s
        while daemon.running or daemon.exit_code != NodeRemoved.exit_code:
            # It may have been down when it was removed.
            if not daemon.running:
                daemon.start()
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"node {node} was removed and goes on, {daemon.exit_code=}:\n{daemon.tail()}")
            await asyncio.sleep(0.2)
        self.ids.remove(node)
        self._free.append(self.places[node])

    def _settle(self, node: int) -> None:
        place = self._free.pop(0)
        self.places[node] = place
        self.addresses[node] = f"{self.network.address(place)}:{PORT}"
        self.ids.append(node)

    def _daemon(self, node: int, more: Sequence[str]) -> Daemon:
        data = str(self._directory / f"node-{node}")
        arguments = ["node", "--node-id", str(node), "--data", data, "--listen", self.addresses[node], *more]
        log = self._directory / f"node-{node}.log"
        return Daemon(arguments, log, through=self.network.within(self.places[node]))

    async def start(self, nodes: Iterable[int]) -> None:
        for node in nodes:
            if not self.daemons[node].running:
                self.daemons[node].start()
            self._ended.discard(node)

    async def end_all(self) -> None:
        await self.end(self.daemons)

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

    def majority_runs(self) -> bool:
        running = [node for node in self.ids if self.daemons[node].running and node not in self.stopped]
        return len(running) > len(self.ids) // 2

    def is_stopped(self, node: int) -> bool:
        """Whether the kernel says so."""
        stat = Path(f"/proc/{self.daemons[node].pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def surprises(self) -> list[str]:
        """Return the last words of those that ended by themselves."""
        return [
            f"node {node} ended by itself with code {daemon.exit_code}:\n{daemon.tail()}"
            for node, daemon in self.daemons.items()
            if not daemon.running and node not in self._ended and not self._left(node)
        ]

    def _left(self, node: int) -> bool:
        return node in self._leaving and self.daemons[node].exit_code == NodeRemoved.exit_code
