"""How fast the workers of this node may read: as who holds the lease has said last."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from nodes.rotation.held import Held
from nodes.service.worker_process import WorkerProcess
from quiesce.errors import LeaseLost
from quiesce.v1.latency_pb2 import SetWorkerRateRequest


class WorkerRate:
    """Passes the rate on to workers that run, and to those that are started later under the same lease.

    Args:
        lease: returns the lease as the applied state has it, whichever node is out of rotation.
    """

    def __init__(self, lease: Callable[[], Held | None]) -> None:
        self._lease = lease
        self._said: tuple[Held, int] | None = None
        self._workers: dict[WorkerProcess[Any], int] = {}

    def change(self, request: SetWorkerRateRequest) -> int:
        """Take a rate, and return how many workers were told; the same one twice does no harm.

        A worker that takes nothing at the moment, because it stands still, is told the next one.

        Raises:
            LeaseLost: the lease does not hold, or is not the caller's.
        """
        held = Held(request.epoch, request.fence or request.epoch)
        if self._lease() != held:
            raise LeaseLost(epoch=request.epoch)
        self._said = held, request.rate_limit
        return sum(
            worker.change_rate(request.rate_limit) for worker, epoch in self._workers.items() if epoch == held.epoch
        )

    @contextlib.asynccontextmanager
    async def told(self, epoch: int, worker: WorkerProcess[Any]) -> AsyncIterator[None]:
        """Keep a worker up to date while the block runs.

        It was started at the rate in its request, and another may have been said since: for instance when a worker is
        asked for again after its node's restart.
        """
        self._workers[worker] = epoch
        if self._said is not None and self._said[0].epoch == epoch and self._said[0] == self._lease():
            worker.change_rate(self._said[1])
        try:
            yield
        finally:
            del self._workers[worker]
