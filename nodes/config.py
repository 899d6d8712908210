"""The configuration of a node daemon: one list of keys, for the file, the flags and the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nodes.members import parse_address, parse_cluster_id, parse_members, parse_node_id
from quiesce.daemon.configuration import LOG_KEYS, Key, boolean, parse_values, seconds, size, text, whole
from quiesce.errors import InvalidConfiguration

DEFAULT_BASE_PORT = 7100
# A slower sender would pass for one that hangs.
_LEAST_RATE = 1 << 18


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """What a node daemon is told; the keys of the same names are described in `KEYS`."""

    node_id: int
    data: Path
    listen: str
    advertise: str
    # Empty: no metrics.
    metrics: str
    # Empty where the data directory, or a restore, says it.
    members: Mapping[int, str]
    cluster_id: str
    # Addresses of members of the cluster that a new node is to join; empty: it joins none.
    join: tuple[str, ...]
    backup_priority: int
    nobackup: bool
    await_restore: bool
    log_format: str
    log_level: str
    tick_ms: int
    heartbeat_ticks: int
    election_ticks: int
    require_leader_within: float
    max_requests: int
    max_scans: int
    scan_stall: float
    max_lag_entries: int
    checkpoint_rate: int
    # Bytes; None: the default, which depends on the disk.
    disk_reserve: int | None
    drain_grace: float
    stop_grace: float


def _path(key: str, value: object) -> Path:
    if isinstance(value, Path):
        return value
    if not text(key, value):
        raise InvalidConfiguration(detail=f"{key}: it is empty")
    return Path(str(value)).expanduser()


def _address(key: str, value: object) -> str:
    return parse_address(key, text(key, value)) if value else ""


def _members(key: str, value: object) -> Mapping[int, str]:
    return parse_members(key, value) if value else {}


def _join(key: str, value: object) -> tuple[str, ...]:
    parts = value if isinstance(value, list | tuple) else text(key, value).split(",") if value else ()
    return tuple(dict.fromkeys(parse_address(key, text(key, part)) for part in parts))


def _cluster_id(key: str, value: object) -> str:
    found = text(key, value)
    return parse_cluster_id(key, found) if found else ""


def _rate(key: str, value: object) -> int:
    """Read bytes a second, 0 for no limit."""
    found: int = whole(0, 1 << 40)(key, value)
    if 0 < found < _LEAST_RATE:
        raise InvalidConfiguration(detail=f"{key}: {found} is less than {_LEAST_RATE} bytes a second")
    return found


def _reserve(key: str, value: object) -> int | None:
    return None if value == "" else size(key, value)


KEYS = (
    Key("node_id", parse_node_id, None, "This node's id, unique in the cluster for ever."),
    Key("data", _path, None, "The data directory; made where it is missing."),
    Key("listen", _address, "", "host:port to listen on, for clients and peers. Default 127.0.0.1:<7100 + node id>."),
    Key("advertise", _address, "", "host:port under which others reach this node. Default: its address in `members`."),
    Key("metrics", _address, "", "host:port at which Prometheus finds metrics, under /metrics."),
    Key("members", _members, "", "All nodes of a new cluster: 1=host:port,2=host:port,…, this one included."),
    Key("cluster_id", _cluster_id, "", "The id of a new cluster, the same on all its nodes."),
    Key("join", _join, "", "host:port,… of any members: a new node joins their cluster, once it was added there."),
    Key("backup_priority", whole(-1000, 1000), 0, "Backups prefer the node with the highest."),
    Key("nobackup", boolean, False, "Backups do not choose this node; `backup --node` still takes it.", flag=True),
    Key("await_restore", boolean, False, "Where the data directory is empty, wait for a snapshot.", flag=True),
    *LOG_KEYS,
    Key("tick_ms", whole(10, 10_000), 50, "Milliseconds of one tick of the consensus clock."),
    Key("heartbeat_ticks", whole(1, 100), 2, "Ticks between a leader's heartbeats."),
    Key("election_ticks", whole(2, 1000), 20, "Ticks without a leader before an election; ten heartbeats at least."),
    Key("require_leader_within", seconds, "0s", "Exit when there is no leader after so long; 0s: keep trying."),
    Key("max_requests", whole(1, 1_000_000), 4096, "Client requests in flight; more are refused."),
    Key("max_scans", whole(1, 10_000), 64, "Scans among them: each pins a view of the store."),
    Key("scan_stall", seconds, "60s", "A scan whose caller takes nothing for so long is ended."),
    Key("max_lag_entries", whole(1, 1_000_000_000), 10_000, "No node is drained while a voter is further behind."),
    Key("checkpoint_rate", _rate, 32 << 20, "Bytes a second of checkpoints for followers far behind; 0: no limit."),
    Key("disk_reserve", _reserve, "", "What stays free on the disk, like 512MiB. Default 1GiB, 5 % of a small disk."),
    Key("drain_grace", seconds, "5s", "What running reads get when the node leaves rotation."),
    Key("stop_grace", seconds, "5s", "What running calls get when the daemon is stopped."),
)


def node_config(values: Mapping[str, object]) -> NodeConfig:
    """Return the configuration that the values make, with defaults for those that are missing or None.

    Raises:
        InvalidConfiguration: a key is missing, malformed, or does not fit another; it is named.
    """
    parsed = parse_values(KEYS, values)
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
