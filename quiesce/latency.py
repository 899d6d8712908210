"""How long calls took, counted: what a node tells of itself, and what of several is added up."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from quiesce.v1.latency_pb2 import LatencyHistogram


@dataclass(frozen=True, slots=True)
class Latencies:
    """Calls by the most microseconds that they took. Bounds need not be the same everywhere."""

    counts: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, message: LatencyHistogram) -> Latencies:
        """Return what a message tells; what has no partner in the other list is left out."""
        return cls(dict(zip(message.upper_us, message.calls, strict=False)))

    def message(self) -> LatencyHistogram:
        """Return them as they travel."""
        bounds = sorted(self.counts)
        return LatencyHistogram(
            upper_us=bounds,
            calls=[self.counts[bound] for bound in bounds],
            p50_us=self.quantile_us(0.5),
            p99_us=self.quantile_us(0.99),
        )

    @property
    def calls(self) -> int:
        """How many there are."""
        return sum(self.counts.values())

    def quantile_us(self, share: float) -> int:
        """Return the microseconds that `share` of the calls did not exceed; 0 where there are none."""
        wanted, seen = math.ceil(share * self.calls), 0
        for bound in sorted(self.counts):
            seen += self.counts[bound]
            if seen >= wanted:
                return bound
        return 0

    def __add__(self, other: Latencies) -> Latencies:
        return Latencies(Counter(self.counts) + Counter(other.counts))
