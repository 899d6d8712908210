"""Has the other voters say what they hold at a mark, beside the snapshot of the one that is out of rotation."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import structlog

from coordinator.cluster import Nodes
from coordinator.job.attesting import Attestation
from quiesce.errors import DamagedStore, QuiesceError
from quiesce.v1.attest_pb2 import AttestProgress, AttestRequest

log = structlog.get_logger()

LOOK_S = 0.5
# A node that is being restarted still has its checkpoint when it is back.
AGAIN_S = 0.5


class Attesters:
    """Asks nodes to attest, all at once; leaving the context stops those that have not ended.

    Args:
        nodes: the cluster.
        asked: ids of the nodes.
        request: what they are asked.
        stall_s: the most seconds without progress. A node that takes longer is not waited for.
        read: told how many bytes a node has read.
    """

    def __init__(
        self,
        nodes: Nodes,
        asked: Sequence[int],
        request: AttestRequest,
        *,
        stall_s: float,
        read: Callable[[int, int], None] = lambda _node, _total: None,
    ) -> None:
        self._nodes = nodes
        self._request = request
        self._stall_s = stall_s
        self._asked = asked
        self._tell_read = read
        self._tasks: dict[int, asyncio.Task[Attestation]] = {}
        self._seen: dict[int, AttestProgress] = {}

    async def __aenter__(self) -> Self:
        self._tasks = {node: asyncio.create_task(self._ask(node)) for node in self._asked}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def finish(self, within_s: float, alive: Callable[[], None]) -> tuple[Attestation, ...]:
        """Return what each node said, within `within_s` seconds; `alive` is told that one still gets on."""
        deadline = time.monotonic() + within_s
        pending, seen = set(self._tasks.values()), self._read()
        while pending and (left_s := deadline - time.monotonic()) > 0:
            _, pending = await asyncio.wait(pending, timeout=min(LOOK_S, left_s))
            if self._read() != seen:
                seen = self._read()
                alive()
        return tuple(self._outcome(node, task) for node, task in self._tasks.items())

    def _read(self) -> dict[int, bytes]:
        return {node: progress.SerializeToString() for node, progress in self._seen.items()}

    def _outcome(self, node_id: int, task: asyncio.Task[Attestation]) -> Attestation:
        if task.done():
            return task.result()
        seen = self._seen.get(node_id, AttestProgress())
        why = f"it had read {seen.pages_done} of {seen.pages_total} pages when it was not waited for any longer"
        return Attestation(node_id, why=why)

    async def _ask(self, node_id: int) -> Attestation:
        patience_s = self._stall_s / 2
        until = time.monotonic() + patience_s
        while True:
            try:
                return await self._read_answers(node_id)
            except DamagedStore as error:
                return Attestation(node_id, why=error.message(), damaged=True)
            except QuiesceError as error:
                if not error.retryable or time.monotonic() >= until:
                    log.warning("a node does not attest", node=node_id, error=error.message())
                    return Attestation(node_id, why=error.message())
            except Exception as error:  # whatever it is, a backup does not fail for it
                log.exception("a node does not attest", node=node_id)
                return Attestation(node_id, why=f"{type(error).__name__}: {error}")
            await asyncio.sleep(AGAIN_S)

    async def _read_answers(self, node_id: int) -> Attestation:
        answers = self._nodes.attest(node_id, self._request, idle_s=self._stall_s)
        last = AttestProgress()
        async with contextlib.aclosing(answers):  # type: ignore[type-var]
            async for last in answers:
                self._seen[node_id] = last
                self._tell_read(node_id, last.bytes_read)
        if not last.content_id:
            return Attestation(node_id, why="its worker said neither that it was done nor that it failed")
        return Attestation(node_id, last.content_id)


async def prepare(nodes: Nodes, voters: Sequence[int], within_s: float) -> None:
    """Have the voters write out what a checkpoint would have to write, as far as they get within `within_s` seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            # A node that does not pauses longer at the mark, no more.
            await asyncio.gather(*(nodes.prepare_mark(node) for node in voters), return_exceptions=True)
