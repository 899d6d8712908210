"""What faults act upon."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

from tests.nemesis.network import Network
from tests.nemesis.nodes import Nodes
from tests.nemesis.recorder import Recorder
from tests.nemesis.watch import Watch

Pairs = list[tuple[str, str]]


class NotInForce(Exception):
    """A fault did not do what it is there for: the run shows nothing of it."""


@dataclass(slots=True)
class Field:
    nodes: Nodes
    network: Network
    watch: Watch
    recorder: Recorder

    async def leader(self) -> int:
        """Return the node that leads, or the one that did last where another fault lets none lead.

        Raises:
            NotInForce: none does for long, and nothing is in its way.
        """
        await self.until(lambda: self.watch.leader() != 0 or not self.nodes.majority_runs(), 30, "a leader to be hit")
        return self.watch.leader() or self.last_leader()

    def last_leader(self) -> int:
        last = self.watch.last_leader
        return last if last in self.nodes.ids else self.nodes.ids[0]

    def place(self, node: int) -> str:
        """Return where a node is in the network."""
        return self.nodes.places[node]

    def between(self, senders: Iterable[int], receivers: Iterable[int]) -> Pairs:
        """Return the ways from each of some nodes to each of others."""
        to = list(receivers)
        return [(self.place(a), self.place(b)) for a in senders for b in to if a != b]

    async def block(self, pairs: Pairs) -> None:
        await asyncio.to_thread(self.network.block, pairs)

    async def free(self, pairs: Pairs) -> None:
        await asyncio.to_thread(self.network.free, pairs)

    async def check_lost(self, pairs: Pairs, rng: Random) -> None:
        """See that nothing gets through between some of the pairs.

        Raises:
            NotInForce: it does.
        """
        for sender, receiver in rng.sample(pairs, min(3, len(pairs))):
            if await asyncio.to_thread(self.network.reaches, sender, receiver, 1):
                raise NotInForce(f"{sender} still reaches {receiver}")

    async def until(self, true: Callable[[], bool], timeout_s: float, what: str) -> None:
        deadline = self.recorder.seconds() + timeout_s
        while not true():
            if self.recorder.seconds() > deadline:
                raise NotInForce(f"not within {timeout_s:g} s: {what}")
            await asyncio.sleep(0.05)

    async def until_deposed(self, node: int, since_s: float, *, asked: bool = True) -> None:
        """Wait until another node leads, and, where it can be asked, this one says that it does not.

        Raises:
            NotInForce: that takes for ever.
        """
        await self.until(lambda: self.watch.leader() not in (0, node), 30, f"a leader other than node {node}")
        if asked:
            await self.until(lambda: self._gave_up(node, since_s), 30, f"node {node} steps down")

    def _gave_up(self, node: int, since_s: float) -> bool:
        status = self.watch.status.get(node)
        return status is not None and self.watch.status_at[node] > since_s and status.leader_id != node


def both_ways(pairs: Pairs) -> Pairs:
    return [*pairs, *((b, a) for a, b in pairs)]
