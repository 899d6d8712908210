"""What peers call on this node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from nodes.consensus.checkpoint_receiver import CheckpointReceiver
from nodes.consensus.driver import Driver
from nodes.consensus.options import ConsensusOptions
from nodes.consensus.peers import Peers
from nodes.consensus.ports import PeerMessages
from quiesce.errors import InvalidRequest, NodeRemoved, Unavailable, WrongCluster
from quiesce.rpc import typed_errors
from quiesce.v1.peer_pb2 import (
    InstallSnapshotResponse,
    MeetRequest,
    MeetResponse,
    RaftBatch,
    RaftStreamEnd,
    SnapshotChunk,
    SnapshotOffer,
    SnapshotReceived,
)
from quiesce.v1.peer_pb2_grpc import PeerServicer

_PAUSE_S = 0.005

Context = grpc.aio.ServicerContext[Any, Any]


class PeerService(PeerServicer):
    """Brings messages and checkpoints of peers to the replica."""

    def __init__(
        self,
        *,
        node_id: int,
        cluster_id: str,
        peers: Peers,
        driver: Driver,
        checkpoints: CheckpointReceiver,
        options: ConsensusOptions,
    ) -> None:
        self._node_id = node_id
        self._cluster_id = cluster_id
        self._peers = peers
        self._driver = driver
        self.checkpoints = checkpoints
        self._options = options
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
        await self.checkpoints.stop()

    async def _read(self, batches: AsyncIterator[RaftBatch]) -> None:
        async for batch in batches:
            self._admit(batch.cluster_id, batch.from_node_id)
            self._peers.heard_from(batch.from_node_id, batch.from_address, batch.clock_ms, disk_full=batch.disk_full)
            messages = list(batch.messages)
            self._driver.put_messages(PeerMessages(batch.from_node_id, messages, sum(map(len, messages))))
            # The Raft thread is told nothing for this: at the bound, a poll now and then costs less than its wakes.
            while self._driver.peer_bytes > self._options.peer_inbox_bytes and self.running:  # noqa: ASYNC110
                await asyncio.sleep(_PAUSE_S)

    @typed_errors
    async def SnapshotProgress(self, request: SnapshotOffer, context: Context) -> SnapshotReceived:  # noqa: ARG002, N802
        """Say how much of a checkpoint is here."""
        self._admit(request.cluster_id, request.from_node_id)
        return await self.checkpoints.progress(request)

    @typed_errors
    async def Meet(self, request: MeetRequest, context: Context) -> MeetResponse:  # noqa: ARG002, N802
        """Say that this node has met all founders, and may have used what the asking one had promised."""
        if request.cluster_id != self._cluster_id:
            raise WrongCluster(actual=self._cluster_id, expected=request.cluster_id)
        return MeetResponse(founded=True)

    @typed_errors
    async def InstallSnapshot(  # noqa: N802
        self,
        request_iterator: AsyncIterator[SnapshotChunk],
        context: Context,  # noqa: ARG002
    ) -> InstallSnapshotResponse:
        """Receive a checkpoint, and answer when it is installed."""
        await self.checkpoints.receive(request_iterator, self._admit)
        return InstallSnapshotResponse()

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
