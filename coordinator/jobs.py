"""The backup jobs of the cluster: one at a time, by the coordinator that leads, whoever watches it or not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from coordinator.cluster import Nodes, survey
from coordinator.documents import Documents, Entry
from coordinator.job import (
    Candidate,
    Failure,
    Moment,
    Policy,
    Request,
    Verdict,
    Wish,
    begin,
    candidates,
    owner_of,
    resume,
)
from coordinator.job.impact import check_budget
from coordinator.journal import KEPT, Journal
from coordinator.leadership import Leadership
from coordinator.record import JobRecord, failed_last, record_of
from coordinator.runner import is_over
from coordinator.running import Running, Surroundings
from coordinator.snapshots import Snapshots
from quiesce.errors import (
    BackupFailed,
    InvalidRequest,
    QuiesceError,
    RotationHeld,
    StaleVersion,
    Unavailable,
    UnknownJob,
    UnknownRecord,
)
from quiesce.v1.backup_pb2 import CreateBackupRequest, PreviewBackupRequest

log = structlog.get_logger()

# Shorter, and an election would end every lease; longer, and a replica might be missing for days.
LEAST_LEASE_MS = 3_000
GREATEST_LEASE_MS = 24 * 3_600_000
RECOVER_PAUSE_S = 1.0
READY_S = 5.0
# A caller that sees the end of a job should also find it in the list; but not at any price.
FLUSH_S = 5.0
# A coordinator that is stopped leaves the replica out of rotation so long for the next one.
HAND_OVER_MS = 10_000


@dataclass(frozen=True, slots=True)
class Identifiers:
    """Makes ids: of jobs, and of snapshots."""

    job: Callable[[], str]
    snapshot: Callable[[], str]


class Jobs:
    """Starts, shows, cancels and recovers jobs.

    Args:
        nodes: the cluster's nodes.
        documents: the cluster's databases.
        snapshots: the repositories.
        policy: deadlines of jobs, and the default length of a lease.
        clock: the time.
        identifiers: makes ids.
        addresses: of the cluster, for messages.
        leadership: whether this coordinator runs them.
    """

    def __init__(
        self,
        *,
        nodes: Nodes,
        documents: Documents,
        snapshots: Snapshots,
        policy: Policy,
        clock: Callable[[], Moment],
        identifiers: Identifiers,
        addresses: str,
        leadership: Leadership,
    ) -> None:
        self._nodes = nodes
        self._documents = documents
        self._journal = Journal(documents)
        self._around = Surroundings(nodes, snapshots, self._journal, clock, identifiers.snapshot)
        self._leadership = leadership
        self._policy = policy
        self._clock = clock
        self._identifiers = identifiers
        self._addresses = addresses
        # Named before it is there: two that ask at the same moment must not both get in.
        self._starting = ""
        self._running: Running | None = None
        self._unrecorded: dict[str, Running] = {}
        self._why_not_ready: QuiesceError | None = None
        self.ready = asyncio.Event()
        # Called when a job has ended.
        self.on_ended: Callable[[], None] = lambda: None
        self._stopping = False

    async def lead(self) -> None:
        """Go on with what was left, then take new jobs; until it is cancelled, because another leads or nobody can."""
        while True:
            try:
                await self._journal.ensure()
                entries = await self._journal.latest()
                await self._journal.prune(entries)
                if await self._go_on([entry for entry in reversed(entries) if self._is_left(entry.value)]):
                    break
            except QuiesceError as error:
                if self._why_not_ready is None or type(self._why_not_ready) is not type(error):
                    log.info("waiting for the cluster", error=error.message())
                self._why_not_ready = error
            await asyncio.sleep(RECOVER_PAUSE_S)
        log.info("ready", cluster=self._addresses)
        self.ready.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ready.clear()

    def _is_left(self, record: JobRecord) -> bool:
        mine = self._running.record.id if self._running is not None else ""
        return record.running and record.id != mine and record.id not in self._unrecorded

    async def _go_on(self, left: Sequence[Entry[JobRecord]]) -> bool:
        """Go on with the job that was left; no more than one can have begun its work.

        Returns whether that is all: a last word of the one who had it may have come in between.
        """
        all_seen = True
        for entry in left:
            job = entry.value.job() if self._running is None else None
            try:
                if job is None:
                    text = "its coordinator ended before it had begun; run it again"
                    failure = Failure.of(BackupFailed(step=entry.value.step, detail=text))
                    ended = entry.value.ended(Verdict.FAILED, failure, self._clock().unix_ms, text)
                    await self._journal.advance(entry, ended)
                else:
                    resumed, first = resume(job, self._clock())
                    log.warning("going on with a job that was left", job=entry.value.id, step=entry.value.step)
                    # From here on the one who had it cannot record that it publishes, and so does not.
                    await self._journal.advance(entry, record_of(resumed))
                    self._begin(Running(resumed, first, entry, self._around))
            except (StaleVersion, UnknownRecord):
                # Not by one that leads as well, or this would not be running: nobody else will go on with it.
                all_seen = False
        return all_seen

    async def start(
        self, wanted: CreateBackupRequest, repository: str, *, job_id: str = "", policy: str = ""
    ) -> Running:
        """Start a backup; as the run of a policy it comes with its id.

        Raises:
            DuplicateKey: there is a job of that id.
            RotationHeld: another one runs.
            Unavailable: the cluster has not been reached yet, or cannot be now.
            InvalidRequest: the lease is too short or too long, or the latency budget too long.
            UnknownDatabase: one that it names is not there.
            NotLeading: another coordinator runs the jobs.
        """
        deadlines = self._policy_for(wanted)
        await self._wait_ready()
        self._check_free()
        job_id = job_id or self._identifiers.job()
        self._starting = job_id
        try:
            for name in wanted.databases:
                # Before any node leaves rotation for nothing.
                await self._documents.database(name)
            return self._begin(await self._prepare(job_id, wanted, repository, deadlines, policy))
        finally:
            self._starting = ""

    def _begin(self, running: Running) -> Running:
        self._running = running
        running.task = asyncio.create_task(self._run(running))
        return running

    async def preview(self, wanted: PreviewBackupRequest) -> list[Candidate]:
        """Return the replicas in the order in which a backup that began now would take them.

        Raises:
            RotationHeld, Unavailable, UnknownDatabase, UnknownNode, ClusterDegraded: it would be refused.
        """
        await self._wait_ready()
        self._check_free()
        for name in wanted.databases:
            await self._documents.database(name)
        entries = await self._journal.latest()
        wish = Wish(wanted.node_id, last_used=_last_used(entries), failed=self._failed(entries))
        return candidates(await survey(self._nodes), wish)

    def _failed(self, entries: Sequence[Entry[JobRecord]]) -> frozenset[int]:
        return failed_last((entry.value for entry in entries), self._clock().unix_ms)

    def _policy_for(self, wanted: CreateBackupRequest) -> Policy:
        lease_ms = wanted.lease_ms or self._policy.lease_ms
        if not LEAST_LEASE_MS <= lease_ms <= GREATEST_LEASE_MS:
            detail = f"lease_ms is {lease_ms}, not between {LEAST_LEASE_MS} and {GREATEST_LEASE_MS}"
            raise InvalidRequest(detail=detail)
        check_budget(wanted.latency_budget_ms)
        budget_ms = wanted.latency_budget_ms or self._policy.latency_budget_ms
        return replace(self._policy, lease_ms=lease_ms, latency_budget_ms=budget_ms)

    async def _wait_ready(self) -> None:
        """Wait a moment for the cluster: both may have been started together."""
        if self._leadership.follows:
            self._leadership.check()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_S):
                await self.ready.wait()
        why = self._leadership.error or self._why_not_ready
        if self._stopping:
            detail = "the coordinator is being stopped"
        elif self.ready.is_set():
            self._leadership.check()
            return
        elif why is None:
            raise self._leadership.not_leading()
        else:
            # The inner one's address and question would only say the same twice.
            detail = why.fields.get("detail", why.message())
        raise Unavailable(addresses=self._addresses, seconds=f"{READY_S:g}", detail=detail)

    def _check_free(self) -> None:
        if self._starting or self._running is not None:
            record = self._running.record if self._running is not None else None
            raise RotationHeld(
                node_id=record.node_id if record and record.node_id else "(not chosen yet)",
                owner=owner_of(record.id if record else self._starting),
                reason=f"step {record.step}" if record else "starting",
                expires="that job ends",
                job_id=record.id if record else self._starting,
            )

    async def _prepare(
        self, job_id: str, wanted: CreateBackupRequest, repository: str, deadlines: Policy, policy: str
    ) -> Running:
        entries = await self._journal.latest()
        await self._journal.prune(entries)
        request = Request(
            job_id=job_id,
            repository=repository,
            databases=tuple(wanted.databases),
            node_id=wanted.node_id,
            rate_limit=wanted.rate_limit,
            last_used=_last_used(entries),
            failed=self._failed(entries),
            policy=policy,
        )
        job, first = begin(request, deadlines, self._clock())
        return Running(job, first, await self._leadership.create(self._journal, record_of(job)), self._around)

    async def _run(self, running: Running) -> None:
        job_id = running.record.id
        self._unrecorded[job_id] = running
        try:
            await running.run()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await running.recorder.flushed()
        except asyncio.CancelledError:
            running.gone = running.gone or self._leadership.not_leading()
            raise
        finally:
            self._running = None
            if running.gone is not None:
                self._unrecorded.pop(job_id, None)
            running.close()
            self.on_ended()
        # The cluster may be away for long; the end of the job is written as soon as it is back.
        await running.recorder.flushed()
        self._unrecorded.pop(job_id, None)

    def running(self, job_id: str) -> Running | None:
        """Return a job that was started here and is not yet recorded as ended."""
        return self._unrecorded.get(job_id) if self._leadership.leads else None

    async def running_or_ended(self, job_id: str) -> Running | JobRecord:
        """Return a job that runs here, or has ended.

        Raises:
            UnknownJob: there is none of that id.
            NotLeading: another coordinator runs it.
        """
        if (running := self.running(job_id)) is None:
            record = await self.find(job_id)
            if not record.running:
                return record
            # One that has just begun to lead is about to go on with it.
            await self._wait_ready()
            if (running := self.running(job_id)) is None:
                return await self.find(job_id)
        return running

    async def find(self, job_id: str) -> JobRecord:
        """Return a job as it is now; UnknownJob where there is none."""
        running = self.running(job_id)
        if running is not None:
            return running.record
        if not job_id:
            raise UnknownJob(job_id=job_id)
        return await self._journal.find(job_id)

    async def list(self, limit: int) -> list[JobRecord]:
        """Return the latest jobs, the latest first."""
        entries = await self._journal.latest()
        # Who stood still and was taken over from knows less than the journal.
        unrecorded = self._unrecorded if self._leadership.leads else {}
        here = {job_id: running.record for job_id, running in unrecorded.items()}
        recorded = [here.pop(entry.value.id, entry.value) for entry in entries]
        return [*here.values(), *recorded][: min(limit or KEPT, KEPT)]

    async def cancel(self, job_id: str, why: str) -> JobRecord:
        """Cancel a job and wait for its end; one that has ended stays as it was.

        Raises:
            UnknownJob: there is none of that id.
            NotLeading, JobTakenOver: another coordinator runs it.
        """
        running = await self.running_or_ended(job_id)
        if isinstance(running, JobRecord):
            return running
        if not running.runner.job.ended and not is_over(running.runner.job):
            running.runner.cancel(why)
        async for _ in running.feed.follow():
            pass
        if running.gone is not None:
            raise running.gone
        return running.record

    def check_leads(self) -> None:
        """Check that this coordinator runs the jobs; NotLeading where another does."""
        self._leadership.check()

    async def leave(self) -> None:
        """Leave what runs as it is: another coordinator goes on with it."""
        for left in list(self._unrecorded.values()):
            left.recorder.stop()
            if left.task is not None:
                left.task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await left.task

    async def stop(self, timeout_s: float) -> None:
        """Leave what runs to the next coordinator; where none comes soon, the replica is back all the same."""
        self._stopping = True
        held = self._running.runner.job if self._running is not None else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for running in list(self._unrecorded.values()):
                    if running.runner.job.ended:
                        await running.recorder.flushed()
                    else:
                        await running.recorder.written()
        await self.leave()
        if held is not None and held.lease is not None and held.policy.lease_ms > HAND_OVER_MS:
            with contextlib.suppress(QuiesceError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._nodes.renew_drain(held.epoch, HAND_OVER_MS, fence=held.fence)


def _last_used(entries: Sequence[Entry[JobRecord]]) -> int:
    return next((entry.value.node_id for entry in entries if entry.value.node_id), 0)
