"""One attempt to bring a checkpoint to a follower: it says what it has, and gets the rest. On the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import grpc.aio
import structlog

from nodes.consensus.checkpoint_files import read_chunks
from nodes.consensus.options import ConsensusOptions
from nodes.consensus.outgoing import Checkpoint
from nodes.rate_limit import RateLimit
from quiesce.v1.peer_pb2 import InstallSnapshotResponse, SnapshotChunk
from quiesce.v1.peer_pb2_grpc import PeerStub

_log = structlog.get_logger(__name__)
_WHY_S = 1.0

Call = grpc.aio.StreamUnaryCall[SnapshotChunk, InstallSnapshotResponse]


async def transfer(
    connect: Callable[[], grpc.aio.Channel],
    *,
    sender: int,
    to: int,
    cluster_id: str,
    checkpoint: Checkpoint,
    message: bytes,
    rate: RateLimit,
    options: ConsensusOptions,
) -> bool:
    """Send what the follower does not have yet, and return whether it has installed it.

    `connect` may raise ConnectionError.
    """
    sent = 0
    try:
        channel = connect()
        there = await PeerStub(channel).SnapshotProgress(
            checkpoint.offer(cluster_id, sender), timeout=options.snapshot_stall_s
        )
        header = SnapshotChunk.Header(
            cluster_id=cluster_id,
            from_node_id=sender,
            message=message,
            total_bytes=checkpoint.total_bytes,
            checkpoint_id=checkpoint.checkpoint_id,
        )
        call = PeerStub(channel).InstallSnapshot()
        try:
            await _write(call, SnapshotChunk(header=header), options)
            chunks = read_chunks(checkpoint.directory, options.snapshot_chunk_bytes, there)
            while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
                await asyncio.sleep(rate.delay_s(len(chunk.data)))
                await _write(call, chunk, options)
                sent += len(chunk.data)
            await call.done_writing()
            async with asyncio.timeout(options.snapshot_install_s):
                await call
        except (grpc.RpcError, asyncio.InvalidStateError) as error:
            # A write says only that the call has ended; the call knows why.
            raise await _ended(call) or error from None
        finally:
            call.cancel()
    except (grpc.RpcError, asyncio.InvalidStateError, TimeoutError, OSError) as error:
        why = error.details() if isinstance(error, grpc.aio.AioRpcError) else str(error)
        _log.warning("checkpoint not sent", **_seen(to, checkpoint), sent=sent, error=why or type(error).__name__)
        return False
    _log.info("checkpoint sent", **_seen(to, checkpoint), sent=sent)
    return True


async def _ended(call: Call) -> grpc.RpcError | None:
    if call.cancelled():
        return None
    with contextlib.suppress(TimeoutError):
        try:
            async with asyncio.timeout(_WHY_S):
                await call
        except grpc.RpcError as error:
            return error
    return None


async def _write(call: Call, chunk: SnapshotChunk, options: ConsensusOptions) -> None:
    async with asyncio.timeout(options.snapshot_stall_s):
        await call.write(chunk)


def _seen(to: int, checkpoint: Checkpoint) -> dict[str, object]:
    return {
        "to": to,
        "index": checkpoint.index,
        "checkpoint": checkpoint.checkpoint_id,
        "bytes": checkpoint.total_bytes,
    }
