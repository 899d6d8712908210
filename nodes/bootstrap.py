"""Who a node is when it starts: as its data directory says, or as a new one's configuration does."""

from __future__ import annotations

import structlog

from nodes.config import NodeConfig
from nodes.consensus import initialise_log
from nodes.data_directory import DataDirectory
from nodes.founding import begin_meeting
from nodes.identity import Identity, write_identity
from nodes.members import format_members
from nodes.rolled_back import check_not_rolled_back
from nodes.statemachine.membership import MOST_VOTERS
from quiesce.errors import InvalidConfiguration, NodeRemoved

_log = structlog.get_logger("bootstrap")


def check_new(config: NodeConfig) -> None:
    """Check that a configuration says all that a new node needs.

    Raises:
        InvalidConfiguration: `members` or `cluster_id` is missing, or there are too many members.
    """
    for key, value in (("members", config.members), ("cluster_id", config.cluster_id)):
        if not value:
            raise InvalidConfiguration(detail=f"{key}: it is not given, and {config.data} holds no node that says it")
    if len(config.members) > MOST_VOTERS:
        raise InvalidConfiguration(
            detail=f"members: there are {len(config.members)}, and a cluster has {MOST_VOTERS} voting nodes at most"
        )


def bootstrap(config: NodeConfig, data: DataDirectory) -> Identity:
    """Make an empty data directory that of a new cluster's node. A crash on the way leaves one that begins anew.

    Raises:
        InvalidConfiguration: `members` or `cluster_id` is missing.
        DirectoryNotEmpty: there is something in it.
        DiskFailed: the disk refused.
    """
    check_new(config)
    members = dict(config.members)
    identity = Identity(config.node_id, config.cluster_id, members, members)
    data.begin()
    initialise_log(data.raft, voters=sorted(members))
    if len(identity.members) > 1:
        begin_meeting(data.path)
    write_identity(data.path, identity)
    data.finished()
    _log.info("new node", cluster_id=identity.cluster_id, members=format_members(members))
    return identity


def confirm_identity(config: NodeConfig, data: DataDirectory, found: Identity) -> Identity:
    """Return the identity of a directory that holds a node, once it is the one that the configuration means.

    Which members the configuration names is looked at when the store is open: it knows them better.

    Raises:
        NodeRemoved: it was a member, and is none any more.
        LogRolledBack: it lacks what it had acknowledged, as was found when it ran.
        InvalidConfiguration: the configuration means another node or another cluster.
    """
    data.finished()
    if found.node_id != config.node_id:
        raise InvalidConfiguration(detail=f"node_id: it is {config.node_id}, and {data.path} is node {found.node_id}'s")
    if config.cluster_id and found.cluster_id != config.cluster_id:
        raise InvalidConfiguration(
            detail=f"cluster_id: it is {config.cluster_id}, and {data.path} belongs to {found.cluster_id}"
        )
    check_not_rolled_back(data.path)
    if found.removed:
        raise NodeRemoved(node_id=found.node_id, cluster_id=found.cluster_id)
    return found
