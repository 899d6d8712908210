"""Asks every node again and again who leads, and reads through it."""

from __future__ import annotations

import asyncio
from random import Random

from quiesce.errors import QuiesceError
from quiesce.v1.node_pb2 import NODE_ROLE_LEADER, NodeStatus
from tests.nemesis.raw import LINEARIZABLE, Raw
from tests.nemesis.recorder import Recorder

_EVERY_S = 0.25


class Watch:
    """What each node said last, and when it last answered a linearizable read of an empty list of records."""

    def __init__(self, addresses: dict[int, str], recorder: Recorder, database: str) -> None:
        self._raw = Raw(addresses, Random(0))
        self._recorder = recorder
        self._database = database
        self.status: dict[int, NodeStatus] = {}
        # Seconds at which the latest answered read was asked.
        self.read_at: dict[int, float] = dict.fromkeys(addresses, -1.0)
        self.status_at: dict[int, float] = dict.fromkeys(addresses, -1.0)
        self._nodes = list(addresses)

    async def run(self) -> None:
        try:
            await asyncio.gather(*(self._poll(node) for node in self._nodes), *(self._read(n) for n in self._nodes))
        finally:
            await self._raw.close()

    def leader(self) -> int:
        """Return the node that leads, as far as is known: of those that say so the one with the latest term."""
        leading = [(s.term, node) for node, s in self.status.items() if s.role == NODE_ROLE_LEADER]
        return max(leading, default=(0, 0))[1]

    def term(self) -> int:
        return max((status.term for status in self.status.values()), default=0)

    async def _poll(self, node: int) -> None:
        while True:
            asked = self._recorder.seconds()
            try:
                status = await self._raw.status(node)
            except QuiesceError:
                self.status.pop(node, None)
            else:
                self.status[node] = status
                self.status_at[node] = asked
            await asyncio.sleep(_EVERY_S)

    async def _read(self, node: int) -> None:
        while True:
            asked, floor = self._recorder.seconds(), self._recorder.floor
            try:
                answer = await self._raw.get(node, self._database, [], LINEARIZABLE, timeout_s=1.0)
            except QuiesceError:
                pass
            else:
                self.read_at[node] = asked
                self._recorder.saw(f"a read at node {node}", floor, answer.index)
            await asyncio.sleep(_EVERY_S)
