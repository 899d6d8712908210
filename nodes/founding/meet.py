"""A founding node waits until every other founder has answered it once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace

import structlog

from nodes.config import NodeConfig
from nodes.data_directory import DataDirectory
from nodes.founding.meeting import Meeting
from nodes.founding.service import FoundingNode, FoundingPeer
from nodes.identity import Identity
from nodes.members import format_members
from nodes.membership.addresses import founders
from nodes.service.restoring import RefuseClients
from quiesce import __version__
from quiesce.client.direct import call
from quiesce.errors import DirectoryLost, NoLeader, PeersUnreachable, QuiesceError
from quiesce.rpc import Server, open_channel
from quiesce.v1 import node_pb2_grpc, peer_pb2_grpc
from quiesce.v1.peer_pb2 import MeetRequest
from quiesce.v1.peer_pb2_grpc import PeerStub

_ASK_S = 2.0
_PAUSE_S = 0.3
_SAY_S = 10.0
# For answers that are on their way.
_GRACE_S = 0.5
_log = structlog.get_logger("founding")


async def meet_founders(
    config: NodeConfig,
    found: Identity,
    data: DataDirectory,
    server: Server,
    stop: asyncio.Event,
    client_services: tuple[str, ...],
) -> bool:
    """Answer the other founders and ask them, until all have been heard from; False where it was stopped before.

    Where the directory turns out to be another's successor it is left empty, for a node with another id.

    Raises:
        DirectoryLost: this node took part in the cluster before, with another directory.
        InvalidConfiguration: the configuration names other members than the directory was made for.
        PeersUnreachable: they did not all answer within the time that is required of a leader.
        DamagedStore, DiskFailed: what was answered cannot be read, or could not be written down.
    """
    # With the configuration's addresses: one that was wrong may be why nobody has answered so far.
    identity = replace(found, members=founders(found, config.members))
    node_id, cluster_id = identity.node_id, identity.cluster_id
    meeting = Meeting(data.path, node_id=node_id, cluster_id=cluster_id, founders=identity.members)
    peer = FoundingPeer(identity, config.advertise, meeting)
    peer_pb2_grpc.add_PeerServicer_to_server(peer, server.grpc)
    node_pb2_grpc.add_NodeServicer_to_server(FoundingNode(identity, config.advertise, __version__), server.grpc)
    server.grpc.add_generic_rpc_handlers((RefuseClients(NoLeader(), client_services),))
    for name in client_services:
        await server.set_serving(name, False)
    await server.set_serving("", True)
    await server.start(["quiesce.v1.Node", "quiesce.v1.Peer"])
    _log.info("listening, and waiting for all founding nodes", members=format_members(identity.members))
    asking = asyncio.ensure_future(_ask_all(identity, meeting, config.require_leader_within))
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((asking, stopped, peer.failed), return_when=asyncio.FIRST_COMPLETED)
        if peer.failed.done():
            peer.failed.result()
        if not asking.done():
            return False
        asking.result()
        await asyncio.to_thread(meeting.end)
        return True
    except DirectoryLost:
        data.discard()
        raise
    finally:
        for task in (asking, stopped, peer.failed):
            task.cancel()
        await asyncio.gather(asking, stopped, return_exceptions=True)
        await server.stop(_GRACE_S)


async def _ask_all(identity: Identity, meeting: Meeting, require_within_s: float) -> None:
    started = said = time.monotonic()
    reasons: dict[int, str] = {}
    while meeting.missing:
        missing = sorted(meeting.missing)
        answers = await asyncio.gather(*(_ask(identity, node) for node in missing))
        for node, answer in zip(missing, answers, strict=True):
            if isinstance(answer, QuiesceError):
                reasons[node] = str(answer)
            else:
                meeting.hear(node, founded=answer)
        if not meeting.missing:
            return
        now = time.monotonic()
        if require_within_s and now - started >= require_within_s:
            raise PeersUnreachable(members=_named(identity.members, meeting), seconds=f"{require_within_s:g}")
        if now - said >= _SAY_S:
            said = now
            for node in sorted(meeting.missing):
                _log.warning("a new cluster begins when all its nodes are there", missing=node, reason=reasons[node])
        await asyncio.sleep(_PAUSE_S)


async def _ask(identity: Identity, node: int) -> bool | QuiesceError:
    address = identity.members[node]
    request = MeetRequest(
        cluster_id=identity.cluster_id, from_node_id=identity.node_id, founder_ids=sorted(identity.members)
    )
    # A new channel each time: one that failed waits longer and longer before it tries again.
    async with open_channel(address) as channel:
        try:
            answer = await call(
                PeerStub(channel).Meet, request, address=address, operation="meeting a founder", timeout_s=_ASK_S
            )
        except QuiesceError as error:
            return error
    return answer.founded


def _named(members: Mapping[int, str], meeting: Meeting) -> str:
    return format_members({node: members[node] for node in meeting.missing})
