"""What a backup costs clients: how long they waited before it and meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from quiesce.errors import InvalidRequest
from quiesce.latency import Latencies
from quiesce.v1.latency_pb2 import ClientImpact as ImpactMessage
from quiesce.v1.latency_pb2 import ClientWait

GREATEST_BUDGET_MS = 60_000
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls of one kind: how many, and the microseconds that half of them, and 99 in 100, did not exceed."""

    calls: int = 0
    p50_us: int = 0
    p99_us: int = 0

    @classmethod
    def of(cls, latencies: Latencies) -> Calls:
        """Return them in short."""
        return cls(latencies.calls, latencies.quantile_us(0.5), latencies.quantile_us(0.99))


@dataclass(frozen=True, slots=True)
class Wait:
    """What clients of all nodes waited in so many seconds."""

    seconds: int = 0
    reads: Calls = field(default_factory=Calls)
    writes: Calls = field(default_factory=Calls)

    @property
    def worst_us(self) -> int:
        """The greater p99 of the two."""
        return max(self.reads.p99_us, self.writes.p99_us)

    def text(self) -> str:
        """Return it for people."""
        kinds = (("reads", self.reads), ("writes", self.writes))
        parts = [f"{ms_text(kind.p99_us)} for {name}" for name, kind in kinds if kind.calls]
        return f"{' and '.join(parts)} (p99)" if parts else "for nothing: there were no calls"


@dataclass(frozen=True, slots=True)
class ClientImpact:
    """What is known of it. Rates are bytes a second that workers were allowed to read; 0 without a budget."""

    budget_ms: int = 0
    # None: no node said.
    before: Wait | None = None
    during: Wait | None = None
    over_budget_ms: int = 0
    least_rate: int = 0
    most_rate: int = 0
    last_rate: int = 0

    def text(self) -> str:
        """Return it as a line of a job's history; empty where nothing is known."""
        if self.during is None:
            return ""
        parts = [f"clients waited {self.during.text()}"]
        if self.before is not None:
            parts.append(f"before the backup {self.before.text()}")
        if self.budget_ms:
            parts.append(f"over the budget of {self.budget_ms} ms for {self.over_budget_ms / 1000:g} s")
            parts.append(f"read at {self.least_rate / MIB:.1f} to {self.most_rate / MIB:.1f} MiB/s")
        return "; ".join(parts)

    def message(self) -> ImpactMessage:
        """Return it as it travels."""
        return ImpactMessage(
            budget_ms=self.budget_ms,
            before=_message(self.before),
            during=_message(self.during),
            over_budget_ms=self.over_budget_ms,
            least_rate=self.least_rate,
            most_rate=self.most_rate,
            last_rate=self.last_rate,
        )

    def facts(self) -> dict[str, Any]:
        """Return it as it is kept."""
        return dict(msgspec.to_builtins(self))


def impact_of(facts: object) -> ClientImpact | None:
    """Return what was kept; None where it is nothing, or nothing that can be read."""
    try:
        return msgspec.convert(facts, ClientImpact | None)
    except msgspec.ValidationError:
        return None


def ms_text(us: int) -> str:
    """Return `0.42 ms`, `5.1 ms`, `240 ms`."""
    ms = us / 1000
    return f"{ms:.0f} ms" if ms >= 100 else f"{ms:.1f} ms" if ms >= 1 else f"{ms:.2g} ms"


def check_budget(budget_ms: int) -> None:
    """Check a budget that somebody asks for; 0: none.

    Raises:
        InvalidRequest: it is longer than any call may take.
    """
    if budget_ms > GREATEST_BUDGET_MS:
        detail = f"a latency budget of {budget_ms} ms is longer than {GREATEST_BUDGET_MS} ms"
        raise InvalidRequest(detail=detail)


def _message(wait: Wait | None) -> ClientWait | None:
    if wait is None:
        return None
    return ClientWait(
        seconds=wait.seconds,
        reads=wait.reads.calls,
        reads_p50_us=wait.reads.p50_us,
        reads_p99_us=wait.reads.p99_us,
        writes=wait.writes.calls,
        writes_p50_us=wait.writes.p50_us,
        writes_p99_us=wait.writes.p99_us,
    )
