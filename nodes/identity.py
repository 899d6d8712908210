"""Who a data directory belongs to: `identity.json`, the last thing a bootstrap or a restore writes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nodes.members import parse_members, parse_node_id
from quiesce.errors import DamagedStore, InvalidConfiguration, disk_failed
from quiesce.snapshot import MalformedObject
from quiesce.snapshot.sealed import seal, unseal

FILE_NAME = "identity.json"
_FORMAT = 2
# Of clusters whose members could not change: what it says of them is what their configuration said. It had no checksum.
_FORMAT_OF_FIXED_MEMBERS = 1


@dataclass(frozen=True, slots=True)
class Identity:
    """A node of a cluster.

    `members` is address by node id, this node's among them, as it was founded, restored or joined: where to begin while
    the replicated membership is not there. `configured` is what the configuration named as members when that was last
    taken in; empty where it never named any. `removed` is for ever.
    """

    node_id: int
    cluster_id: str
    members: Mapping[int, str]
    configured: Mapping[int, str] = field(default_factory=dict)
    removed: bool = False


def read_identity(directory: Path) -> Identity | None:
    """Return the identity of a data directory, or None where it holds no finished node.

    Raises:
        DamagedStore: the file is there and cannot be understood.
    """
    path = directory / FILE_NAME
    try:
        found = _unsealed(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise disk_failed("read", path, error) from error
    except (MalformedObject, ValueError) as error:
        raise DamagedStore(path=path, detail=str(error)) from error
    try:
        identity = _parsed(path, found)
    except (KeyError, TypeError, AttributeError, InvalidConfiguration) as error:
        raise DamagedStore(path=path, detail=f"{type(error).__name__}: {error}") from error
    if identity.node_id not in identity.members or not identity.cluster_id:
        raise DamagedStore(path=path, detail="it names no cluster, or not this node among the members")
    return identity


def _parsed(path: Path, found: Mapping[str, Any]) -> Identity:
    if found["format"] not in (_FORMAT, _FORMAT_OF_FIXED_MEMBERS):
        raise DamagedStore(path=path, detail=f"format {found['format']} is not known to this version")
    members = parse_members("members", found["members"])
    node_id, cluster_id = parse_node_id("node_id", found["node_id"]), str(found["cluster_id"])
    if found["format"] == _FORMAT_OF_FIXED_MEMBERS:
        return Identity(node_id, cluster_id, members, members)
    return Identity(
        node_id, cluster_id, members, parse_members("configured", found["configured"]), found["removed"] is True
    )


def write_identity(directory: Path, identity: Identity) -> None:
    """Write the identity so that after a crash it is there whole, or as it was before.

    Raises:
        DiskFailed: it could not be brought to disk.
    """
    path, part = directory / FILE_NAME, directory / f"{FILE_NAME}.part"
    content = {
        "format": _FORMAT,
        "node_id": identity.node_id,
        "cluster_id": identity.cluster_id,
        "members": {str(node): address for node, address in sorted(identity.members.items())},
        "configured": {str(node): address for node, address in sorted(identity.configured.items())},
        "removed": identity.removed,
    }
    try:
        with part.open("wb") as file:
            file.write(seal(content))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        fsync_directory(directory)
    except OSError as error:
        raise disk_failed("write", path, error) from error


def _unsealed(data: bytes) -> Any:
    """Return what the file says; only the first format has no checksum."""
    try:
        return unseal(data)
    except MalformedObject:
        found = json.loads(data)
        if isinstance(found, dict) and found.get("format") == _FORMAT_OF_FIXED_MEMBERS and "checksum" not in found:
            return found
        raise


def fsync_directory(directory: Path) -> None:
    """Bring names made or removed in a directory to disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
