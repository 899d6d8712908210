"""Carries out the effects of a backup job: each becomes calls to the cluster or the repository, and then an answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import structlog

from coordinator import cluster
from coordinator.cluster import Nodes
from coordinator.job import effects, happenings
from coordinator.job.effects import Effect
from coordinator.job.happenings import Answer
from coordinator.job.model import Backup, Mark, Policy
from coordinator.snapshots import Snapshots
from quiesce.errors import DeadlineExceeded, OutcomeUnknown, QuiesceError, RotationHeld, SnapshotWorkerFailed
from quiesce.v1.node_pb2 import NodeStatus, ServingState, SnapshotProgress, TakeSnapshotRequest

log = structlog.get_logger()

# The step machine only wants to know that the worker lives.
SIGN_OF_LIFE_S = 0.5
# The cluster may be between two leaders when a lease is to be given back.
RELEASE_PAUSE_S = 0.2


class Performer:
    """Performs the effects of one job.

    Args:
        nodes: the cluster.
        snapshots: the repositories.
        policy: the job's.
        new_snapshot_id: makes a fresh snapshot id.
        job: returns the job as it is now.
        tell: takes in signs of life on the way to an answer.
        show: takes in the worker's progress.
    """

    def __init__(
        self,
        *,
        nodes: Nodes,
        snapshots: Snapshots,
        policy: Policy,
        new_snapshot_id: Callable[[], str],
        job: Callable[[], Backup],
        tell: Callable[[Answer], None],
        show: Callable[[SnapshotProgress], None],
    ) -> None:
        self._nodes = nodes
        self._snapshots = snapshots
        self._policy = policy
        self._new_snapshot_id = new_snapshot_id
        self._job = job
        self._tell = tell
        self._show = show

    async def perform(self, effect: Effect) -> Answer:  # noqa: C901 — one flat table reads best
        """Carry out an effect, and return its answer; raises the QuiesceError it failed with."""
        ticket, epoch = effect.ticket, effect.epoch
        match effect:
            case effects.CheckRepository(repository=repository):
                await self._snapshots.check_writable(repository)
                return happenings.RepositoryReady(ticket)
            case effects.LookAround(pause_ms=pause_ms):
                await asyncio.sleep(pause_ms / 1000)
                return happenings.Surveyed(ticket, await cluster.survey(self._nodes), self._new_snapshot_id())
            case effects.TransferLeadership():
                return happenings.Transferred(ticket, await self._nodes.transfer_leadership(0))
            case effects.AcquireLease():
                return happenings.Acquired(ticket, await self._acquire(effect))
            case effects.AwaitDrained(node_id=node_id):
                await cluster.await_drained(self._nodes, node_id, epoch)
                return happenings.Drained(ticket)
            case effects.WriteMark():
                mark = await self._nodes.checkpoint(epoch)
                return happenings.Marked(ticket, Mark(mark.term, mark.index, mark.time_ms))
            case effects.AwaitCheckpoint(node_id=node_id):
                await cluster.await_checkpoint(self._nodes, node_id, epoch)
                return happenings.Checkpointed(ticket)
            case effects.TakeSnapshot():
                return await self._take_snapshot(effect)
            case effects.RenewLease(ttl_ms=ttl_ms, timeout_ms=timeout_ms, pause_ms=pause_ms):
                await asyncio.sleep(pause_ms / 1000)
                async with asyncio.timeout(timeout_ms / 1000):
                    await self._nodes.renew_drain(epoch, ttl_ms)
                return happenings.Renewed(ticket)
            case effects.Publish(repository=repository, draft=draft):
                impact = await self._impact(effect)
                await self._snapshots.publish(repository, draft, epoch, impact, self._job().request.policy)
                return happenings.Published(ticket)
            case effects.ReleaseLease():
                await self._release(effect)
                return happenings.Released(ticket)
            case effects.AwaitServing(node_id=node_id):
                await cluster.await_serving(self._nodes, node_id)
                return happenings.Returned(ticket)
        raise TypeError(effect)

    async def _acquire(self, effect: effects.AcquireLease) -> int:
        try:
            lease = await self._nodes.drain(effect.node_id, effect.owner, effect.reason, effect.ttl_ms)
        except (RotationHeld, OutcomeUnknown, DeadlineExceeded) as error:
            # The answer was lost, or the request came twice: it may well be this job that holds the lease.
            if isinstance(error, RotationHeld) and error.fields.get("owner") != effect.owner:
                raise
            held = await cluster.lease_held(self._nodes)
            if held is None or held.owner != effect.owner:
                raise
            return held.epoch
        return lease.epoch

    async def _take_snapshot(self, effect: effects.TakeSnapshot) -> Answer:
        request = TakeSnapshotRequest(
            epoch=effect.epoch,
            snapshot_id=effect.snapshot_id,
            repository=effect.repository,
            databases=effect.databases,
            rate_limit=effect.rate_limit,
        )
        seen, told_at, last = b"", 0.0, SnapshotProgress()
        answers = self._nodes.take_snapshot(effect.node_id, request, idle_s=self._policy.stall_ms / 1000)
        async with contextlib.aclosing(answers):  # type: ignore[type-var]
            async for last in answers:
                draft, state = last.manifest_draft, last.SerializeToString()
                if not draft:
                    self._show(last)
                # A worker that says the same over and over is stuck, however often it says so.
                if state != seen and time.monotonic() - told_at >= SIGN_OF_LIFE_S:
                    seen, told_at = state, time.monotonic()
                    self._tell(happenings.Progressed(effect.ticket))
        if not last.manifest_draft:
            detail = "it said neither that it was done nor that it failed"
            raise SnapshotWorkerFailed(node_id=effect.node_id, code="unknown", detail=detail)
        text = (
            f"all pages are in the repository: {last.pages_done} pages, {last.records} records, "
            f"{last.bytes_read} bytes read, {last.bytes_uploaded} bytes uploaded"
        )
        shown = SnapshotProgress()
        shown.CopyFrom(last)
        shown.ClearField("manifest_draft")
        self._show(shown)
        return happenings.Taken(effect.ticket, last.manifest_draft, text)

    async def _release(self, effect: effects.ReleaseLease) -> None:
        deadline = time.monotonic() + self._policy.release_ms / 1000
        epoch, node_id = effect.epoch, effect.node_id
        while True:
            try:
                if not epoch:
                    held = await cluster.lease_held(self._nodes)
                    if held is None or held.owner != effect.owner:
                        return
                    epoch, node_id = held.epoch, held.node_id
                await self._nodes.undrain(epoch)
                break
            except QuiesceError as error:
                if not error.retryable or time.monotonic() >= deadline:
                    raise
                await asyncio.sleep(RELEASE_PAUSE_S)
        # The node drops it with the lease; asked for as well, in case it was the node that missed it.
        with contextlib.suppress(QuiesceError, TimeoutError):
            async with asyncio.timeout(2.0):
                await self._nodes.drop_checkpoint(node_id, epoch)

    async def _impact(self, effect: effects.Publish) -> dict[str, Any]:
        """Return how long each state of the replica lasted, and when each step of the job was reached."""
        job = self._job()
        states: list[dict[str, Any]] = []
        with contextlib.suppress(QuiesceError):
            states = _states(await self._nodes.status(effect.node_id, timeout_s=5.0), job.started_ms)
        return {
            "job_id": job.request.job_id,
            "node_id": effect.node_id,
            "epoch": effect.epoch,
            "attempt": job.attempt,
            "lease_ms": job.policy.lease_ms,
            "started_ms": job.started_ms,
            "states": states,
            "steps": [{"step": event.step, "at_ms": event.at_ms, "text": event.text} for event in job.events],
        }


def _states(status: NodeStatus, since_ms: int) -> list[dict[str, Any]]:
    # The state it was in when the job began is the first of interest.
    before = max((i for i, change in enumerate(status.history) if change.at_ms <= since_ms), default=0)
    return [
        {
            "state": ServingState.Name(change.state).removeprefix("SERVING_STATE_"),
            "at_ms": change.at_ms,
            "reason": change.reason,
        }
        for change in status.history[before:]
    ]
