"""Checkpoints for followers that are too far behind: made, sent, and removed. Used on the event loop."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog

from nodes.consensus.checkpoint_files import list_files, read_chunks
from nodes.consensus.interface import CheckpointMade, StateMachine
from nodes.consensus.options import ConsensusOptions
from nodes.consensus.transport import PeerLink
from quiesce.v1.peer_pb2 import SnapshotChunk
from quiesce.v1.peer_pb2_grpc import PeerStub

_log = structlog.get_logger(__name__)
# A checkpoint that nobody has asked for by then is of no use: its follower has gone, or caught up.
_UNUSED_AFTER_S = 30.0
_PAUSE_AFTER_FAILURE_S = 2.0


@dataclass(slots=True)
class _Checkpoint:
    directory: Path
    users: int = 0


class SnapshotSender:
    """Makes checkpoints below `directory` and sends them."""

    def __init__(
        self,
        *,
        node_id: int,
        cluster_id: str,
        directory: Path,
        state: StateMachine,
        links: Callable[[int], PeerLink],
        options: ConsensusOptions,
        on_made: Callable[[CheckpointMade], None],
        on_gone: Callable[[int | None], None],
        on_sent: Callable[[int, bool], None],
    ) -> None:
        self._node_id = node_id
        self._cluster_id = cluster_id
        self._directory = directory
        self._state = state
        self._links = links
        self._options = options
        self._on_made = on_made
        self._on_gone = on_gone
        self._on_sent = on_sent
        self._checkpoints: dict[int, _Checkpoint] = {}
        self._made = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def make(self) -> None:
        """Make a checkpoint of the state as it is now."""
        self._spawn(self._make())

    def send(self, to: int, index: int, message: bytes) -> None:
        """Send the checkpoint of `index` to a peer, with the message that goes with it."""
        self._spawn(self._send(to, index, message))

    async def stop(self) -> None:
        """Break off what runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make(self) -> None:
        self._made += 1
        directory = self._directory / str(self._made)
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            made = await asyncio.to_thread(self._state.checkpoint, directory)
        except Exception as error:  # noqa: BLE001 - whatever the store raises, the follower has to wait
            _log.error("no checkpoint could be made for a follower", error=str(error))
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
            # Not at once again: the follower asks with every heartbeat.
            await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)
            self._on_gone(None)
            return
        if (twin := self._checkpoints.get(made.index)) is not None:
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
            directory = twin.directory
        else:
            self._checkpoints[made.index] = _Checkpoint(directory)
        self._on_made(made)
        await asyncio.sleep(_UNUSED_AFTER_S)
        await self._remove_unused(made.index)

    async def _send(self, to: int, index: int, message: bytes) -> None:
        checkpoint = self._checkpoints.get(index)
        if checkpoint is None:
            self._on_sent(to, False)
            return
        checkpoint.users += 1
        arrived = False
        try:
            await self._stream(to, checkpoint.directory, message)
            arrived = True
            _log.info("snapshot sent", to=to, index=index)
        except (grpc.RpcError, asyncio.InvalidStateError, TimeoutError, OSError) as error:
            _log.warning("snapshot not sent", to=to, index=index, error=str(error))
            await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)
        finally:
            checkpoint.users -= 1
            self._on_sent(to, arrived)
        await self._remove_unused(index)

    async def _stream(self, to: int, directory: Path, message: bytes) -> None:
        options = self._options
        files = await asyncio.to_thread(list_files, directory)
        header = SnapshotChunk.Header(
            cluster_id=self._cluster_id,
            from_node_id=self._node_id,
            message=message,
            total_bytes=sum(path.stat().st_size for _, path in files),
        )
        call = PeerStub(self._links(to).channel).InstallSnapshot()
        try:
            chunk: SnapshotChunk | None = SnapshotChunk(header=header)
            chunks = read_chunks(directory, options.snapshot_chunk_bytes)
            while chunk is not None:
                async with asyncio.timeout(options.snapshot_stall_s):
                    await call.write(chunk)
                chunk = await asyncio.to_thread(next, chunks, None)
            await call.done_writing()
            async with asyncio.timeout(options.snapshot_install_s):
                await call
        finally:
            call.cancel()

    async def _remove_unused(self, index: int) -> None:
        checkpoint = self._checkpoints.get(index)
        if checkpoint is None or checkpoint.users:
            return
        del self._checkpoints[index]
        self._on_gone(index)
        await asyncio.to_thread(shutil.rmtree, checkpoint.directory, ignore_errors=True)
