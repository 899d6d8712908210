"""The configuration of a coordinator: one list of keys, for the file, the flags and the environment."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coordinator.job import Policy
from coordinator.jobs import GREATEST_LEASE_MS, LEAST_LEASE_MS
from quiesce.errors import InvalidConfiguration

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h)?")
_UNITS_MS = {"ms": 1, "s": 1_000, None: 1_000, "m": 60_000, "h": 3_600_000}


@dataclass(frozen=True, slots=True)
class CoordinatorConfig:
    """What a coordinator is told; the keys of the same names are described in `KEYS`."""

    listen: str
    cluster: Sequence[str]
    # Empty: every request must name one.
    repository: str
    policy: Policy
    log_format: str
    log_level: str


@dataclass(frozen=True, slots=True)
class Key:
    """One key: how it is read, what it is where it is not given, what it means. `default` None: it must be given."""

    name: str
    parse: Callable[[str, object], Any]
    default: object
    help: str


def parse_duration(key: str, value: object) -> int:
    """Return the milliseconds of `30s`, `500ms`, `2m`, `1h`, or a number of seconds.

    Raises:
        InvalidConfiguration: it is none of these.
    """
    found = None if isinstance(value, bool) else _DURATION.fullmatch(str(value).strip())
    if found is None:
        raise InvalidConfiguration(detail=f"{key}: `{value}` is not a duration such as 30s, 500ms or 2m")
    return round(float(found[1]) * _UNITS_MS[found[2]])


def _between(least: int, most: int) -> Callable[[str, object], int]:
    def parse(key: str, value: object) -> int:
        duration = parse_duration(key, value)
        if not least <= duration <= most:
            detail = f"{key}: `{value}` is not between {least / 1000:g}s and {most / 1000:g}s"
            raise InvalidConfiguration(detail=detail)
        return duration

    return parse


def _address(key: str, value: object) -> str:
    host, _, port = str(value).strip().rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise InvalidConfiguration(detail=f"{key}: `{value}` is not host:port")
    return f"{host}:{port}"


def _addresses(key: str, value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, list | tuple) else str(value).split(",")
    found = tuple(dict.fromkeys(_address(key, item) for item in listed if str(item).strip()))
    if not found:
        raise InvalidConfiguration(detail=f"{key}: it names no address")
    return found


def _repository(key: str, value: object) -> str:
    if not isinstance(value, str | Path):
        raise InvalidConfiguration(detail=f"{key}: `{value}` is not a path")
    # Nodes are told the path, and run elsewhere: it must mean the same to them.
    return str(Path(value).expanduser().absolute()) if str(value) else ""


def _attempts(key: str, value: object) -> int:
    if isinstance(value, bool) or not str(value).isdigit() or not 1 <= int(str(value)) <= 10:
        raise InvalidConfiguration(detail=f"{key}: `{value}` is not a number from 1 to 10")
    return int(str(value))


def _choice(*choices: str) -> Callable[[str, object], str]:
    def parse(key: str, value: object) -> str:
        if value not in choices:
            raise InvalidConfiguration(detail=f"{key}: `{value}` is none of {', '.join(choices)}")
        return str(value)

    return parse


_wait = _between(1_000, 24 * 3_600_000)
KEYS = (
    Key("listen", _address, "127.0.0.1:7100", "host:port to listen on."),
    Key("cluster", _addresses, "127.0.0.1:7101,127.0.0.1:7102,127.0.0.1:7103", "host:port of the cluster's nodes."),
    Key("repository", _repository, "", "The directory for snapshots where a request names none; nodes must see it."),
    Key("lease", _between(LEAST_LEASE_MS, GREATEST_LEASE_MS), "30s", "A replica is back within it, whatever dies."),
    Key("drain_timeout", _wait, "60s", "How long running calls of the replica may take."),
    Key("checkpoint_timeout", _wait, "60s", "How long the replica may take to reach the mark."),
    Key("stall_timeout", _wait, "2m", "How long a snapshot may stand still."),
    Key("publish_timeout", _wait, "2m", "How long writing the manifest may take."),
    Key("recover_timeout", _wait, "20s", "How long to wait for a whole cluster before another replica is tried."),
    Key("attempts", _attempts, 3, "How many replicas one job may try."),
    Key("log_format", _choice("console", "json"), "console", "How log lines look: console or json."),
    Key("log_level", _choice("debug", "info", "warning", "error"), "info", "debug, info, warning or error."),
)


def read_toml(path: Path) -> dict[str, object]:
    """Return the keys of a configuration file.

    Raises:
        InvalidConfiguration: it cannot be read, is not TOML, or has a key that does not exist.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidConfiguration(detail=f"{path}: {error}") from error
    unknown = sorted(set(found) - {key.name for key in KEYS})
    if unknown:
        known = ", ".join(key.name for key in KEYS)
        raise InvalidConfiguration(detail=f"{path}: there is no key `{unknown[0]}`; there are {known}")
    return found


def coordinator_config(values: Mapping[str, object]) -> CoordinatorConfig:
    """Return the configuration that the values make, with defaults for those that are missing or None.

    Raises:
        InvalidConfiguration: a value is malformed; its key is named.
    """
    parsed = {}
    for key in KEYS:
        value = values.get(key.name)
        parsed[key.name] = key.parse(key.name, key.default if value is None else value)
    policy = Policy(
        lease_ms=parsed["lease"],
        drain_ms=parsed["drain_timeout"],
        checkpoint_ms=parsed["checkpoint_timeout"],
        stall_ms=parsed["stall_timeout"],
        publish_ms=parsed["publish_timeout"],
        recover_ms=parsed["recover_timeout"],
        attempts=parsed["attempts"],
    )
    return CoordinatorConfig(
        listen=parsed["listen"],
        cluster=parsed["cluster"],
        repository=parsed["repository"],
        policy=policy,
        log_format=parsed["log_format"],
        log_level=parsed["log_level"],
    )
