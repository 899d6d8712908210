"""What every client of a run shares."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from quiesce import AsyncClient
from quiesce.records import RID, Record
from tests.nemesis.history import Operation
from tests.nemesis.nodes import Nodes
from tests.nemesis.raw import Raw
from tests.nemesis.recorder import Recorder
from tests.nemesis.watch import Watch

# Client calls give up after so long: shorter than some faults, longer than most.
_TIMEOUTS_S = (2.0, 5.0, 12.0)


@dataclass(slots=True)
class World:
    """The cluster as clients see it. Everything random comes from the seed and a name."""

    seed: int
    nodes: Nodes
    recorder: Recorder
    watch: Watch
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def addresses(self) -> list[str]:
        return [self.nodes.addresses[node] for node in self.nodes.ids]

    def random(self, name: str) -> Random:
        return Random(f"{self.seed} {name}")

    @asynccontextmanager
    async def client(self, name: str) -> AsyncIterator[AsyncClient]:
        timeout_s = self.random(f"timeout of {name}").choice(_TIMEOUTS_S)
        async with AsyncClient(self.addresses, timeout_s=timeout_s, name=name) as client:
            yield client

    @asynccontextmanager
    async def raw(self, name: str) -> AsyncIterator[Raw]:
        raw = Raw(self.nodes, self.random(f"nodes of {name}"))
        try:
            yield raw
        finally:
            await raw.close()

    async def turns(self, rng: Random, pause_s: float) -> AsyncIterator[int]:
        """Count until the run is over, with pauses of `pause_s` on average."""
        turn = 0
        while not self.over.is_set():
            yield turn
            turn += 1
            await asyncio.sleep(rng.uniform(0, 2 * pause_s))


Contents = dict[str, dict[RID, Record]]


class Workload(Protocol):
    """Clients of one kind, and what must be true of what they saw."""

    async def prepare(self, client: AsyncClient) -> None:
        """Make what they need, while there are no faults."""
        ...

    def clients(self) -> Iterator[Coroutine[Any, Any, None]]:
        """Return coroutines that run until the run is over."""
        ...

    def judge(self, contents: Contents) -> None:
        """Judge all of it, by what all nodes hold at the end: the records by database."""
        ...

    def histories(self) -> dict[str, list[Operation]]:
        """Return the operations by key."""
        ...
