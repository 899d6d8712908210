"""Read barriers shared by all readers of a node: few under way at a time, each for everybody who came before it."""

from __future__ import annotations

import asyncio
from typing import Protocol

from nodes.service.calls import LONGEST_WAIT_S
from quiesce.errors import DeadlineExceeded, QuiesceError

# Each is a round of messages through the cluster, some 2 ms of processor time. With eight under way the readers
# spread over them, and half as many reads are served as with two.
_MOST_UNDER_WAY = 2


class Barrier(Protocol):
    """`Consensus.read_barrier`."""

    async def __call__(self, *, timeout_s: float) -> int:
        """Return an index that is applied here and covers every write acknowledged before the call."""
        ...


class SharedBarriers:
    """Brings readers together. A reader never joins a barrier that began before it came."""

    def __init__(self, barrier: Barrier, most: int = _MOST_UNDER_WAY) -> None:
        self._barrier = barrier
        self._most = most
        self._waiting: list[asyncio.Future[None]] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._starting = False

    async def wait(self, timeout_s: float) -> None:
        """Return when this node has applied every write that was acknowledged before the call.

        Raises:
            DeadlineExceeded, NoLeader, Overloaded: it could not be made sure of.
        """
        loop = asyncio.get_running_loop()
        reader: asyncio.Future[None] = loop.create_future()
        self._waiting.append(reader)
        if not self._starting and len(self._under_way) < self._most:
            # At the end of this turn of the loop, with all that come in it.
            self._starting = True
            loop.call_soon(self._start)
        try:
            async with asyncio.timeout(timeout_s):
                await reader
        except TimeoutError as error:
            raise DeadlineExceeded(operation="the read barrier", seconds=f"{timeout_s:g}") from error

    def _start(self) -> None:
        self._starting = False
        readers, self._waiting = [reader for reader in self._waiting if not reader.done()], []
        if readers:
            task = asyncio.create_task(self._run(readers))
            self._under_way.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if self._waiting and not self._starting:
            self._start()

    async def _run(self, readers: list[asyncio.Future[None]]) -> None:
        try:
            await self._barrier(timeout_s=LONGEST_WAIT_S)
        except QuiesceError as error:
            for reader in readers:
                if not reader.done():
                    reader.set_exception(type(error)(**error.fields))
            return
        for reader in readers:
            if not reader.done():
                reader.set_result(None)
