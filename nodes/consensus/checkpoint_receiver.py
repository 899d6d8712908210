"""The receiving end of a checkpoint: one at a time, from the leader, resumed where it was cut. On the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import structlog

from nodes.consensus.checkpoint_files import total_bytes
from nodes.consensus.incoming import CheckpointWriter, Incoming
from nodes.consensus.options import ConsensusOptions
from quiesce._native import describe_snapshot
from quiesce.errors import DiskFailed, DiskFull, DiskOutOfSpace, InvalidRequest, NotLeader, Overloaded
from quiesce.v1.peer_pb2 import SnapshotChunk, SnapshotOffer, SnapshotReceived

_log = structlog.get_logger(__name__)
_RETRY_MS = 1000
T = TypeVar("T")

# (directory, message, index) of a checkpoint that arrived whole; answers whether it was taken.
Install = Callable[[Path, bytes, int], Awaitable[bool]]
# Asks whether a node of a cluster may send, and raises where not.
Admit = Callable[[str, int], None]


class CheckpointReceiver:
    """Brings checkpoints from the leader to the replica.

    `leader` is the leader that this node knows, 0 for none.
    """

    def __init__(
        self,
        *,
        node_id: int,
        directory: Path,
        leader: Callable[[], int],
        install: Install,
        options: ConsensusOptions,
    ) -> None:
        self._node_id = node_id
        self._directory = directory
        self._leader = leader
        self._install = install
        self._options = options
        self._incoming = Incoming(directory, options.disk, self._room)
        # One thread: what a transfer that was broken off still writes comes before what the next one does.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="quiesce-checkpoint")
        self._receiving: asyncio.Task[None] | None = None
        self._installing: asyncio.Task[bool] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._running = False

    def start(self) -> None:
        """Keep what an earlier life has received, for as long as the sender may come back."""
        self._running = True
        self._expire_later()

    async def stop(self) -> None:
        """Break off what runs; what has arrived stays."""
        self._running = False
        if self._expiry is not None:
            self._expiry.cancel()
        if tasks := [task for task in (self._receiving, self._installing) if task is not None]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        self._thread.shutdown(wait=False)

    async def progress(self, offer: SnapshotOffer) -> SnapshotReceived:
        """Return what is there of a checkpoint.

        Raises:
            NotLeader: another leads.
            Overloaded: one is being installed.
            DiskFull: there is no room for it.
            InvalidRequest, DiskFailed: it cannot be received.
        """
        await self._make_way_for(offer.from_node_id)
        received = await self._run(self._incoming.offer, offer)
        self._expire_later()
        _log.info(
            "checkpoint offered",
            sender=offer.from_node_id,
            checkpoint=offer.checkpoint_id,
            bytes=offer.total_bytes,
            there=await self._run(total_bytes, self._directory / offer.checkpoint_id),
            files=len(received.files),
        )
        return received

    async def receive(self, chunks: AsyncIterator[SnapshotChunk], admit: Admit) -> None:
        """Receive what is not there yet, and return when the checkpoint is installed.

        Raises:
            NotLeader: another leads.
            Overloaded: one is being installed, or the sender's next attempt has taken the place of this one.
            DiskFull: there is no room for it.
            InvalidRequest, DiskFailed: it cannot be received.
        """
        header = (await self._next(chunks)).header
        admit(header.cluster_id, header.from_node_id)
        try:
            _, index, _ = describe_snapshot(header.message)
        except ValueError as error:
            raise InvalidRequest(detail=str(error)) from error
        await self._make_way_for(header.from_node_id)
        receiving = self._receiving = asyncio.create_task(self._receive(header, chunks))
        try:
            await asyncio.wait([receiving])
        finally:
            receiving.cancel()
            if self._receiving is receiving:
                self._receiving = None
            self._expire_later()
        if receiving.cancelled():
            raise Overloaded(node_id=self._node_id, waiting=1, retry_ms=_RETRY_MS)
        receiving.result()
        _log.info("checkpoint received", sender=header.from_node_id, index=index, bytes=header.total_bytes)
        # Goes on to its end even if this call is cancelled.
        self._installing = asyncio.create_task(self._finish(header, index))
        if not await asyncio.shield(self._installing):
            raise Overloaded(node_id=self._node_id, waiting=1, retry_ms=_RETRY_MS)

    async def _receive(self, header: SnapshotChunk.Header, chunks: AsyncIterator[SnapshotChunk]) -> None:
        writer: CheckpointWriter | None = None
        try:
            writer = await self._run(self._incoming.writer, header.checkpoint_id, header.total_bytes)
            while not writer.complete:
                await self._run(writer.write, await self._next(chunks))
        finally:
            if writer is not None:
                self._thread.submit(writer.abort)

    async def _finish(self, header: SnapshotChunk.Header, index: int) -> bool:
        try:
            taken = await self._install(self._directory / header.checkpoint_id, header.message, index)
            await self._run(self._incoming.clear)
            return taken
        finally:
            self._installing = None

    async def _make_way_for(self, sender: int) -> None:
        """Break off a transfer that the leader begins anew, or that a leader before it has begun.

        What that still has to do on the thread comes before what follows here.
        """
        leader = self._leader()
        if leader not in (0, sender):
            raise NotLeader(node_id=sender, leader_address=f"node {leader}")
        if self._installing is not None:
            raise Overloaded(node_id=self._node_id, waiting=1, retry_ms=_RETRY_MS)
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None

    async def _next(self, chunks: AsyncIterator[SnapshotChunk]) -> SnapshotChunk:
        try:
            async with asyncio.timeout(self._options.snapshot_stall_s):
                return await anext(chunks)
        except (StopAsyncIteration, TimeoutError) as error:
            raise InvalidRequest(detail="the checkpoint ended too early") from error

    async def _run(self, call: Callable[..., T], *args: object) -> T:
        def guarded() -> T:
            try:
                return call(*args)
            except DiskFailed as error:
                # What the disk has not taken is not to be trusted, and the log needs the room.
                self._incoming.clear()
                if not isinstance(error, DiskOutOfSpace):
                    # The log is on the same disk.
                    self._options.on_fatal(error)
                raise

        return await asyncio.get_running_loop().run_in_executor(self._thread, guarded)

    def _room(self, size: int) -> None:
        """Refuse what would take of the disk's reserve. On the checkpoint's thread."""
        stat = os.statvfs(self._directory.parent)
        free, reserve = stat.f_bavail * stat.f_frsize, self._options.reserve_bytes
        if free - size < reserve:
            _log.warning("no room for a checkpoint", free=free, needed=reserve + size)
            raise DiskFull(node_id=self._node_id, path=self._directory, free=free, reserve=reserve + size)

    def _expire_later(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        if not self._running:
            return
        # The sender keeps it no longer than that.
        delay_s = 2 * self._options.checkpoint_keep_s
        self._expiry = asyncio.get_running_loop().call_later(delay_s, self._expire)

    def _expire(self) -> None:
        if self._receiving is None and self._installing is None:
            self._thread.submit(self._incoming.clear)
