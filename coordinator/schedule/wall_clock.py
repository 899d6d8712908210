"""When a clock on the wall shows a time: once, twice where it is set back, never where it is set forward. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_MINUTE = timedelta(minutes=1)


def shown(unix_ms: int, zone: ZoneInfo) -> datetime:
    """Return what the clock of a zone shows, in no zone any more."""
    return datetime.fromtimestamp(unix_ms / 1000, zone).replace(tzinfo=None)


def moments(wall: datetime, zone: ZoneInfo) -> tuple[int, ...]:
    """Return when the clock shows a time, in Unix milliseconds, ascending: none, one or two."""
    first, second = (_unix_ms(wall, zone, fold) for fold in (0, 1))
    if first < second:
        return first, second
    return (first,) if shown(first, zone) == wall else ()


def first_not_before(wall: datetime, zone: ZoneInfo) -> int:
    """Return when the clock shows a time first; where it never does, when it has just been set forward over it."""
    while not (found := moments(wall, zone)):
        wall += _MINUTE
    return found[0]


def repeated(wall: datetime, zone: ZoneInfo) -> timedelta:
    """Return for how long the clock shows times twice, if this is one of them; otherwise nothing."""
    return timedelta(milliseconds=max(0, _unix_ms(wall, zone, 1) - _unix_ms(wall, zone, 0)))


def _unix_ms(wall: datetime, zone: ZoneInfo, fold: int) -> int:
    # Arithmetic in a zone ignores its changes of offset; in UTC there are none.
    return int(wall.replace(tzinfo=zone, fold=fold).astimezone(UTC).timestamp() * 1000)
