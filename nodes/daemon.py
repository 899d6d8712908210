"""The life of a node daemon: what it takes hold of, in which order, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal

import structlog

from nodes.bootstrap import bootstrap, check_new, confirm_identity
from nodes.config import NodeConfig
from nodes.data_directory import DataDirectory
from nodes.founding import is_founding
from nodes.founding.meet import meet_founders
from nodes.identity import Identity, read_identity
from nodes.membership.join import check_join, join
from nodes.restore_mode import await_restore
from nodes.room import default_reserve, free_bytes, wait_for_room
from nodes.running import CLIENT_SERVICES, RunningNode
from quiesce.errors import NodeRemoved, disk_failed
from quiesce.rpc import Server, open_server

_log = structlog.get_logger("daemon")


async def run_daemon(config: NodeConfig) -> None:
    """Run a node until SIGTERM or SIGINT.

    Raises:
        InvalidConfiguration, AddressInUse, DirectoryInUse, DirectoryNotEmpty: it cannot start; nothing was written.
        DamagedLog, DamagedStore, DiskFailed: the disk.
        PeersUnreachable: no leader within the time required.
        NodeRemoved: it is no member any more, or will never be one under this id.
        NodeIdTaken, WrongCluster: it cannot join the cluster that it was pointed to.
        DirectoryLost: it was a member, and its directory is a new one.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _stop, stop)
    data = DataDirectory(config.data)
    found = read_identity(config.data)
    if found is None:
        data.check_fillable()
        if config.join:
            check_join(config)
        elif not config.await_restore:
            check_new(config)
    elif found.removed:
        raise NodeRemoved(node_id=found.node_id, cluster_id=found.cluster_id)
    # The address before the directory: nothing is to be written where it is taken.
    server = open_server(config.listen)
    server.listen()
    data.lock()
    try:
        if await _has_room(config, data, stop):
            await _run(config, data, server, stop)
    finally:
        data.unlock()


async def _run(config: NodeConfig, data: DataDirectory, server: Server, stop: asyncio.Event) -> None:
    """Find out or decide whose directory it is, and run that node."""
    identity = read_identity(data.path)
    if identity is None and config.join:
        identity = await join(config, data, stop)
        if identity is None:
            return
    elif identity is None and config.await_restore:
        identity = await await_restore(config, data, server, stop, CLIENT_SERVICES)
        if identity is None:
            return
        server = open_server(config.listen)
        server.listen()
    elif identity is None:
        identity = bootstrap(config, data)
    else:
        identity = confirm_identity(config, data, identity)
    met = await _met(config, identity, data, server, stop)
    if met is not None:
        await RunningNode(config, identity, data, met).run(stop)


async def _has_room(config: NodeConfig, data: DataDirectory, stop: asyncio.Event) -> bool:
    """Wait for room on the disk: what a start does must not fail in the middle. False where it was stopped before."""
    try:
        reserve = default_reserve(data.path) if config.disk_reserve is None else config.disk_reserve
        return await wait_for_room(data.path, reserve, stop, free_bytes)
    except OSError as error:
        raise disk_failed("statvfs", data.path, error) from error


async def _met(
    config: NodeConfig, identity: Identity, data: DataDirectory, server: Server, stop: asyncio.Event
) -> Server | None:
    """Return the server to go on with when the founders of a new cluster have met; None where it was stopped before."""
    if not is_founding(data.path):
        return server
    if not await meet_founders(config, identity, data, server, stop, CLIENT_SERVICES):
        return None
    reopened = open_server(config.listen)
    reopened.listen()
    return reopened


def _stop(stop: asyncio.Event) -> None:
    if stop.is_set():
        _log.warning("told to stop twice: ending at once")
        os._exit(1)
    stop.set()
