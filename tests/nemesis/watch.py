"""Asks every node again and again who leads, and reads through it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

from quiesce.errors import QuiesceError
from quiesce.v1.node_pb2 import NODE_ROLE_LEADER, NodeStatus
from tests.nemesis.nodes import Nodes
from tests.nemesis.raw import LINEARIZABLE, Raw
from tests.nemesis.recorder import Recorder

_EVERY_S = 0.25


class Watch:
    """What each node said last, and when it last answered a linearizable read of an empty list of records."""

    def __init__(self, nodes: Nodes, recorder: Recorder, database: str) -> None:
        self._raw = Raw(nodes, Random(0))
        self._recorder = recorder
        self._database = database
        self.status: dict[int, NodeStatus] = {}
        # Seconds at which the latest answered read was asked.
        self.read_at: dict[int, float] = {}
        self.status_at: dict[int, float] = {}
        self._nodes = nodes
        self.last_leader = 0

    async def run(self) -> None:
        tasks: dict[int, list[asyncio.Task[None]]] = {}
        try:
            while True:
                for node in [node for node in tasks if node not in self._nodes.ids]:
                    await _cancel(tasks.pop(node))
                    self.status.pop(node, None)
                    del self.read_at[node], self.status_at[node]
                for node in [node for node in self._nodes.ids if node not in tasks]:
                    self.read_at[node] = self.status_at[node] = -1.0
                    tasks[node] = [asyncio.create_task(one) for one in (self._poll(node), self._read(node))]
                await asyncio.sleep(_EVERY_S)
        finally:
            await _cancel([task for both in tasks.values() for task in both])
            await self._raw.close()

    def leader(self) -> int:
        """Return the node that leads, as far as is known: of those that say so the one with the latest term."""
        leading = [(s.term, node) for node, s in self.status.items() if s.role == NODE_ROLE_LEADER]
        node = max(leading, default=(0, 0))[1]
        self.last_leader = node or self.last_leader
        return node

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


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
