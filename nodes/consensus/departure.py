"""When a node that was removed may leave for good. Used on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

import structlog

_log = structlog.get_logger(__name__)


class Departure:
    """Waits until a majority of the others refuses this node, which says that they know of its removal.

    Until then its vote may be needed: a node that does not know that the removal is committed counts it among the
    voters, and where it was one of two, or one of four, the others could not elect a leader without it. `patience_s`
    bounds the wait, for those who should know may be gone themselves.
    """

    def __init__(
        self,
        *,
        others: Callable[[], Collection[int]],
        probe: Callable[[], None],
        on_removed: Callable[[], None],
        patience_s: float,
        every_s: float = 0.5,
    ) -> None:
        self._others = others
        self._probe = probe
        self._on_removed = on_removed
        self._patience_s = patience_s
        self._every_s = every_s
        self._refused_by: set[int] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def begun(self) -> bool:
        """Whether this node is known to be removed."""
        return self._task is not None

    def begin(self) -> None:
        """Take the news that this node was removed."""
        if self._task is None:
            _log.warning("this node was removed from the cluster")
            self._task = asyncio.create_task(self._wait(), name="departure")

    def refused_by(self, node: int) -> None:
        """Take the news that a node refuses this one because it was removed."""
        self._refused_by.add(node)
        self.begin()

    async def stop(self) -> None:
        """Break off."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _wait(self) -> None:
        deadline = asyncio.get_running_loop().time() + self._patience_s
        while not self._enough():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                _log.warning("leaving, though not all are known to know of it", refused_by=sorted(self._refused_by))
                break
            self._probe()
            await asyncio.sleep(min(self._every_s, left))
        self._on_removed()

    def _enough(self) -> bool:
        others = self._others()
        return 2 * len(self._refused_by.intersection(others)) > len(others)
