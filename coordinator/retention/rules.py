"""What a policy promises to keep. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from quiesce.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Rules:
    """How many snapshots to keep; 0 and 0 ms: not by this rule.

    `hourly` and so on count periods that have a snapshot, from the newest back, and keep the last one of each, by the
    clock and calendar of `zone`. With all rules at 0 nothing is ever removed.
    """

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within_ms: int = 0
    # So many are kept whatever the other rules say.
    minimum: int = 1
    zone: str = "UTC"

    def __post_init__(self) -> None:
        for name in ("last", "hourly", "daily", "weekly", "monthly", "yearly", "within_ms", "minimum"):
            if getattr(self, name) < 0:
                raise InvalidRequest(detail=f"retention: {name} is {getattr(self, name)}, and cannot be negative")
        if self.minimum < 1:
            raise InvalidRequest(detail="retention: minimum is 0; the newest snapshot is always kept")

    @property
    def keeps_all(self) -> bool:
        """Whether no rule says what may go."""
        return not any((self.last, self.within_ms, *(count for _, count, _ in self.periods())))

    def periods(self) -> tuple[tuple[str, int, Callable[[datetime], tuple[int, ...]]], ...]:
        """Return (name of the rule, count, what a moment's period is called)."""
        return (
            ("hourly", self.hourly, _hour),
            ("daily", self.daily, lambda at: (at.year, at.month, at.day)),
            ("weekly", self.weekly, lambda at: at.isocalendar()[:2]),
            ("monthly", self.monthly, lambda at: (at.year, at.month)),
            ("yearly", self.yearly, lambda at: (at.year,)),
        )

    def local(self, unix_ms: int) -> datetime:
        """Return a moment by the clock of `zone`."""
        return datetime.fromtimestamp(unix_ms / 1000, ZoneInfo(self.zone))


def _hour(at: datetime) -> tuple[int, ...]:
    # The hour that comes twice is two hours.
    return (int(at.timestamp()) // 3600,)
