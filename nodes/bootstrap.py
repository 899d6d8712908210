"""Who a node is when it starts: as its data directory says, or as a new one's configuration does."""

from __future__ import annotations

import structlog

from nodes.config import NodeConfig
from nodes.consensus import initialise_log
from nodes.data_directory import DataDirectory
from nodes.identity import Identity, write_identity
from nodes.members import format_members
from quiesce.errors import InvalidConfiguration

_log = structlog.get_logger("bootstrap")


def check_new(config: NodeConfig) -> None:
    """Check that a configuration says all that a new node needs.

    Raises:
        InvalidConfiguration: `members` or `cluster_id` is missing.
    """
    for key, value in (("members", config.members), ("cluster_id", config.cluster_id)):
        if not value:
            raise InvalidConfiguration(detail=f"{key}: it is not given, and {config.data} holds no node that says it")


def bootstrap(config: NodeConfig, data: DataDirectory) -> Identity:
    """Make an empty data directory that of a new cluster's node. A crash on the way leaves one that begins anew.

    Raises:
        InvalidConfiguration: `members` or `cluster_id` is missing.
        DirectoryNotEmpty: there is something in it.
        DiskFailed: the disk refused.
    """
    check_new(config)
    identity = Identity(config.node_id, config.cluster_id, dict(config.members))
    data.begin()
    initialise_log(data.raft, voters=sorted(identity.members))
    write_identity(data.path, identity)
    data.finished()
    _log.info("new node", cluster_id=identity.cluster_id, members=format_members(identity.members))
    return identity


def confirm_identity(config: NodeConfig, data: DataDirectory, found: Identity) -> Identity:
    """Return the identity of a directory that holds a node, with the addresses that the configuration gives.

    Raises:
        InvalidConfiguration: the configuration means another node, another cluster or other members.
        DiskFailed: the new addresses could not be written.
    """
    data.finished()
    if found.node_id != config.node_id:
        raise InvalidConfiguration(detail=f"node_id: it is {config.node_id}, and {data.path} is node {found.node_id}'s")
    if config.cluster_id and found.cluster_id != config.cluster_id:
        raise InvalidConfiguration(
            detail=f"cluster_id: it is {config.cluster_id}, and {data.path} belongs to {found.cluster_id}"
        )
    if not config.members or dict(config.members) == dict(found.members):
        return found
    if set(config.members) != set(found.members):
        raise InvalidConfiguration(
            detail=f"members: they are {format_members(config.members)}, "
            f"and those that {data.path} knows are {format_members(found.members)}"
        )
    identity = Identity(found.node_id, found.cluster_id, dict(config.members))
    write_identity(data.path, identity)
    _log.info("addresses changed", members=format_members(identity.members))
    return identity
