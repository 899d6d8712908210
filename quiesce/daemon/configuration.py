"""A daemon's configuration as one list of keys, for the file, the flags and the environment.

A parser takes the key's name and a value from any of the three, and raises InvalidConfiguration naming the key.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quiesce.cli.units import size_bytes
from quiesce.errors import InvalidConfiguration

DAY_MS = 24 * 3_600_000
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h)?")
_UNITS_MS = {"ms": 1, "s": 1_000, None: 1_000, "m": 60_000, "h": 3_600_000}


@dataclass(frozen=True, slots=True)
class Key:
    """One key: how it is read, what it is where it is not given, what it means. `default` None: it must be given."""

    name: str
    parse: Callable[[str, object], Any]
    default: object
    help: str
    # A flag that stands alone, with a `--no-` twin.
    flag: bool = False


def read_toml(path: Path, keys: Sequence[Key]) -> dict[str, object]:
    """Return what a configuration file says.

    Raises:
        InvalidConfiguration: it cannot be read, is not TOML, or has a key that does not exist.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidConfiguration(detail=f"{path}: {error}") from error
    unknown = sorted(set(found) - {key.name for key in keys})
    if unknown:
        known = ", ".join(key.name for key in keys)
        raise InvalidConfiguration(detail=f"{path}: there is no key `{unknown[0]}`; there are {known}")
    return found


def parse_values(keys: Sequence[Key], values: Mapping[str, object]) -> dict[str, Any]:
    """Return the parsed value of each key, its default where `values` has none or None.

    Raises:
        InvalidConfiguration: a key is missing or malformed; it is named.
    """
    parsed: dict[str, Any] = {}
    for key in keys:
        value = values.get(key.name)
        if value is None:
            if key.default is None:
                raise InvalidConfiguration(detail=f"{key.name}: it is not given, and has no default")
            value = key.default
        parsed[key.name] = key.parse(key.name, value)
    return parsed


def text(key: str, value: object) -> str:
    """Read text."""
    if not isinstance(value, str):
        raise InvalidConfiguration(detail=f"{key}: `{value}` is not text")
    return value


def boolean(key: str, value: object) -> bool:
    """Read true or false, in the words that environment variables have for them too."""
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "1", "yes", "on"):
        return True
    if str(value).lower() in ("false", "0", "no", "off"):
        return False
    raise InvalidConfiguration(detail=f"{key}: `{value}` is neither true nor false")


def whole(least: int, most: int) -> Callable[[str, object], int]:
    """Return a parser of whole numbers."""

    def parse(key: str, value: object) -> int:
        try:
            # `str` of True is no number.
            number = int(str(value))
        except ValueError:
            raise InvalidConfiguration(detail=f"{key}: `{value}` is not a whole number") from None
        if not least <= number <= most:
            raise InvalidConfiguration(detail=f"{key}: {number} is not between {least} and {most}")
        return number

    return parse


def parse_duration(key: str, value: object) -> int:
    """Return the milliseconds of `30s`, `500ms`, `2m`, `1h`, or a number of seconds."""
    found = None if isinstance(value, bool) else _DURATION.fullmatch(str(value).strip())
    if found is None:
        raise InvalidConfiguration(detail=f"{key}: `{value}` is not a duration such as 30s, 500ms or 2m")
    return round(float(found[1]) * _UNITS_MS[found[2]])


def milliseconds(least: int, most: int) -> Callable[[str, object], int]:
    """Return a parser of durations, which gives milliseconds."""

    def parse(key: str, value: object) -> int:
        duration = parse_duration(key, value)
        if not least <= duration <= most:
            detail = f"{key}: `{value}` is not between {least / 1000:g}s and {most / 1000:g}s"
            raise InvalidConfiguration(detail=detail)
        return duration

    return parse


def size(key: str, value: object) -> int:
    """Read an amount of bytes, as in 512MiB."""
    try:
        return size_bytes(str(value))
    except ValueError as error:
        raise InvalidConfiguration(detail=f"{key}: {error}") from error


def seconds(key: str, value: object) -> float:
    """Read a duration up to a day, and return its seconds."""
    return milliseconds(0, DAY_MS)(key, value) / 1000


def choice(*choices: str) -> Callable[[str, object], str]:
    """Return a parser of one of some words."""

    def parse(key: str, value: object) -> str:
        if value not in choices:
            raise InvalidConfiguration(detail=f"{key}: `{value}` is none of {', '.join(choices)}")
        return str(value)

    return parse


LOG_KEYS = (
    Key("log_format", choice("console", "json"), "console", "How log lines look: console or json."),
    Key("log_level", choice("debug", "info", "warning", "error"), "info", "debug, info, warning or error."),
)
