"""Faults of the network: what is lost is lost in silence."""

from __future__ import annotations

import asyncio
from random import Random

from tests.nemesis.faults.fault import Fault
from tests.nemesis.faults.processes import choose
from tests.nemesis.field import Field, NotInForce, Pairs, both_ways
from tests.nemesis.network import CLIENTS


class Loss(Fault):
    """Nothing gets from some places to others."""

    def __init__(self) -> None:
        self._pairs: Pairs = []
        # Who leads now and cannot go on leading.
        self._deposed = 0
        self._began = 0.0

    async def _block(self, field: Field, pairs: Pairs) -> None:
        self._pairs = pairs
        await field.block(pairs)
        self._began = field.recorder.seconds()

    async def confirm(self, field: Field, rng: Random, *, alone: bool) -> None:
        await field.check_lost(self._pairs, rng)
        if alone and self._deposed:
            asked = (CLIENTS, field.place(self._deposed)) not in self._pairs
            await field.until_deposed(self._deposed, self._began, asked=asked)

    async def heal(self, field: Field) -> None:
        pairs, self._pairs = self._pairs, []
        await field.free(pairs)


class Halves(Loss):
    """A minority and a majority that do not hear each other; clients hear all. The leader is on either side."""

    async def begin(self, field: Field, rng: Random) -> str:
        leader = await field.leader()
        ids = field.nodes.ids
        few = rng.sample([node for node in ids if node != leader], (len(ids) - 1) // 2)
        if rng.random() < 0.6:
            few[0] = self._deposed = leader
        many = [node for node in ids if node not in few]
        await self._block(field, both_ways(field.between(few, many)))
        return f"partition {sorted(few)} | {many}, leader {leader}"


class IsolateLeader(Loss):
    """The leader hears no node, and perhaps no client, and nobody hears it."""

    async def begin(self, field: Field, rng: Random) -> str:
        self._deposed = leader = await field.leader()
        pairs = field.between([leader], field.nodes.ids)
        clients_too = rng.random() < 0.3
        if clients_too:
            pairs.append((field.place(leader), CLIENTS))
        await self._block(field, both_ways(pairs))
        return f"isolate leader {leader}{' from clients too' if clients_too else ''}"


class OneWay(Loss):
    """What a node sends to the others is lost, or what they send to it: "from" or "to" "leader" or "one"."""

    def __init__(self, direction: str, who: str) -> None:
        super().__init__()
        self._direction, self._who = direction, who

    async def begin(self, field: Field, rng: Random) -> str:
        (node,) = await choose(field, rng, self._who)
        others = [other for other in field.nodes.ids if other != node]
        # With one of them it still gets through, now and then.
        if self._who == "one" and rng.random() < 0.3:
            others.pop(rng.randrange(len(others)))
        elif self._who == "leader":
            self._deposed = node
        pairs = field.between([node], others) if self._direction == "from" else field.between(others, [node])
        await self._block(field, pairs)
        return f"lose what goes {self._direction} node {node} ({self._who}), others {others}"


class CutClients(Loss):
    """Clients do not reach the leader, which does well otherwise."""

    async def begin(self, field: Field, rng: Random) -> str:
        leader = await field.leader()
        await self._block(field, both_ways([(CLIENTS, field.place(leader))]))
        return f"cut the clients from leader {leader}"


class Slow(Fault):
    """A node's link carries little: "leader" or "one"."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._node = 0

    async def begin(self, field: Field, rng: Random) -> str:
        (self._node,) = await choose(field, rng, self._who)
        kilobits = rng.choice([64, 128, 256])
        await asyncio.to_thread(field.network.slow, field.place(self._node), kilobits)
        return f"slow link of node {self._node} ({self._who}): {kilobits} kbit/s"

    async def confirm(self, field: Field, rng: Random, *, alone: bool) -> None:
        deadline = field.recorder.seconds() + 20
        while not await asyncio.to_thread(field.network.throttled, field.place(self._node)):
            if alone and field.recorder.seconds() > deadline:
                raise NotInForce(f"the link of node {self._node} held nothing back")
            if not alone:
                return
            await asyncio.sleep(0.2)

    async def heal(self, field: Field) -> None:
        await asyncio.to_thread(field.network.unslow, field.place(self._node))
