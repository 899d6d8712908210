"""Values as text, and texts against patterns, as OrientDB 3.2 has them (OQueryHelper.like, Java's toString)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from quiesce.records import RID, Float

_REGEX_OWN = re.compile(r"[][\\{}()|*+$^.]")


def like(value: Any, pattern: Any) -> bool:
    """Return whether `value LIKE pattern`: % is any text, ? any character; case does not count."""
    if value is None or pattern is None or _is_collection(value) or _is_collection(pattern):
        return False
    subject, wanted = text_of(value), text_of(pattern)
    return bool(subject) and bool(wanted) and _like(wanted).fullmatch(subject.lower()) is not None


@lru_cache(64)
def _like(pattern: str) -> re.Pattern[str]:
    quoted = _REGEX_OWN.sub(r"\\\g<0>", pattern.lower())
    return re.compile(quoted.replace("%", ".*").replace("?", "."))


def text_of(value: Any) -> str:
    """Return a value as text, as Java's toString of it."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Float):
        return _java(value, value.shortest())
    if isinstance(value, float):
        return _java(value, repr(value))
    if isinstance(value, date):
        return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else f"{value:%Y-%m-%d} 00:00:00"
    if isinstance(value, RID):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}={text_of(item)}" for key, item in value.items()) + "}"
    if _is_collection(value):
        return "[" + ", ".join(map(text_of, value)) + "]"
    return str(value)


def _java(value: float, shortest: str) -> str:
    """Return a float as Double.toString writes it: plain from 10^-3 up to 10^7, else with an exponent."""
    if value == 0 or not math.isfinite(value):
        return {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}.get(str(float(value)), str(float(value)))
    sign, digits, exponent = Decimal(shortest).normalize().as_tuple()
    text = "".join(map(str, digits))
    point = len(text) + int(exponent)
    front = "-" if sign else ""
    if -3 < point <= 7:
        if point <= 0:
            return f"{front}0.{'0' * -point}{text}"
        text = text.ljust(point, "0")
        return f"{front}{text[:point]}.{text[point:] or '0'}"
    return f"{front}{text[0]}.{text[1:] or '0'}E{point - 1}"


def _is_collection(value: object) -> bool:
    return isinstance(value, list | set | frozenset | tuple) and not isinstance(value, RID)
