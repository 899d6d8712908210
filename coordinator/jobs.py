"""The backup jobs of this coordinator: one at a time, whoever watches it or not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from coordinator.cluster import Nodes, survey
from coordinator.documents import Documents, Entry
from coordinator.feed import Feed
from coordinator.job import Backup, Candidate, Failure, Moment, Policy, Request, Verdict, Wish, candidates, owner_of
from coordinator.journal import KEPT, Journal, Recorder
from coordinator.record import JobRecord, failed_last, record_of, to_message
from coordinator.recovery import recover
from coordinator.runner import Runner, is_over
from coordinator.snapshots import Snapshots
from quiesce.errors import InvalidRequest, QuiesceError, RotationHeld, Unavailable, UnknownJob
from quiesce.v1.backup_pb2 import CreateBackupRequest, JobProgress, PreviewBackupRequest
from quiesce.v1.node_pb2 import SnapshotProgress

log = structlog.get_logger()

# Shorter, and an election would end every lease; longer, and a replica might be missing for days.
LEAST_LEASE_MS = 3_000
GREATEST_LEASE_MS = 24 * 3_600_000
RECOVER_PAUSE_S = 1.0
READY_S = 5.0
# A caller that sees the end of a job should also find it in the list; but not at any price.
FLUSH_S = 5.0


@dataclass(frozen=True, slots=True)
class Identifiers:
    """Makes ids: of jobs, and of snapshots."""

    job: Callable[[], str]
    snapshot: Callable[[], str]


class Running:
    """A job that has been started here, until its end is recorded."""

    def __init__(self, runner: Runner, recorder: Recorder, feed: Feed[JobProgress]) -> None:
        self.runner = runner
        self.recorder = recorder
        self.feed = feed
        self.snapshot: SnapshotProgress | None = None
        self.task: asyncio.Task[None] | None = None
        # How the job ended, where its machine did not come to an end.
        self.broken: JobRecord | None = None

    @property
    def record(self) -> JobRecord:
        """The job as it is now."""
        return self.broken or record_of(self.runner.job)

    def progress(self) -> JobProgress:
        """Return the job as those who watch get it."""
        return JobProgress(job=to_message(self.record), snapshot=self.snapshot)


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
    ) -> None:
        self._nodes = nodes
        self._documents = documents
        self._journal = Journal(documents)
        self._snapshots = snapshots
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

    async def make_ready(self) -> None:
        """Wait for the cluster, and end the jobs that an earlier coordinator left."""
        while True:
            try:
                await self._journal.ensure()
                entries = await self._journal.latest()
                await recover(self._journal, self._nodes, self._snapshots, entries, lambda: self._clock().unix_ms)
                await self._journal.prune(entries)
                break
            except QuiesceError as error:
                if self._why_not_ready is None or type(self._why_not_ready) is not type(error):
                    log.info("waiting for the cluster", error=error.message())
                self._why_not_ready = error
            await asyncio.sleep(RECOVER_PAUSE_S)
        log.info("ready", cluster=self._addresses)
        self.ready.set()

    async def start(
        self, wanted: CreateBackupRequest, repository: str, *, job_id: str = "", policy: str = ""
    ) -> Running:
        """Start a backup; as the run of a policy it comes with its id.

        Raises:
            DuplicateKey: there is a job of that id.
            RotationHeld: another one runs.
            Unavailable: the cluster has not been reached yet, or cannot be now.
            InvalidRequest: the lease is too short or too long.
            UnknownDatabase: one that it names is not there.
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
            running = await self._prepare(job_id, wanted, repository, deadlines, policy)
            self._running = running
        finally:
            self._starting = ""
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
        return replace(self._policy, lease_ms=lease_ms)

    async def _wait_ready(self) -> None:
        """Wait a moment for the cluster: both may have been started together."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_S):
                await self.ready.wait()
        why = self._why_not_ready
        if self._stopping:
            detail = "the coordinator is being stopped"
        elif self.ready.is_set():
            return
        elif why is None:
            detail = "the coordinator has not reached its cluster yet"
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
        feed: Feed[JobProgress] = Feed()

        # `running` is there before the runner runs.
        def changed(job: Backup) -> None:
            if job.step.value != "snapshot":
                running.snapshot = None
            if not job.ended:
                running.recorder.put(record_of(job))
                feed.publish(running.progress())

        def progressed(progress: SnapshotProgress) -> None:
            running.snapshot = progress
            feed.publish(running.progress())

        runner = Runner(
            request,
            deadlines,
            nodes=self._nodes,
            snapshots=self._snapshots,
            clock=self._clock,
            new_snapshot_id=self._identifiers.snapshot,
            changed=changed,
            progressed=progressed,
        )
        entry = await self._journal.create(record_of(runner.job))
        recorder = Recorder(self._journal, entry, give_up_s=deadlines.lease_ms / 1000)
        running = Running(runner, recorder, feed)
        return running

    async def _run(self, running: Running) -> None:
        recorder, job_id = running.recorder, running.record.id
        self._unrecorded[job_id] = running
        recorder.start()
        recorder.lost.add_done_callback(
            lambda lost: None if lost.cancelled() else running.runner.journal_lost(lost.result())
        )
        try:
            await self._run_to_end(running)
            recorder.put(running.record)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await recorder.flushed()
        finally:
            self._running = None
            running.feed.publish(running.progress())
            running.feed.close()
            self.on_ended()
        # The cluster may be away for long; the end of the job is written as soon as it is back.
        await recorder.flushed()
        self._unrecorded.pop(job_id, None)

    async def _run_to_end(self, running: Running) -> None:
        try:
            await running.runner.run()
        except Exception as error:  # a job must not run for ever because of a mistake in here
            log.exception("the job broke", job=running.record.id)
            text = f"{type(error).__name__}: {error}; the replica returns when its lease ends"
            failure = Failure.of(QuiesceError(detail=text))
            running.broken = running.record.ended(Verdict.FAILED, failure, self._clock().unix_ms, text)

    def running(self, job_id: str) -> Running | None:
        """Return a job that was started here and is not yet recorded as ended."""
        return self._unrecorded.get(job_id)

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
        here = {job_id: running.record for job_id, running in self._unrecorded.items()}
        recorded = [here.pop(entry.value.id, entry.value) for entry in entries]
        return [*here.values(), *recorded][: min(limit or KEPT, KEPT)]

    async def cancel(self, job_id: str, why: str) -> JobRecord:
        """Cancel a job and wait for its end; one that has ended stays as it was.

        Raises:
            UnknownJob: there is none of that id.
        """
        running = self.running(job_id)
        if running is None:
            return await self.find(job_id)
        if not running.runner.job.ended and not is_over(running.runner.job):
            running.runner.cancel(why)
        async for _ in running.feed.follow():
            pass
        return running.record

    async def stop(self, timeout_s: float) -> None:
        """Cancel what runs, giving its lease back, within `timeout_s` seconds."""
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._starting or (self._running is not None and not self._running.runner.job.ended):
                    # Once more when the lease is given back: nobody waits for the replica to serve again.
                    if self._running is not None:
                        self._running.runner.cancel("the coordinator is being stopped")
                    await asyncio.sleep(0.1)
                for left in list(self._unrecorded.values()):
                    await left.recorder.flushed()
        for left in list(self._unrecorded.values()):
            left.recorder.stop()
            if left.task is not None:
                left.task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await left.task


def _last_used(entries: Sequence[Entry[JobRecord]]) -> int:
    return next((entry.value.node_id for entry in entries if entry.value.node_id), 0)
