"""What is on its way between nodes, and between clients and nodes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from tests.simulation.plan import Plan
from tests.simulation.scheduler import Scheduler

# Of a message that is late: so many times the usual.
_LATE = 50


class Network:
    """Loses, delays, doubles and reorders; links are cut one way or both."""

    def __init__(self, plan: Plan, scheduler: Scheduler, rng: random.Random) -> None:
        self._plan = plan
        self._scheduler = scheduler
        self._rng = rng
        # (from, to) that lose everything.
        self.cut: set[tuple[int, int]] = set()
        self.healed = False
        # When the last message of each link arrives, so that those behind it arrive later.
        self._arrivals: dict[tuple[int, int], int] = {}

    def latency(self) -> int:
        """Draw the time that a message takes."""
        low, high = self._plan.latency_us
        if self.healed:
            # Slow links are mended too: a way there and back that takes longer than an election lets nobody lead.
            return low
        delay = self._rng.randint(low, high)
        if self._rng.random() < self._plan.faults.late:
            delay *= _LATE
        return delay

    def send(self, sender: int, to: int, left_at: int, arrive: Callable[[], None], lost: Callable[[], None]) -> None:
        """Let `arrive` happen once, twice or never; where never, `lost` may tell the sender."""
        rng, faults = self._rng, self._plan.faults
        if self.healed:
            copies = 1
        else:
            if (sender, to) in self.cut or rng.random() < faults.drop:
                if rng.random() < 0.5:
                    lost()
                return
            copies = 2 if rng.random() < faults.duplicate else 1
        for _ in range(copies):
            at = left_at + self.latency()
            if self.healed or rng.random() >= faults.reorder:
                at = max(at, self._arrivals.get((sender, to), 0))
                self._arrivals[sender, to] = at
            self._scheduler.at(at, lambda: self._arrive(sender, to, arrive))

    def _arrive(self, sender: int, to: int, arrive: Callable[[], None]) -> None:
        if (sender, to) not in self.cut:
            arrive()

    def call(self, arrive: Callable[[], None]) -> None:
        """Let a client's request, or the answer to it, arrive or be lost."""
        if self.healed or self._rng.random() >= self._plan.faults.drop:
            self._scheduler.after(self.latency(), arrive)

    # --- cuts

    def isolate(self, node: int, others: Sequence[int]) -> None:
        """Cut a node off."""
        for other in others:
            self.cut |= {(node, other), (other, node)}

    def split(self, one: Sequence[int], other: Sequence[int]) -> None:
        """Cut two groups apart."""
        self.cut |= {(a, b) for a in one for b in other} | {(b, a) for a in one for b in other}

    def heal(self) -> None:
        """Mend all links."""
        self.cut.clear()
