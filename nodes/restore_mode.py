"""A node that was started empty, to be filled by a snapshot: it serves Restore and Status, and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog

from nodes.config import NodeConfig
from nodes.data_directory import DataDirectory
from nodes.identity import Identity
from nodes.members import format_members
from nodes.service.restoring import RefuseClients, RestoringService
from quiesce import __version__
from quiesce.errors import AwaitingRestore
from quiesce.rpc import Server
from quiesce.v1 import node_pb2, node_pb2_grpc

# For the last message of the stream to leave.
_GRACE_S = 2.0
_log = structlog.get_logger("restore")


async def await_restore(
    config: NodeConfig, data: DataDirectory, server: Server, stop: asyncio.Event, client_services: tuple[str, ...]
) -> Identity | None:
    """Serve until a snapshot is in, and return who the node now is; None where it was stopped before."""
    service = RestoringService(
        node_id=config.node_id,
        address=config.advertise,
        data=data.path,
        version=__version__,
        load=_loader(data),
        started_ms=time.time_ns() // 1_000_000,
    )
    node_pb2_grpc.add_NodeServicer_to_server(service, server.grpc)
    server.grpc.add_generic_rpc_handlers((RefuseClients(AwaitingRestore(node_id=config.node_id), client_services),))
    for name in client_services:
        await server.set_serving(name, False)
    await server.set_serving("", True)
    await server.start(["quiesce.v1.Node"])
    _log.info("waiting for a snapshot to be restored", address=server.address)
    stopped = asyncio.ensure_future(stop.wait())
    ends: list[asyncio.Future[Any]] = [stopped, service.restored]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    await server.stop(_GRACE_S)
    if not service.restored.done():
        return None
    identity = service.restored.result()
    _log.info("restored", cluster_id=identity.cluster_id, members=format_members(identity.members))
    return identity


def _loader(
    data: DataDirectory,
) -> Callable[[Identity, node_pb2.RestoreNodeRequest, Callable[[node_pb2.RestoreProgress], None]], object]:
    from nodes.restore import restore_into

    return lambda identity, request, progress: restore_into(
        data.path,
        request.repository,
        request.snapshot_id,
        identity.node_id,
        identity.cluster_id,
        identity.members,
        progress,
    )
