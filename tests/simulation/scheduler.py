"""Virtual time: what happens next, and when. Microseconds."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Scheduler:
    """Events in order of their time; those of one time in the order in which they were planned."""

    def __init__(self) -> None:
        self.now = 0
        self.steps = 0
        self._planned = 0
        self._queue: list[tuple[int, int, Callable[[], None]]] = []

    def __len__(self) -> int:
        return len(self._queue)

    def at(self, time: int, event: Callable[[], None]) -> None:
        """Plan an event; a time that has passed means now."""
        self._planned += 1
        heapq.heappush(self._queue, (max(time, self.now), self._planned, event))

    def after(self, delay: int, event: Callable[[], None]) -> None:
        """Plan an event."""
        self.at(self.now + delay, event)

    def step(self) -> None:
        """Let the next event happen."""
        self.now, _, event = heapq.heappop(self._queue)
        self.steps += 1
        event()
