"""Snapshots of this node: only under its lease, only from the checkpoint of that lease, one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from nodes.data_directory import DataDirectory
from nodes.rotation.held import Held
from nodes.service.worker_process import SNAPSHOT, WorkerProcess, checkpoint_arguments, repository_arguments
from nodes.service.worker_rate import WorkerRate
from quiesce.errors import DamagedStore, InvalidRequest, LeaseLost, NoCheckpoint, QuiesceError, SnapshotWorkerFailed
from quiesce.failpoints import reach
from quiesce.v1 import node_pb2


class Snapshots:
    """Runs the worker, and kills it when its caller, its lease or the daemon goes.

    Args:
        held: returns the lease on this node and whose it is, or None.
        rate: tells workers how fast they may read.
        on_damage: told what is wrong with the checkpoint: its tables are those of the store.
    """

    def __init__(
        self,
        *,
        node_id: int,
        cluster_id: str,
        data: DataDirectory,
        held: Callable[[], Held | None],
        rate: WorkerRate,
        on_damage: Callable[[QuiesceError], None],
    ) -> None:
        self._node_id = node_id
        self._cluster_id = cluster_id
        self._data = data
        self._held = held
        self._rate = rate
        self._on_damage = on_damage
        self._running: tuple[Held, WorkerProcess[node_pb2.SnapshotProgress]] | None = None
        self._starting = asyncio.Lock()

    async def take(self, request: node_pb2.TakeSnapshotRequest) -> AsyncGenerator[node_pb2.SnapshotProgress]:
        """Yield the progress of a snapshot; a later request for the same lease takes the place of this one.

        Raises:
            InvalidRequest: it names no snapshot or no repository.
            LeaseLost: the lease of that epoch is not on this node, or not the caller's, or ended meanwhile.
            NoCheckpoint: nothing lies here of that epoch.
            QuiesceError: what the worker ended with.
        """
        if not request.snapshot_id or not request.repository:
            raise InvalidRequest(detail="it names no snapshot, or no repository")
        arguments = self._arguments(request)
        async with self._starting:
            superseded = SnapshotWorkerFailed(
                node_id=self._node_id, code=-1, detail="another request for a snapshot took its place"
            )
            await self._end(superseded)
            held = self._check(request)
            worker = await WorkerProcess.start(self._node_id, arguments, SNAPSHOT)
            self._running = held, worker
        try:
            async with self._rate.told(request.epoch, worker), aclosing(worker.progress()) as reports:
                async for progress in reports:
                    reach(f"node.snapshot.{node_pb2.SnapshotProgress.Phase.Name(progress.phase).lower()}")
                    yield progress
        except QuiesceError as error:
            # When the lease ends its checkpoint goes at once, and the worker may say that first.
            if self._held() != held:
                raise LeaseLost(epoch=request.epoch) from error
            if isinstance(error, DamagedStore):
                self._on_damage(error)
            raise
        finally:
            worker.kill(LeaseLost(epoch=request.epoch))
            if self._running is not None and self._running[1] is worker:
                self._running = None

    def _arguments(self, request: node_pb2.TakeSnapshotRequest) -> list[str]:
        self._check(request)
        found = self._data.checkpoint(request.epoch)
        if found is None:
            raise NoCheckpoint(node_id=self._node_id, epoch=request.epoch)
        path, mark = found
        return [
            *checkpoint_arguments(path, mark, node_id=self._node_id, cluster_id=self._cluster_id),
            f"--snapshot-id={request.snapshot_id}",
            *repository_arguments(request.repository, request.databases, request.rate_limit),
        ]

    def _check(self, request: node_pb2.TakeSnapshotRequest | node_pb2.DropCheckpointRequest) -> Held:
        held = Held(request.epoch, request.fence or request.epoch)
        if self._held() != held:
            raise LeaseLost(epoch=request.epoch)
        return held

    async def lease_changed(self, held: Held | None) -> None:
        """End a worker whose lease is over, or was taken over."""
        if self._running is not None and self._running[0] != held:
            await self._end(LeaseLost(epoch=self._running[0].epoch))

    async def drop(self, request: node_pb2.DropCheckpointRequest) -> None:
        """Remove a checkpoint, and end the worker that reads it.

        Raises:
            LeaseLost: somebody else has taken its lease over.
        """
        held = self._held()
        if held is not None and held.epoch == request.epoch:
            self._check(request)
        if self._running is not None and self._running[0].epoch == request.epoch:
            await self._end(NoCheckpoint(node_id=self._node_id, epoch=request.epoch))
        await asyncio.to_thread(self._data.remove_checkpoint, request.epoch)

    async def stop(self) -> None:
        """End the worker: the daemon is being stopped."""
        await self._end(SnapshotWorkerFailed(node_id=self._node_id, code=-1, detail="the node was stopped"))

    async def _end(self, reason: QuiesceError) -> None:
        if self._running is not None:
            worker = self._running[1]
            worker.kill(reason)
            await worker.ended()
