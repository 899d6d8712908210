"""Carries out the effects of a backup job: each becomes calls to the cluster or the repository, and then an answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import structlog

from coordinator import cluster
from coordinator.attesters import Attesters, prepare
from coordinator.cluster import Nodes
from coordinator.job import Survey, effects, happenings, owns
from coordinator.job.choosing import Held
from coordinator.job.effects import Effect
from coordinator.job.happenings import Answer
from coordinator.job.impact import Wait
from coordinator.job.model import Backup, Mark, Policy
from coordinator.pacing import Pacer, Watch
from coordinator.pacing.pacer import Terms
from coordinator.snapshots import Snapshots, content_id_of
from quiesce.errors import DeadlineExceeded, OutcomeUnknown, QuiesceError, RotationHeld, SnapshotWorkerFailed
from quiesce.v1.attest_pb2 import AttestRequest
from quiesce.v1.node_pb2 import NodeStatus, ServingState, SnapshotProgress, TakeSnapshotRequest

log = structlog.get_logger()

# The step machine only wants to know that the worker lives.
SIGN_OF_LIFE_S = 0.5
# Of the time for the mark.
PREPARING = 0.25
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
        recorded: returns when the job as it is now is in the journal; JobTakenOver where another goes on with it.
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
        recorded: Callable[[], Awaitable[None]],
    ) -> None:
        self._nodes = nodes
        self._snapshots = snapshots
        self._policy = policy
        self._new_snapshot_id = new_snapshot_id
        self._job = job
        self._tell = tell
        self._show = show
        self._recorded = recorded
        # Begun before the replica is taken out.
        self._watch: Watch | None = None

    async def perform(self, effect: Effect) -> Answer:  # noqa: C901 — one flat table reads best
        """Carry out an effect, and return its answer; raises the QuiesceError it failed with."""
        ticket, epoch = effect.ticket, effect.epoch
        match effect:
            case effects.CheckRepository(repository=repository):
                await self._snapshots.check_writable(repository)
                return happenings.RepositoryReady(ticket)
            case effects.LookAround(pause_ms=pause_ms):
                await asyncio.sleep(pause_ms / 1000)
                return happenings.Surveyed(ticket, await self._survey(), self._new_snapshot_id())
            case effects.TransferLeadership():
                return happenings.Transferred(ticket, await self._nodes.transfer_leadership(0))
            case effects.AcquireLease():
                before = await self._look_at_clients()
                return happenings.Acquired(ticket, await self._acquire(effect), before)
            case effects.AwaitDrained(node_id=node_id):
                await cluster.await_drained(self._nodes, node_id, epoch)
                return happenings.Drained(ticket)
            case effects.WriteMark(voters=voters):
                await prepare(self._nodes, voters, self._policy.mark_ms / 1000 * PREPARING)
                mark = await self._nodes.checkpoint(epoch, fence=self._fence(epoch), attest=True)
                return happenings.Marked(ticket, Mark(mark.term, mark.index, mark.time_ms))
            case effects.AwaitCheckpoint(node_id=node_id, index=index):
                await cluster.await_checkpoint(self._nodes, node_id, epoch, index)
                return happenings.Checkpointed(ticket)
            case effects.TakeSnapshot():
                return await self._take_snapshot(effect)
            case effects.RenewLease(ttl_ms=ttl_ms, timeout_ms=timeout_ms, pause_ms=pause_ms):
                await asyncio.sleep(pause_ms / 1000)
                async with asyncio.timeout(timeout_ms / 1000):
                    await self._nodes.renew_drain(epoch, ttl_ms, fence=self._fence(epoch))
                return happenings.Renewed(ticket)
            case effects.MoveLease(node_id=node_id, ttl_ms=ttl_ms):
                await self._nodes.move_drain(epoch, node_id, ttl_ms, fence=self._fence(epoch))
                return happenings.Moved(ticket, node_id)
            case effects.FindLease(job_id=job_id, pause_ms=pause_ms):
                await asyncio.sleep(pause_ms / 1000)
                held = await self._own_lease(job_id)
                found = (held.epoch, held.node_id) if held is not None else (0, 0)
                return happenings.LeaseFound(ticket, *found, self._new_snapshot_id())
            case effects.TakeOver(owner=owner, ttl_ms=ttl_ms, pause_ms=pause_ms):
                await asyncio.sleep(pause_ms / 1000)
                return happenings.TakenOver(ticket, (await self._nodes.take_over_drain(epoch, ttl_ms, owner)).fence)
            case effects.Withdraw(repository=repository, snapshot_id=snapshot_id, pause_ms=pause_ms):
                await asyncio.sleep(pause_ms / 1000)
                why = f"job {self._job().request.job_id} went on without it"
                withdrawn = await self._snapshots.withdraw(repository, snapshot_id, why)
                return happenings.Settled(ticket, not withdrawn, self._new_snapshot_id())
            case effects.Publish(repository=repository, draft=draft):
                # Who takes the job over must know that the snapshot may be there.
                await self._recorded()
                impact, attestations = await self._impact(effect), dict(effect.attestations)
                policy = self._job().request.policy
                await self._snapshots.publish(repository, draft, epoch, impact, attestations, policy)
                return happenings.Published(ticket)
            case effects.ReleaseLease():
                await self._release(effect)
                return happenings.Released(ticket)
            case effects.AwaitServing(node_id=node_id):
                await cluster.await_serving(self._nodes, node_id)
                return happenings.Returned(ticket)
        raise TypeError(effect)

    def _fence(self, epoch: int) -> int:
        job = self._job()
        return job.fence if epoch == job.epoch else 0

    async def _own_lease(self, job_id: str) -> Held | None:
        held = await cluster.lease_held(self._nodes)
        return held if held is not None and owns(held.owner, job_id) else None

    async def _survey(self) -> Survey:
        survey = await cluster.survey(self._nodes)
        held = survey.lease
        if held is not None and owns(held.owner, self._job().request.job_id):
            # Asked for by a coordinator that is gone, and granted late: it is given back before one is asked for.
            return replace(survey, lease=None)
        return survey

    async def _look_at_clients(self) -> Wait | None:
        self._watch = Watch(self._nodes, self._job().voters)
        return (await self._watch.look()).wait

    async def _acquire(self, effect: effects.AcquireLease) -> int:
        try:
            return await self._drain(effect)
        except RotationHeld:
            held = await self._own_lease(self._job().request.job_id)
            if held is None:
                raise
        if held.owner == effect.owner and held.node_id == effect.node_id:
            return held.epoch
        await self._nodes.undrain(held.epoch, fence=held.fence)
        return await self._drain(effect)

    async def _drain(self, effect: effects.AcquireLease) -> int:
        try:
            lease = await self._nodes.drain(effect.node_id, effect.owner, effect.reason, effect.ttl_ms)
        except (OutcomeUnknown, DeadlineExceeded):
            # The answer was lost: it may well be this job that holds the lease.
            held = await cluster.lease_held(self._nodes)
            if held is None or held.owner != effect.owner or held.node_id != effect.node_id:
                raise
            return held.epoch
        return lease.epoch

    async def _take_snapshot(self, effect: effects.TakeSnapshot) -> Answer:
        job = self._job()
        terms = Terms(
            epoch=effect.epoch,
            fence=self._fence(effect.epoch),
            workers=(effect.node_id, *effect.attesters),
            budget_ms=effect.latency_budget_ms,
            rate_limit=effect.rate_limit,
            before=job.clients.before if job.clients is not None else None,
        )
        watch = self._watch or Watch(self._nodes, job.voters)
        pacer = Pacer(self._nodes, watch, terms, lambda clients: self._tell(happenings.Paced(effect.ticket, clients)))
        wanted = AttestRequest(
            epoch=effect.epoch,
            repository=effect.repository,
            databases=effect.databases,
            rate_limit=pacer.rate,
        )
        # Given up before the step machine, which waits for `stall_ms`, gives up everything.
        stall_s = self._policy.stall_ms / 2000
        began = time.monotonic()
        attesters = Attesters(self._nodes, effect.attesters, wanted, stall_s=stall_s, read=pacer.read)
        async with pacer, attesters:
            taken = await self._take_replicas(effect, pacer)
            # The replica must not stay out of rotation for ever because of another.
            within_s = max(stall_s, time.monotonic() - began)
            attestations = await attesters.finish(within_s, lambda: self._tell(happenings.Progressed(effect.ticket)))
        return replace(taken, attestations=attestations, clients=pacer.impact)

    async def _take_replicas(self, effect: effects.TakeSnapshot, pacer: Pacer) -> happenings.Taken:
        request = TakeSnapshotRequest(
            epoch=effect.epoch,
            snapshot_id=effect.snapshot_id,
            repository=effect.repository,
            databases=effect.databases,
            rate_limit=pacer.rate,
            fence=self._fence(effect.epoch),
        )
        seen, told_at, last = b"", 0.0, SnapshotProgress()
        answers = self._nodes.take_snapshot(effect.node_id, request, idle_s=self._policy.stall_ms / 1000)
        async with contextlib.aclosing(answers):  # type: ignore[type-var]
            async for last in answers:
                draft, state = last.manifest_draft, last.SerializeToString()
                pacer.read(effect.node_id, last.bytes_read)
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
        return happenings.Taken(effect.ticket, last.manifest_draft, text, content_id_of(last.manifest_draft))

    async def _release(self, effect: effects.ReleaseLease) -> None:
        deadline = time.monotonic() + self._policy.release_ms / 1000
        epoch, node_id, fence = effect.epoch, effect.node_id, self._fence(effect.epoch)
        while True:
            try:
                if not epoch:
                    held = await cluster.lease_held(self._nodes)
                    if held is None or held.owner != effect.owner:
                        return
                    epoch, node_id, fence = held.epoch, held.node_id, held.fence
                await self._nodes.undrain(epoch, fence=fence)
                break
            except QuiesceError as error:
                if not error.retryable or time.monotonic() >= deadline:
                    raise
                await asyncio.sleep(RELEASE_PAUSE_S)
        # The node drops it with the lease; asked for as well, in case it was the node that missed it.
        with contextlib.suppress(QuiesceError, TimeoutError):
            async with asyncio.timeout(2.0):
                await self._nodes.drop_checkpoint(node_id, epoch, fence=fence)

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
            "clients": job.clients.facts() if job.clients is not None else None,
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
