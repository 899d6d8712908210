"""What peers call on this node."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import structlog

from nodes._native import describe_snapshot
from nodes.consensus.checkpoint_files import CheckpointWriter
from nodes.consensus.driver import Driver
from nodes.consensus.options import ConsensusOptions
from nodes.consensus.peers import Peers
from nodes.consensus.ports import PeerMessages
from quiesce.errors import InvalidRequest, NodeRemoved, Overloaded, Unavailable, WrongCluster
from quiesce.rpc import typed_errors
from quiesce.v1.peer_pb2 import InstallSnapshotResponse, RaftBatch, RaftStreamEnd, SnapshotChunk
from quiesce.v1.peer_pb2_grpc import PeerServicer

_log = structlog.get_logger(__name__)
_PAUSE_S = 0.005

Context = grpc.aio.ServicerContext[Any, Any]
# (directory, message, index) of a checkpoint that arrived whole; answers whether it was taken.
Install = Callable[[Path, bytes, int], Awaitable[bool]]


class PeerService(PeerServicer):
    """Brings messages and checkpoints of peers to the replica."""

    def __init__(
        self,
        *,
        node_id: int,
        cluster_id: str,
        peers: Peers,
        directory: Path,
        driver: Driver,
        install: Install,
        options: ConsensusOptions,
    ) -> None:
        self._node_id = node_id
        self._cluster_id = cluster_id
        self._peers = peers
        self._directory = directory
        self._driver = driver
        self._install = install
        self._options = options
        self._receiving = False
        self._streams: set[asyncio.Task[Any]] = set()
        # Set while the replica runs; before and after that, peers are told to come again.
        self.running = False

    @typed_errors
    async def Raft(self, request_iterator: AsyncIterator[RaftBatch], context: Context) -> RaftStreamEnd:  # noqa: ARG002, N802
        """Take messages in order; not reading on is how a sender is slowed down."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - handlers run in tasks
        self._streams.add(task)
        try:
            await self._read(request_iterator)
        except asyncio.CancelledError:
            if self.running:
                raise
        finally:
            self._streams.discard(task)
        return RaftStreamEnd()

    async def stop(self) -> None:
        """End the streams of peers, which would otherwise last as long as the peers."""
        self.running = False
        streams = list(self._streams)
        for stream in streams:
            stream.cancel()
        if streams:
            await asyncio.wait(streams, timeout=1.0)

    async def _read(self, batches: AsyncIterator[RaftBatch]) -> None:
        async for batch in batches:
            self._admit(batch.cluster_id, batch.from_node_id)
            self._peers.heard_from(batch.from_node_id, batch.from_address, batch.clock_ms)
            messages = list(batch.messages)
            self._driver.put_messages(PeerMessages(batch.from_node_id, messages, sum(map(len, messages))))
            # The Raft thread is told nothing for this: at the bound, a poll now and then costs less than its wakes.
            while self._driver.peer_bytes > self._options.peer_inbox_bytes and self.running:  # noqa: ASYNC110
                await asyncio.sleep(_PAUSE_S)

    @typed_errors
    async def InstallSnapshot(  # noqa: N802
        self,
        request_iterator: AsyncIterator[SnapshotChunk],
        context: Context,  # noqa: ARG002
    ) -> InstallSnapshotResponse:
        """Receive a checkpoint, and answer when it is installed."""
        if self._receiving:
            raise Overloaded(node_id=self._node_id, waiting=1, retry_ms=1000)
        self._receiving = True
        directory = self._directory / uuid.uuid4().hex
        handed_over = False
        try:
            header = await self._receive(request_iterator, directory)
            _, index, _ = describe_snapshot(header.message)
            _log.info("snapshot received", sender=header.from_node_id, index=index, bytes=header.total_bytes)
            # From here on the replica removes it: this call may be cancelled in the middle of the installation.
            handed_over = True
            if not await self._install(directory, header.message, index):
                raise Overloaded(node_id=self._node_id, waiting=1, retry_ms=1000)
            return InstallSnapshotResponse()
        finally:
            self._receiving = False
            if not handed_over:
                await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    async def _receive(self, chunks: AsyncIterator[SnapshotChunk], directory: Path) -> SnapshotChunk.Header:
        first = await self._next(chunks)
        header = first.header
        self._admit(header.cluster_id, header.from_node_id)
        try:
            describe_snapshot(header.message)
        except ValueError as error:
            raise InvalidRequest(detail=str(error)) from error
        writer = await asyncio.to_thread(CheckpointWriter, directory, header.total_bytes, self._options.disk)
        try:
            while not writer.complete:
                await asyncio.to_thread(writer.write, await self._next(chunks))
        finally:
            writer.abort()
        return header

    async def _next(self, chunks: AsyncIterator[SnapshotChunk]) -> SnapshotChunk:
        try:
            async with asyncio.timeout(self._options.snapshot_stall_s):
                return await anext(chunks)
        except (StopAsyncIteration, TimeoutError) as error:
            raise InvalidRequest(detail="the checkpoint ended too early") from error

    def _admit(self, cluster_id: str, sender: int) -> None:
        if cluster_id != self._cluster_id:
            raise WrongCluster(actual=self._cluster_id, expected=cluster_id)
        if sender in (0, self._node_id):
            raise InvalidRequest(detail=f"node {sender} is not a peer of node {self._node_id}")
        # A sender that is not known is let in: this node may not have applied its addition yet.
        if sender in self._peers.removed:
            raise NodeRemoved(node_id=sender, cluster_id=cluster_id)
        if not self.running:
            raise Unavailable(addresses=f"node {self._node_id}", seconds=0, detail="it is not running yet")
