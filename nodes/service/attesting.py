"""What this node says of its state at a mark: from the checkpoint it kept, under whoever's lease, one at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import structlog

from nodes.data_directory import DataDirectory
from nodes.service.worker_process import ATTESTATION, WorkerProcess, checkpoint_arguments, repository_arguments
from nodes.service.worker_rate import WorkerRate
from nodes.store import Store
from quiesce.errors import DamagedStore, InvalidRequest, LeaseLost, NoCheckpoint, QuiesceError, SnapshotWorkerFailed
from quiesce.v1.attest_pb2 import AttestProgress, AttestRequest

_LOOK_S = 0.2
_ROOM_S = 1.0
# It runs beside clients' work, while a snapshot's worker has a node of its own.
_NICE = 15
_FLUSH_LOOK_S = 0.02
_log = structlog.get_logger("attest")


class Attester:
    """Runs the worker, and ends it when its caller, the lease, the room on the disk or the daemon goes.

    Args:
        lease: returns the epoch of the lease, whichever node is out of rotation, and whether that is this one, as
            the applied state has it now.
        rate: tells workers how fast they may read.
        full: returns whether the disk is full.
        on_damage: told what is wrong with the checkpoint: its tables are those of the store.
    """

    def __init__(
        self,
        *,
        node_id: int,
        cluster_id: str,
        data: DataDirectory,
        lease: Callable[[], tuple[int | None, bool]],
        rate: WorkerRate,
        full: Callable[[], bool],
        on_damage: Callable[[QuiesceError], None],
    ) -> None:
        self._node_id = node_id
        self._cluster_id = cluster_id
        self._data = data
        self._lease = lease
        self._rate = rate
        self._full = full
        self._on_damage = on_damage
        self._running: tuple[int, WorkerProcess[AttestProgress]] | None = None
        self._starting = asyncio.Lock()

    async def run(self) -> None:
        """Give up checkpoints that keep a full disk from getting better; ends only by cancellation."""
        while True:
            await asyncio.sleep(_ROOM_S)
            epoch, own = self._lease()
            if epoch is not None and not own and self._full() and epoch in self._data.checkpoint_epochs():
                _log.warning("the disk is full: the checkpoint for attestation goes", epoch=epoch)
                await self.drop(epoch)

    async def attest(self, request: AttestRequest) -> AsyncGenerator[AttestProgress]:
        """Yield how far it is, with the last one what the checkpoint holds; a later request takes this one's place.

        Raises:
            InvalidRequest: it names no repository.
            LeaseLost: the lease of that epoch does not hold, or ended meanwhile.
            NoCheckpoint: this node has kept none of that epoch.
            QuiesceError: what the worker ended with.
        """
        if not request.repository:
            raise InvalidRequest(detail="it names no repository")
        self._check_lease(request.epoch)
        arguments = self._arguments(request)
        async with self._starting:
            detail = "another request to attest took its place"
            await self._end(SnapshotWorkerFailed(node_id=self._node_id, code=-1, detail=detail))
            worker = await WorkerProcess.start(self._node_id, arguments, ATTESTATION)
            self._running = request.epoch, worker
        watch = asyncio.create_task(self._watch(request.epoch, worker))
        try:
            async with self._rate.told(request.epoch, worker), aclosing(worker.progress()) as reports:
                async for progress in reports:
                    yield progress
        except QuiesceError as error:
            # When the lease ends the checkpoint goes at once, and the worker may say that first.
            self._check_lease(request.epoch)
            if isinstance(error, DamagedStore):
                if self._data.checkpoint(request.epoch) is None:
                    raise NoCheckpoint(node_id=self._node_id, epoch=request.epoch) from error
                self._on_damage(error)
            raise
        finally:
            watch.cancel()
            worker.kill(LeaseLost(epoch=request.epoch))
            if self._running is not None and self._running[1] is worker:
                self._running = None

    async def drop(self, epoch: int) -> None:
        """Remove a checkpoint, and end the worker that reads it."""
        if self._running is not None and self._running[0] == epoch:
            await self._end(NoCheckpoint(node_id=self._node_id, epoch=epoch))
        await asyncio.to_thread(self._data.remove_checkpoint, epoch)

    async def stop(self) -> None:
        """End the worker: the daemon is being stopped."""
        await self._end(SnapshotWorkerFailed(node_id=self._node_id, code=-1, detail="the node was stopped"))

    def _check_lease(self, epoch: int) -> None:
        if self._lease()[0] != epoch:
            raise LeaseLost(epoch=epoch)

    def _arguments(self, request: AttestRequest) -> list[str]:
        found = self._data.checkpoint(request.epoch)
        if found is None:
            raise NoCheckpoint(node_id=self._node_id, epoch=request.epoch)
        path, mark = found
        return [
            "--attest",
            f"--nice={_NICE}",
            *checkpoint_arguments(path, mark, node_id=self._node_id, cluster_id=self._cluster_id),
            *repository_arguments(request.repository, request.databases, request.rate_limit),
        ]

    async def _watch(self, epoch: int, worker: WorkerProcess[AttestProgress]) -> None:
        while self._lease()[0] == epoch:  # noqa: ASYNC110 — the lease also ends by time
            await asyncio.sleep(_LOOK_S)
        worker.kill(LeaseLost(epoch=epoch))

    async def _end(self, reason: QuiesceError) -> None:
        if self._running is not None:
            worker = self._running[1]
            worker.kill(reason)
            await worker.ended()


async def prepare(store: Store, timeout_s: float) -> None:
    """Bring what is applied into files, in the background, so that a checkpoint has little left to write.

    Returns after `timeout_s` at the latest: what is left then makes the pause at the mark longer, and nothing else.

    Raises:
        DiskFailed, DamagedStore: the store cannot be written.
    """
    deadline = time.monotonic() + timeout_s
    engine = store.engine
    engine.begin_flush()
    while engine.flushing() and time.monotonic() < deadline:  # noqa: ASYNC110 — RocksDB tells nobody
        await asyncio.sleep(_FLUSH_LOOK_S)
