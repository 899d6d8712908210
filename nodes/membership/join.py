"""A new node that joins a cluster: it waits until it is among the members, and then begins with nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

import structlog

from nodes.config import NodeConfig
from nodes.consensus import initialise_log
from nodes.data_directory import DataDirectory
from nodes.identity import Identity, write_identity
from nodes.members import format_members
from quiesce.client import direct
from quiesce.client.connections import Connections
from quiesce.errors import (
    InvalidConfiguration,
    NodeIdTaken,
    NodeRemoved,
    PeersUnreachable,
    QuiesceError,
    WrongCluster,
)
from quiesce.v1 import node_pb2

_ASK_S = 2.0
_PAUSE_S = 0.5
_SAY_S = 10.0
_log = structlog.get_logger("join")


def check_join(config: NodeConfig) -> None:
    """Check that a configuration can be that of a node that joins.

    Raises:
        InvalidConfiguration: it says what only the cluster can say, or names nobody else.
    """
    for key, given in (("members", bool(config.members)), ("await_restore", config.await_restore)):
        if given:
            raise InvalidConfiguration(
                detail=f"join: a node that joins a cluster learns all from it; leave {key} out, or join"
            )
    if set(config.join) == {config.advertise}:
        raise InvalidConfiguration(detail=f"join: {config.advertise} is this node itself; name a member")


def admitted(config: NodeConfig, answer: node_pb2.MembersResponse) -> Identity | None:
    """Return who the node is, by what a member said of the cluster; None while it has to wait.

    Only the leader's word counts, by which each node's progress stands: another node may not know yet.

    Raises:
        WrongCluster: it is not the one that the configuration names.
        NodeRemoved: the id was a member's that was removed.
        NodeIdTaken: the id is that of a node that has been there.
        InvalidConfiguration: the node was added under another address than its own.
    """
    if config.cluster_id and answer.cluster_id != config.cluster_id:
        raise WrongCluster(actual=answer.cluster_id, expected=config.cluster_id)
    if config.node_id in answer.removed_node_ids:
        raise NodeRemoved(node_id=config.node_id, cluster_id=answer.cluster_id)
    members = {member.node_id: member for member in answer.members}
    me = members.get(config.node_id)
    if me is None or not any(member.HasField("match_index") for member in members.values()):
        return None
    if not me.learner or me.match_index:
        # It has forgotten what it acknowledged, and the leader counts on that.
        raise NodeIdTaken(
            node_id=config.node_id,
            detail=f"the node at {me.address} has taken part already, and {config.data} holds nothing of it. "
            f"If its data is lost, remove it: quiesce nodes remove {config.node_id}",
        )
    if me.address != config.advertise:
        raise InvalidConfiguration(
            detail=f"advertise: it is {config.advertise}, and node {config.node_id} was added at {me.address}. "
            f"Start it with --advertise {me.address}, or run: quiesce nodes address {config.node_id}={config.advertise}"
        )
    return Identity(config.node_id, answer.cluster_id, {node: member.address for node, member in members.items()})


async def join(config: NodeConfig, data: DataDirectory, stop: asyncio.Event) -> Identity | None:
    """Wait until a cluster has this node, then make the data directory its; None where it was stopped before.

    A crash on the way leaves a directory that begins anew: nobody has counted on anything of it.

    Raises:
        PeersUnreachable: no leader within the time required.
        WrongCluster, NodeRemoved, NodeIdTaken, InvalidConfiguration: it cannot join.
        DirectoryNotEmpty: there is something in the directory.
        DiskFailed: the disk refused.
    """
    waiting = asyncio.ensure_future(_wait(config, time.monotonic))
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([waiting, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            return None
        identity = waiting.result()
    finally:
        for task in (waiting, stopped):
            task.cancel()
        await asyncio.gather(waiting, stopped, return_exceptions=True)
    data.begin()
    # Behind whatever the cluster's log still has: the leader sends a checkpoint, and says with it who votes.
    initialise_log(data.raft, index=0, term=0, voters=())
    write_identity(data.path, identity)
    data.finished()
    _log.info("joined", cluster_id=identity.cluster_id, members=format_members(identity.members))
    return identity


async def _wait(config: NodeConfig, monotonic: Callable[[], float]) -> Identity:
    connections = Connections()
    started = said = monotonic()
    addresses = [address for address in config.join if address != config.advertise]
    led = False
    _log.info("joining", asking=", ".join(addresses), node=f"{config.node_id}={config.advertise}")
    try:
        while True:
            answers, errors = await _ask(connections, addresses)
            clusters = {answer.cluster_id for answer in answers}
            if len(clusters) > 1:
                raise InvalidConfiguration(detail=f"join: the nodes are of different clusters, {', '.join(clusters)}")
            for answer in answers:
                led = led or bool(answer.leader_id)
                if (identity := admitted(config, answer)) is not None:
                    return identity
            # The leader need not be among those that were named.
            known = (member.address for answer in answers for member in answer.members)
            addresses = [address for address in dict.fromkeys([*config.join, *known]) if address != config.advertise]
            now = monotonic()
            if config.require_leader_within and not led and now - started >= config.require_leader_within:
                raise PeersUnreachable(members=", ".join(config.join), seconds=f"{config.require_leader_within:g}")
            if now - said >= _SAY_S:
                said = now
                _log.warning("still waiting to join", **_waits_for(config, answers, errors))
            await asyncio.sleep(_PAUSE_S)
    finally:
        await connections.close()


async def _ask(
    connections: Connections, addresses: Iterable[str]
) -> tuple[list[node_pb2.MembersResponse], list[QuiesceError]]:
    async def ask(address: str) -> node_pb2.MembersResponse | QuiesceError:
        try:
            return await direct.call(
                connections.to(address).node.Members,
                node_pb2.MembersRequest(),
                address=address,
                operation="asking for the members",
                timeout_s=_ASK_S,
            )
        except QuiesceError as error:
            return error

    found = await asyncio.gather(*map(ask, addresses))
    answers = [answer for answer in found if isinstance(answer, node_pb2.MembersResponse)]
    return answers, [error for error in found if isinstance(error, QuiesceError)]


def _waits_for(
    config: NodeConfig, answers: list[node_pb2.MembersResponse], errors: list[QuiesceError]
) -> dict[str, str]:
    """Return what to say to whoever looks why nothing happens."""
    if not answers:
        return {"until": "a member answers", "error": str(errors[0]) if errors else "none was asked"}
    if not any(answer.leader_id for answer in answers):
        return {"until": "the cluster has a leader"}
    return {"until": f"the node is added: quiesce nodes add {config.node_id}={config.advertise}"}
