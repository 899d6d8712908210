"""The times at which something is due: by a cron expression in a time zone, or at an interval. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

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

    What falls into the hour that is left out runs right after it; what falls into the hour that comes twice runs once,
    unless its hours are `*` (https://manpages.debian.org/cron.8: the notes on daylight saving).

    Raises:
        InvalidRequest: the expression or the zone is not known.
    """

    expression: str
    zone: str = "UTC"

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise InvalidRequest(detail=f"`{self.zone}` is not a time zone, such as `Europe/Berlin`") from error
        if len(self.expression.split()) != 5:
            raise InvalidRequest(
                detail=f"`{self.expression}` is not a cron expression of five fields, such as `30 2 * * *`"
            )
        try:
            self.after(0)
        except CronSimError as error:
            raise InvalidRequest(detail=f"`{self.expression}` is not a cron expression: {error}") from error
        except StopIteration as error:
            raise InvalidRequest(detail=f"`{self.expression}` names a date that never comes") from error

    def after(self, unix_ms: int) -> int:
        """Return the first time later than `unix_ms`."""
        return _unix_ms(next(CronSim(self.expression, self._local(unix_ms))))

    def latest(self, unix_ms: int) -> int:
        """Return the last time that is not later than `unix_ms`."""
        # Backwards the search is exclusive as well, and by whole minutes. What an hour left out has moved comes to
        # light only forwards.
        at = _unix_ms(next(CronSim(self.expression, self._local(unix_ms + 60_000), reverse=True)))
        while (following := self.after(at)) <= unix_ms:
            at = following
        while at > unix_ms:
            at = _unix_ms(next(CronSim(self.expression, self._local(at), reverse=True)))
        return at

    def _local(self, unix_ms: int) -> datetime:
        return datetime.fromtimestamp(unix_ms / 1000, ZoneInfo(self.zone))


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


def _unix_ms(at: datetime) -> int:
    # Arithmetic in a zone ignores its changes of offset; in UTC there are none.
    return int(at.astimezone(UTC).timestamp() * 1000)
