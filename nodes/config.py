"""The configuration of a node daemon: one list of keys, for the file, the flags and the environment."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodes.members import parse_address, parse_members, parse_node_id
from quiesce.errors import InvalidConfiguration

DEFAULT_BASE_PORT = 7100
_CLUSTER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """What a node daemon is told; the keys of the same names are described in `KEYS`."""

    node_id: int
    data: Path
    listen: str
    advertise: str
    # Empty where the data directory, or a restore, says it.
    members: Mapping[int, str]
    cluster_id: str
    backup_priority: int
    await_restore: bool
    log_format: str
    log_level: str
    tick_ms: int
    heartbeat_ticks: int
    election_ticks: int
    require_leader_within: float
    max_requests: int
    max_scans: int
    max_lag_entries: int
    drain_grace: float
    stop_grace: float


@dataclass(frozen=True, slots=True)
class Key:
    """One key: how it is read, what it is where it is not given, what it means. `default` None: it must be given."""

    name: str
    parse: Callable[[str, object], Any]
    default: object
    help: str
    flag: bool = False


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidConfiguration(detail=f"{key}: `{value}` is not text")
    return value


def _path(key: str, value: object) -> Path:
    if isinstance(value, Path):
        return value
    if not _text(key, value):
        raise InvalidConfiguration(detail=f"{key}: it is empty")
    return Path(str(value)).expanduser()


def _address(key: str, value: object) -> str:
    return parse_address(key, _text(key, value)) if value else ""


def _members(key: str, value: object) -> Mapping[int, str]:
    return parse_members(key, value) if value else {}


def _cluster_id(key: str, value: object) -> str:
    text = _text(key, value)
    if text and not _CLUSTER_ID.fullmatch(text):
        raise InvalidConfiguration(detail=f"{key}: `{text}` is not 1 to 64 letters, digits, `_` or `-`")
    return text


def _boolean(key: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "1", "yes", "on"):
        return True
    if str(value).lower() in ("false", "0", "no", "off"):
        return False
    raise InvalidConfiguration(detail=f"{key}: `{value}` is neither true nor false")


def _whole(least: int, most: int) -> Callable[[str, object], int]:
    def parse(key: str, value: object) -> int:
        try:
            number = int(str(value))
        except ValueError:
            raise InvalidConfiguration(detail=f"{key}: `{value}` is not a whole number") from None
        if not least <= number <= most:
            raise InvalidConfiguration(detail=f"{key}: {number} is not between {least} and {most}")
        return number

    return parse


def _seconds(key: str, value: object) -> float:
    try:
        number = float(str(value))
    except ValueError:
        raise InvalidConfiguration(detail=f"{key}: `{value}` is not a number of seconds") from None
    if not 0 <= number <= 86_400:
        raise InvalidConfiguration(detail=f"{key}: {value} is not between 0 and 86400 seconds")
    return number


def _choice(*choices: str) -> Callable[[str, object], str]:
    def parse(key: str, value: object) -> str:
        if value not in choices:
            raise InvalidConfiguration(detail=f"{key}: `{value}` is none of {', '.join(choices)}")
        return str(value)

    return parse


KEYS = (
    Key("node_id", parse_node_id, None, "This node's id, unique in the cluster for ever."),
    Key("data", _path, None, "The data directory; made where it is missing."),
    Key("listen", _address, "", "host:port to listen on, for clients and peers. Default 127.0.0.1:<7100 + node id>."),
    Key("advertise", _address, "", "host:port under which others reach this node. Default: its address in `members`."),
    Key("members", _members, "", "All nodes of a new cluster: 1=host:port,2=host:port,…, this one included."),
    Key("cluster_id", _cluster_id, "", "The id of a new cluster, the same on all its nodes."),
    Key("backup_priority", _whole(-1000, 1000), 0, "Backups prefer the node with the highest."),
    Key("await_restore", _boolean, False, "Where the data directory is empty, wait for a snapshot.", flag=True),
    Key("log_format", _choice("console", "json"), "console", "How log lines look: console or json."),
    Key("log_level", _choice("debug", "info", "warning", "error"), "info", "debug, info, warning or error."),
    Key("tick_ms", _whole(10, 10_000), 50, "Milliseconds of one tick of the consensus clock."),
    Key("heartbeat_ticks", _whole(1, 100), 2, "Ticks between a leader's heartbeats."),
    Key("election_ticks", _whole(2, 1000), 20, "Ticks without a leader before an election; ten heartbeats at least."),
    Key("require_leader_within", _seconds, 0.0, "Exit when there is no leader after so many seconds; 0: keep trying."),
    Key("max_requests", _whole(1, 1_000_000), 4096, "Client requests in flight; more are refused."),
    Key("max_scans", _whole(1, 10_000), 64, "Scans among them: each pins a view of the store."),
    Key("max_lag_entries", _whole(1, 1_000_000_000), 10_000, "No node is drained while a voter is further behind."),
    Key("drain_grace", _seconds, 5.0, "Seconds that running reads get when the node leaves rotation."),
    Key("stop_grace", _seconds, 5.0, "Seconds that running calls get when the daemon is stopped."),
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


def node_config(values: Mapping[str, object]) -> NodeConfig:
    """Return the configuration that the values make, with defaults for those that are missing or None.

    Raises:
        InvalidConfiguration: a key is missing, malformed, or does not fit another; it is named.
    """
    parsed: dict[str, Any] = {}
    for key in KEYS:
        value = values.get(key.name)
        if value is None:
            if key.default is None:
                raise InvalidConfiguration(detail=f"{key.name}: it is not given, and has no default")
            value = key.default
        parsed[key.name] = key.parse(key.name, value)
    node_id, members = parsed["node_id"], parsed["members"]
    if members and node_id not in members:
        raise InvalidConfiguration(detail=f"members: node {node_id} itself (node_id) is not among them")
    parsed["listen"] = parsed["listen"] or parse_address("listen", f"127.0.0.1:{DEFAULT_BASE_PORT + node_id}")
    parsed["advertise"] = parsed["advertise"] or members.get(node_id) or parsed["listen"]
    if members and members[node_id] != parsed["advertise"]:
        raise InvalidConfiguration(
            detail=f"advertise: {parsed['advertise']} is not this node's address in members, {members[node_id]}"
        )
    if parsed["election_ticks"] < 10 * parsed["heartbeat_ticks"]:
        raise InvalidConfiguration(
            detail="election_ticks: less than ten times heartbeat_ticks loses leaders needlessly"
        )
    return NodeConfig(**parsed)
