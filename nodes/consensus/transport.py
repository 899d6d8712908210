"""Raft messages on their way to peers: one stream each, in order, bounded; what does not fit is dropped."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import grpc
import grpc.aio
import structlog

from nodes.consensus.options import MEBIBYTE
from quiesce.errors import NodeRemoved
from quiesce.rpc import error_of, open_channel
from quiesce.v1.peer_pb2 import RaftBatch, RaftStreamEnd
from quiesce.v1.peer_pb2_grpc import PeerStub

_log = structlog.get_logger(__name__)
_BATCH_BYTES = MEBIBYTE
_WRITE_TIMEOUT_S = 10.0
_LEAST_BACKOFF_S, _MOST_BACKOFF_S = 0.1, 1.0


class PeerLink:
    """The way to one peer. Used on the event loop only.

    Raft repeats what is lost, so a message is never kept for a peer that cannot be reached: `on_lost` is told instead.
    `on_refused` is told when the peer says that this node was removed from the cluster.
    """

    def __init__(
        self,
        *,
        node_id: int,
        peer_id: int,
        address: str,
        cluster_id: str,
        own_address: str,
        most_bytes: int,
        clock_ms: Callable[[], int],
        disk_full: Callable[[], bool],
        on_lost: Callable[[int], None],
        on_refused: Callable[[int], None],
    ) -> None:
        self._node_id = node_id
        self.peer_id = peer_id
        self.address = address
        # Where the peer says that it is; tried in turn with what the membership says.
        self.other_address = address
        self._own_address = own_address
        self._cluster_id = cluster_id
        self._most_bytes = most_bytes
        self._clock_ms = clock_ms
        self._disk_full = disk_full
        self._on_lost = on_lost
        self._on_refused = on_refused
        self._probe = False
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._full = False
        self._filled = asyncio.Event()
        self._channel: grpc.aio.Channel | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel to the peer, shared with the sending of snapshots."""
        if self._channel is None:
            self._channel = open_channel(self.address)
        return self._channel

    def start(self) -> None:
        """Start sending."""
        self._task = asyncio.create_task(self._run(), name=f"raft-to-{self.peer_id}")

    async def stop(self) -> None:
        """Stop sending, and close the channel."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._channel is not None:
            await self._channel.close()

    def enqueue(self, message: bytes) -> None:
        """Queue a message, or drop it where the queue is full."""
        if self._bytes + len(message) > self._most_bytes and self._queue:
            if not self._full:
                self._full = True
                self._on_lost(self.peer_id)
            return
        self._full = False
        self._bytes += len(message)
        self._queue.append(message)
        self._filled.set()

    def probe(self) -> None:
        """Send something, even if there is nothing to say: the answer may be a refusal."""
        self._probe = True
        self._filled.set()

    async def _run(self) -> None:
        backoff = _LEAST_BACKOFF_S
        while True:
            call = PeerStub(self.channel).Raft()
            try:
                while True:
                    batch = await self._next_batch()
                    async with asyncio.timeout(_WRITE_TIMEOUT_S):
                        await call.write(batch)
                    backoff = _LEAST_BACKOFF_S
            except (grpc.RpcError, asyncio.InvalidStateError, TimeoutError) as error:
                _log.debug("peer lost", peer=self.peer_id, address=self.address, error=str(error))
                await self._see_refusal(call)
            finally:
                call.cancel()
            self._queue.clear()
            self._bytes = 0
            self._on_lost(self.peer_id)
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, _MOST_BACKOFF_S)
            await self._turn()

    async def _see_refusal(self, call: grpc.aio.StreamUnaryCall[RaftBatch, RaftStreamEnd]) -> None:
        # A write that ran into its deadline has cancelled the call: to wait for that would cancel whoever waits.
        if not call.done() or call.cancelled():
            return
        try:
            await call
        except grpc.RpcError as error:
            refusal = error_of(error, addresses=self.address)
            if isinstance(refusal, NodeRemoved) and refusal.fields["node_id"] == str(self._node_id):
                self._on_refused(self.peer_id)

    async def _turn(self) -> None:
        if self.other_address == self.address:
            return
        self.address, self.other_address = self.other_address, self.address
        if self._channel is not None:
            channel, self._channel = self._channel, None
            await channel.close()

    async def _next_batch(self) -> RaftBatch:
        while not self._queue and not self._probe:
            self._filled.clear()
            await self._filled.wait()
        self._probe = False
        messages: list[bytes] = []
        size = 0
        while self._queue and (not messages or size + len(self._queue[0]) <= _BATCH_BYTES):
            messages.append(self._queue.popleft())
            size += len(messages[-1])
        self._bytes -= size
        return RaftBatch(
            cluster_id=self._cluster_id,
            from_node_id=self._node_id,
            from_address=self._own_address,
            clock_ms=self._clock_ms(),
            disk_full=self._disk_full(),
            messages=messages,
        )
