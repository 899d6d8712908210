"""When there are enough calls to say what 99 of 100 waited. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from quiesce.latency import Latencies

# The p99 of fewer is little more than the longest of them...
ENOUGH = 100
# ...which has to do where no more come within so long.
PATIENCE_S = 10.0
LEAST = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """What 99 of 100 calls did not exceed in so many seconds."""

    p99_us: int
    seconds: float


class Evidence:
    """Collects the calls of one kind until there are enough; then anew, so that none counts twice."""

    def __init__(self) -> None:
        self._calls = Latencies()
        self._seconds = 0.0

    def add(self, calls: Latencies, seconds: float) -> Finding | None:
        """Take the calls of so many seconds, and return what can be said; None: nothing yet."""
        self._calls, self._seconds = self._calls + calls, self._seconds + seconds
        late = self._seconds >= PATIENCE_S
        enough = self._calls.calls >= (LEAST if late else ENOUGH)
        finding = Finding(self._calls.quantile_us(0.99), self._seconds) if enough else None
        if enough or late:
            self.clear()
        return finding

    def clear(self) -> None:
        """Forget what was collected."""
        self._calls, self._seconds = Latencies(), 0.0
