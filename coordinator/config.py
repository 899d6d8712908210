"""The configuration of a coordinator: one list of keys, for the file, the flags and the environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coordinator.drills.scratch import default_scratch
from coordinator.job import Policy
from coordinator.job.impact import GREATEST_BUDGET_MS
from coordinator.jobs import GREATEST_LEASE_MS, LEAST_LEASE_MS
from coordinator.transfer.spool import default_spool
from quiesce.daemon.configuration import DAY_MS, LOG_KEYS, Key, milliseconds, parse_values, size, whole
from quiesce.errors import InvalidConfiguration


@dataclass(frozen=True, slots=True)
class CoordinatorConfig:
    """What a coordinator is told; the keys of the same names are described in `KEYS`."""

    listen: str
    # Empty: as `listen` says.
    advertise: str
    cluster: Sequence[str]
    # Empty: no metrics.
    metrics: str
    # Empty: every request must name one.
    repository: str
    # Where throw-away nodes of drills live.
    drill_directory: Path
    # Where files of transfers lie meanwhile, how many bytes of them together, and how many transfers at a time.
    transfer_directory: Path
    transfer_limit: int
    transfers: int
    policy: Policy
    garbage_grace_ms: int
    log_format: str
    log_level: str


def _address(key: str, value: object) -> str:
    host, _, port = str(value).strip().rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise InvalidConfiguration(detail=f"{key}: `{value}` is not host:port")
    return f"{host}:{port}"


def _optional_address(key: str, value: object) -> str:
    return _address(key, value) if str(value).strip() else ""


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


def _directory(key: str, value: object) -> Path | None:
    if not isinstance(value, str | Path):
        raise InvalidConfiguration(detail=f"{key}: `{value}` is not a path")
    return Path(value).expanduser().absolute() if str(value) else None


def _budget(key: str, value: object) -> int:
    text = str(value).strip()
    if text[-1:].isdigit():
        # Elsewhere that would be seconds; here milliseconds may well be meant.
        raise InvalidConfiguration(detail=f"{key}: `{value}` has no unit; one looks like 50ms")
    return milliseconds(1, GREATEST_BUDGET_MS)(key, text) if text else 0


_wait = milliseconds(1_000, DAY_MS)
KEYS = (
    Key("listen", _address, "127.0.0.1:7100", "host:port to listen on."),
    Key("advertise", _optional_address, "", "host:port at which clients and other coordinators are told to reach it."),
    Key("metrics", _optional_address, "", "host:port at which Prometheus finds metrics, under /metrics."),
    Key("cluster", _addresses, "127.0.0.1:7101,127.0.0.1:7102,127.0.0.1:7103", "host:port of the cluster's nodes."),
    Key("repository", _repository, "", "The directory for snapshots where a request names none; nodes must see it."),
    Key("drill_directory", _directory, "", "Where drills restore snapshots to; otherwise where temporary files are."),
    Key("transfer_directory", _directory, "", "Where files of transfers lie; otherwise where temporary files are."),
    Key("transfer_limit", size, "16GiB", "Bytes of all files of transfers together."),
    Key("transfers", whole(0, 64), 2, "Imports and exports by way of this coordinator at a time; 0: none."),
    Key("lease", milliseconds(LEAST_LEASE_MS, GREATEST_LEASE_MS), "30s", "A replica is back within it, whatever dies."),
    Key("latency_budget", _budget, "", "What clients may wait, in 99 calls of 100, where a backup says nothing of it."),
    Key("drain_timeout", _wait, "60s", "How long running calls of the replica may take."),
    Key("checkpoint_timeout", _wait, "60s", "How long the replica may take to reach the mark."),
    Key("stall_timeout", _wait, "2m", "How long a snapshot may stand still."),
    Key("publish_timeout", _wait, "2m", "How long writing the manifest may take."),
    Key("recover_timeout", _wait, "20s", "How long to wait for a whole cluster before another replica is tried."),
    Key("attempts", whole(1, 10), 3, "How many replicas one job may try."),
    Key("garbage_grace", milliseconds(3_600_000, 365 * DAY_MS), "24h", "How long what no snapshot needs is kept."),
    *LOG_KEYS,
)


def coordinator_config(values: Mapping[str, object]) -> CoordinatorConfig:
    """Return the configuration that the values make, with defaults for those that are missing or None.

    Raises:
        InvalidConfiguration: a value is malformed; its key is named.
    """
    parsed = parse_values(KEYS, values)
    policy = Policy(
        lease_ms=parsed["lease"],
        latency_budget_ms=parsed["latency_budget"],
        drain_ms=parsed["drain_timeout"],
        checkpoint_ms=parsed["checkpoint_timeout"],
        stall_ms=parsed["stall_timeout"],
        publish_ms=parsed["publish_timeout"],
        recover_ms=parsed["recover_timeout"],
        attempts=parsed["attempts"],
    )
    return CoordinatorConfig(
        listen=parsed["listen"],
        advertise=parsed["advertise"],
        metrics=parsed["metrics"],
        cluster=parsed["cluster"],
        repository=parsed["repository"],
        drill_directory=parsed["drill_directory"] or default_scratch(parsed["listen"]),
        transfer_directory=parsed["transfer_directory"] or default_spool(parsed["listen"]),
        transfer_limit=parsed["transfer_limit"],
        transfers=parsed["transfers"],
        policy=policy,
        garbage_grace_ms=parsed["garbage_grace"],
        log_format=parsed["log_format"],
        log_level=parsed["log_level"],
    )
