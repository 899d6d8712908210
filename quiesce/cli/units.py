"""Amounts and durations as people write and read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)


def milliseconds(text: str) -> int:
    """Read `500ms`, `30s`, `10m`, `1h30m`; ValueError where it is something else."""
    found = list(_DURATION.finditer(text.strip()))
    if not found or "".join(match[0] for match in found) != text.strip():
        raise ValueError(f"`{text}` is not a duration; one looks like 30s, 10m or 1h30m")
    return round(sum(float(match[1]) * _MS[match[2]] for match in found))


def budget_ms(text: str) -> int:
    """Read a duration from 1 ms to a minute; ValueError where it is something else."""
    value = milliseconds(text)
    if not 1 <= value <= 60_000:
        raise ValueError(f"`{text}` is no latency budget: one is from 1ms to 60s")
    return value


def size_bytes(text: str) -> int:
    """Read `800`, `50M` (10^6), `50MiB` (2^20); ValueError where it is something else."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"`{text}` is not a size; one looks like 50M or 64MiB")
    power = " kmgt".index(found[2].lower() or " ")
    step = 1024 if found[3] else 1000
    return round(float(found[1]) * float(step**power))


def seconds_text(seconds: float) -> str:
    """Return `41 s`, `3 min 20 s` or `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def milliseconds_text(value: int) -> str:
    """Return a duration as `milliseconds` reads it: `1h30m`, `500ms`."""
    text = ""
    for name, size in sorted(_MS.items(), key=lambda item: -item[1]):
        text += f"{value // size}{name}" if value >= size else ""
        value %= size
    return text or "0ms"


def amount(value: float, unit: str = "", *, binary: bool = False) -> str:
    """Return `12,345 records`, or with `binary` `4.5 MiB`."""
    if binary:
        for name in ("B", "KiB", "MiB", "GiB"):
            if value < 1024:
                return f"{value:.0f} {name}" if name == "B" else f"{value:.1f} {name}"
            value /= 1024
        return f"{value:.1f} TiB"
    return f"{value:,.0f} {unit}".rstrip()


def clock_text(unix_ms: int) -> str:
    """Return the time of day, here, to the millisecond."""
    return _local(unix_ms).strftime("%H:%M:%S.%f")[:-3]


def time_text(unix_ms: int) -> str:
    """Return date and time, here."""
    return _local(unix_ms).strftime("%Y-%m-%d %H:%M:%S") if unix_ms else "-"


def _local(unix_ms: int) -> datetime:
    return datetime.fromtimestamp(unix_ms / 1000, tz=UTC).astimezone()
