"""Carries out what a full disk asks of a node, and notices when there is room again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

import structlog

from nodes.room.watermark import Watermark, start_bytes
from nodes.rotation.admission import Voter
from nodes.rotation.succession import choose_successor
from quiesce.cli.units import amount
from quiesce.errors import DiskFull, QuiesceError

_LOOK_S = 1.0
_SAY_S = 10.0
_PATIENCE_S = 2.0
_RETRY_MS = 500
_log = structlog.get_logger("room")


class Consensus(Protocol):
    """What is asked of consensus."""

    def full_peers(self) -> Collection[int]:
        """Return the nodes that have said that their disk is full."""
        ...

    async def read_barrier(self, *, timeout_s: float) -> int:
        """Return once this node has all that was acknowledged before."""
        ...

    async def transfer_leadership(self, to: int, *, timeout_s: float) -> int:
        """Hand leadership over."""
        ...


class Rotation(Protocol):
    """What is asked of rotation."""

    reluctant: bool

    def voters(self) -> dict[int, Voter]:
        """Return the voters as this leader sees them; empty where it does not lead."""
        ...

    def fell_behind(self, why: str) -> None:
        """Serve no reads before this node has caught up."""
        ...

    @property
    def out(self) -> int | None:
        """The node that is out of rotation, or None."""
        ...


class RoomWatch:
    """Looks at the disk each second; `run` it as long as the node lives."""

    def __init__(
        self, *, node_id: int, path: Path, watermark: Watermark, consensus: Consensus, rotation: Rotation
    ) -> None:
        self._node_id = node_id
        self._path = path
        self._watermark = watermark
        self._consensus = consensus
        self._rotation = rotation

    async def run(self) -> None:
        """Watch; ends only by cancellation."""
        while True:
            if await asyncio.to_thread(self._watermark.look):
                self._say()
            self._rotation.reluctant = self._watermark.full
            if self._watermark.full:
                await self._hand_over()
                await self._see_whether_behind()
            await asyncio.sleep(_LOOK_S)

    def refusal(self) -> DiskFull | None:
        """Return the error for a write that this leader must refuse: it, or a majority, has no room for it."""
        mark = self._watermark
        if not mark.takes_writes:
            return self._error(str(self._path), mark.free)
        voters, full = self._rotation.voters(), self._consensus.full_peers()
        short = sorted(voters.keys() & full)
        if len(voters) - len(short) < len(voters) // 2 + 1 and short:
            names = ", ".join(map(str, short))
            return self._error(f"nodes {names}, which a majority needs,", None)
        return None

    def _error(self, whose: str, free: int | None) -> DiskFull:
        return DiskFull(
            node_id=self._node_id,
            path=whose,
            free="too little" if free is None else amount(free, binary=True),
            reserve=amount(self._watermark.reserve, binary=True),
            retry_ms=_RETRY_MS,
        )

    def _say(self) -> None:
        mark = self._watermark
        facts = {"path": str(self._path), "free": mark.free, "reserve": mark.reserve}
        if mark.full:
            _log.warning("disk full: no writes are taken", **facts)
        else:
            _log.info("room on the disk again", **facts)

    async def _hand_over(self) -> None:
        """Hand leadership to a node that has room, if this one leads and there is one."""
        voters, full = self._rotation.voters(), self._consensus.full_peers()
        roomy = {node: voter for node, voter in voters.items() if node not in full}
        out = self._rotation.out
        successor = choose_successor(roomy, leader=self._node_id, avoid=() if out is None else (out,))
        if successor is None:
            return
        try:
            await self._consensus.transfer_leadership(successor, timeout_s=_PATIENCE_S)
            _log.info("leadership went to a node with room", to=successor)
        except QuiesceError as error:
            _log.info("leadership was not handed over", to=successor, error=str(error))

    async def _see_whether_behind(self) -> None:
        """Take this node out of service where it cannot follow any more; reads that still can be answered are."""
        try:
            await self._consensus.read_barrier(timeout_s=_PATIENCE_S)
        except QuiesceError:
            self._rotation.fell_behind("the disk is full")


async def wait_for_room(path: Path, reserve: int, stop: asyncio.Event, free: Callable[[Path], int]) -> bool:
    """Wait until a start has what it needs on the disk of `path`; return False where it is stopped before."""
    least = start_bytes(reserve)
    loop = asyncio.get_running_loop()
    said = -_SAY_S
    while (left := await asyncio.to_thread(free, path)) < least:
        if loop.time() - said >= _SAY_S:
            said = loop.time()
            _log.warning("waiting for room on the disk", path=str(path), free=left, needed=least)
        try:
            await asyncio.wait_for(stop.wait(), _LOOK_S)
        except TimeoutError:
            continue
        return False
    return True
