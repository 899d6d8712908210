"""The times at which something is due: by a cron expression in a time zone, or at an interval. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from coordinator.schedule.wall_clock import first_not_before, moments, repeated, shown
from quiesce.errors import InvalidRequest

_LEAST_INTERVAL_MS = 60_000


class Timing(Protocol):
    """Times in Unix milliseconds, ascending and without end."""

    def after(self, unix_ms: int) -> int:
        """Return the first time later than `unix_ms`."""
        ...

    def latest(self, unix_ms: int) -> int:
        """Return the last time that is not later than `unix_ms`."""
        ...


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression of five fields in a time zone, with Debian's rules for daylight saving.

    What falls into the hour that is left out runs right after it; what falls into the hour that comes twice runs once.
    Where the minute or the hour begins with `*`, it goes by what the clock shows instead: not at all, or twice
    (https://manpages.debian.org/cron.8: the notes on daylight saving). The expression is looked for on a wall calendar,
    in no zone: half hours and days without a midnight lead a search in a zone astray.

    Raises:
        InvalidRequest: the expression or the zone is not known.
    """

    expression: str
    zone: str = "UTC"

    def __post_init__(self) -> None:
        _check(self.expression, self.zone)

    def after(self, unix_ms: int) -> int:
        """Return the first time later than `unix_ms`."""
        zone = ZoneInfo(self.zone)
        start = shown(unix_ms, zone)
        # What the clock has shown already may come once more.
        walls = CronSim(self.expression, start if self._at_set_times else start - repeated(start, zone))
        best: int | None = None
        while True:
            found = self._due(next(walls), zone)
            if best is not None and (not found or found[0] > best):
                return best
            later = [at for at in found if at > unix_ms]
            if later and later[0] == found[0]:
                return later[0]
            # The second time that it is shown: a later time of the wall may be shown before for the first time.
            best = min([*later, *([] if best is None else [best])], default=None)

    def latest(self, unix_ms: int) -> int:
        """Return the last time that is not later than `unix_ms`."""
        zone = ZoneInfo(self.zone)
        start = shown(unix_ms, zone)
        # Backwards the search is exclusive, and by whole minutes. What the clock shows later it may have shown before.
        start = (start + repeated(start, zone)).replace(second=0, microsecond=0) + timedelta(minutes=1)
        walls = CronSim(self.expression, start, reverse=True)
        best: int | None = None
        while True:
            found = self._due(next(walls), zone)
            if best is not None and (not found or found[-1] < best):
                return best
            earlier = [at for at in found if at <= unix_ms]
            if earlier and earlier[-1] == found[-1]:
                return earlier[-1]
            best = max([*earlier, *([] if best is None else [best])], default=None)

    @property
    def _at_set_times(self) -> bool:
        return not any(field.startswith("*") for field in self.expression.split()[:2])

    def _due(self, wall: datetime, zone: ZoneInfo) -> tuple[int, ...]:
        """Return when a time of the wall that matches is due."""
        return (first_not_before(wall, zone),) if self._at_set_times else moments(wall, zone)


@dataclass(frozen=True, slots=True)
class Every:
    """Once in an interval, counted from `anchor_ms`.

    Raises:
        InvalidRequest: the interval is shorter than a minute.
    """

    interval_ms: int
    anchor_ms: int = 0

    def __post_init__(self) -> None:
        if self.interval_ms < _LEAST_INTERVAL_MS:
            raise InvalidRequest(detail=f"an interval of {self.interval_ms} ms is shorter than a minute")

    def after(self, unix_ms: int) -> int:
        """Return the first time later than `unix_ms`."""
        return self.latest(unix_ms) + self.interval_ms

    def latest(self, unix_ms: int) -> int:
        """Return the last time that is not later than `unix_ms`."""
        return self.anchor_ms + (unix_ms - self.anchor_ms) // self.interval_ms * self.interval_ms


# A policy is read again at each look, and says the same as before.
@lru_cache(maxsize=1_024)
def _check(expression: str, zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidRequest(detail=f"`{zone}` is not a time zone, such as `Europe/Berlin`") from error
    if len(expression.split()) != 5:
        raise InvalidRequest(detail=f"`{expression}` is not a cron expression of five fields, such as `30 2 * * *`")
    try:
        next(CronSim(expression, datetime(1970, 1, 1)))  # noqa: DTZ001 - a wall calendar is in no zone
    except CronSimError as error:
        raise InvalidRequest(detail=f"`{expression}` is not a cron expression: {error}") from error
    except StopIteration as error:
        raise InvalidRequest(detail=f"`{expression}` names a date that never comes") from error
