"""A node's clocks: they go faster or slower than virtual time, and the wall clock jumps."""

from __future__ import annotations

from tests.simulation.scheduler import Scheduler

_BEGIN_MS = 1_700_000_000_000


class NodeClock:
    """`rate` is how fast this node's clocks go, 1.0 being true."""

    def __init__(self, scheduler: Scheduler, rate: float) -> None:
        self._scheduler = scheduler
        self._rate = rate
        # Milliseconds that the wall clock is off.
        self.offset_ms = 0

    def tick_us(self, tick_us: int) -> int:
        """Return the true microseconds of what this node takes for a tick."""
        return max(1, int(tick_us / self._rate))

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._scheduler.now * self._rate / 1e6

    def wall_ms(self) -> int:
        """Return Unix milliseconds, as this node believes."""
        return _BEGIN_MS + int(self._scheduler.now * self._rate) // 1000 + self.offset_ms
