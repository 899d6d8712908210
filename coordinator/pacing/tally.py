"""Adds up what a backup cost clients. Pure."""

from __future__ import annotations

from coordinator.job.impact import Calls, ClientImpact, Wait
from coordinator.pacing.evidence import Evidence
from quiesce.latency import Latencies


class Tally:
    """What clients waited since the replica was taken out; with a budget, how long it was more than that.

    Args:
        budget_ms: 0: there is none.
        before: what they waited before; None: not known.
    """

    def __init__(self, budget_ms: int, before: Wait | None) -> None:
        self._budget_ms = budget_ms
        self._before = before
        self._calls = {"reads": Latencies(), "writes": Latencies()}
        self._evidence = {name: Evidence() for name in self._calls}
        self._over_s = dict.fromkeys(self._calls, 0.0)
        self._seconds = 0.0
        self._rates: tuple[int, int, int] | None = None

    def add(self, reads: Latencies, writes: Latencies, seconds: float) -> None:
        """Take what they waited in so many seconds."""
        self._seconds += seconds
        for name, calls in (("reads", reads), ("writes", writes)):
            self._calls[name] += calls
            finding = self._evidence[name].add(calls, seconds)
            if finding is not None and finding.p99_us > self._budget_ms * 1000 > 0:
                self._over_s[name] += finding.seconds

    def allowed(self, rate: int) -> None:
        """Take note of a rate that workers were told."""
        least, most, _ = self._rates or (rate, rate, rate)
        self._rates = min(least, rate), max(most, rate), rate

    def impact(self) -> ClientImpact:
        """Return the sum."""
        least, most, last = self._rates or (0, 0, 0)
        reads, writes = (Calls.of(calls) for calls in self._calls.values())
        return ClientImpact(
            budget_ms=self._budget_ms,
            before=self._before,
            during=Wait(round(self._seconds), reads, writes) if self._seconds else None,
            over_budget_ms=round(max(self._over_s.values()) * 1000),
            least_rate=least,
            most_rate=most,
            last_rate=last,
        )
