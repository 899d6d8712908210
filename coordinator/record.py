"""A job as it is kept and shown: its document in the system database, and its message on the wire."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from coordinator.job.impact import ClientImpact, impact_of
from coordinator.job.model import Backup, Failure, JobEvent, Verdict, blames_replica
from quiesce.errors import BackupFailed, QuiesceError
from quiesce.v1 import backup_pb2

RUNNING = "running"
FAILED_FOR_MS = 24 * 3_600_000
_STATES = {
    RUNNING: backup_pb2.JOB_STATE_RUNNING,
    Verdict.SUCCEEDED.value: backup_pb2.JOB_STATE_SUCCEEDED,
    Verdict.FAILED.value: backup_pb2.JOB_STATE_FAILED,
    Verdict.CANCELLED.value: backup_pb2.JOB_STATE_CANCELLED,
}


@dataclass(frozen=True, slots=True)
class JobRecord:
    """What is known of a job."""

    id: str
    state: str
    step: str
    node_id: int
    epoch: int
    snapshot_id: str
    repository: str
    started_ms: int
    ended_ms: int
    failure: Failure | None
    failed_step: str
    # Nodes on which it has failed, also where it then succeeded on another.
    failed_nodes: tuple[int, ...]
    events: tuple[JobEvent, ...]
    # Whose run it is; empty: somebody asked for it.
    policy: str = ""
    # What another coordinator needs to go on with it; empty where it has ended.
    left: str = ""
    # Nodes that did not hold at the mark what the majority held, and those that held what the snapshot holds.
    diverged_nodes: tuple[int, ...] = ()
    agreeing_nodes: tuple[int, ...] = ()
    # What it cost clients, as far as it is known.
    clients: ClientImpact | None = None

    @property
    def running(self) -> bool:
        """Whether the job has not ended."""
        return self.state == RUNNING

    def ended(self, verdict: Verdict, failure: Failure | None, at_ms: int, text: str) -> JobRecord:
        """Return the record of a job that ended without its machine."""
        events = (*self.events, JobEvent(at_ms, "done", text))
        failed_step = "" if failure is None else self.step
        return replace(
            self,
            state=verdict.value,
            step="done",
            ended_ms=at_ms,
            failure=failure,
            failed_step=failed_step,
            events=events,
            left="",
        )

    def job(self) -> Backup | None:
        """Return the job as it was left, to go on with; None where that cannot be read."""
        try:
            return replace(msgspec.json.decode(self.left, type=Backup), events=self.events)
        except msgspec.DecodeError:
            return None

    def error(self) -> QuiesceError | None:
        """Return the error that a caller of the job gets.

        What concerns the request, rotation, snapshots and data speaks for itself; an error of the way to the cluster is
        put in relation to the backup.
        """
        if self.failure is None:
            return None
        error = self.failure.error()
        if 19 <= error.exit_code < 60 or error.exit_code >= 90:
            return error
        return BackupFailed(step=self.failed_step, detail=error.message().removesuffix("."))


def record_of(job: Backup) -> JobRecord:
    """Return what is kept of a job."""
    # The verdict stands before the lease is given back, but the job runs until then.
    return JobRecord(
        id=job.request.job_id,
        state=job.verdict.value if job.ended and job.verdict is not None else RUNNING,
        step=job.step.value,
        node_id=job.node_id,
        epoch=job.epoch,
        snapshot_id=job.snapshot_id,
        repository=job.request.repository,
        started_ms=job.started_ms,
        ended_ms=job.ended_ms,
        failure=job.failure if job.ended else None,
        failed_step=job.failed_at,
        failed_nodes=_failed_nodes(job),
        events=job.events,
        policy=job.request.policy,
        left="" if job.ended else _left(job),
        diverged_nodes=tuple(sorted(job.diverged)),
        agreeing_nodes=job.agreeing,
        clients=job.clients,
    )


def _left(job: Backup) -> str:
    # Its events are kept beside it; lease and draft are worth nothing to anyone else.
    return msgspec.json.encode(replace(job, events=(), lease=None, draft=b"")).decode()


def _failed_nodes(job: Backup) -> tuple[int, ...]:
    blamed = job.verdict is Verdict.FAILED and job.failure is not None and blames_replica(job.failed_at, job.failure)
    return tuple(sorted(job.tried | {job.node_id} if blamed and job.node_id else job.tried))


def failed_last(records: Iterable[JobRecord], now_ms: int) -> frozenset[int]:
    """Return the nodes on which the last backup that tried them failed; `records` begin with the latest.

    What is longer ago than a day counts no more: nobody else would find out that the node is well again. A node that
    has diverged counts until it attests the same as the others.
    """
    records = list(records)
    failed: set[int] = set(diverged_last(records))
    known: set[int] = set(failed)
    for record in itertools.takewhile(lambda one: one.started_ms > now_ms - FAILED_FOR_MS, records):
        failed.update(set(record.failed_nodes) - known)
        known.update(record.failed_nodes)
        if record.state == Verdict.SUCCEEDED.value:
            known.add(record.node_id)
    return frozenset(failed)


def diverged_last(records: Iterable[JobRecord]) -> frozenset[int]:
    """Return the nodes that had diverged when a backup last compared them; `records` begin with the latest."""
    diverged: set[int] = set()
    known: set[int] = set()
    for record in records:
        diverged.update(set(record.diverged_nodes) - known)
        known.update(record.diverged_nodes, record.agreeing_nodes)
    return frozenset(diverged)


def to_document(record: JobRecord) -> dict[str, Any]:
    """Return the fields of a job's document."""
    failure = record.failure
    return {
        "id": record.id,
        "kind": "backup",
        "state": record.state,
        "step": record.step,
        "node_id": record.node_id,
        "epoch": record.epoch,
        "snapshot_id": record.snapshot_id,
        "repository": record.repository,
        "started_ms": record.started_ms,
        "ended_ms": record.ended_ms,
        "failed_step": record.failed_step,
        "failed_nodes": list(record.failed_nodes),
        "diverged_nodes": list(record.diverged_nodes),
        "agreeing_nodes": list(record.agreeing_nodes),
        "clients": record.clients.facts() if record.clients is not None else None,
        "policy": record.policy,
        "left": record.left,
        "error_reason": failure.reason if failure else "",
        "error_message": failure.message if failure else "",
        "error_fields": dict(failure.fields) if failure else {},
        "events": [{"at_ms": event.at_ms, "step": event.step, "text": event.text} for event in record.events],
    }


def from_document(document: Mapping[str, Any]) -> JobRecord:
    """Return the record in a document; fields that a newer coordinator added are left out."""
    failure = None
    if document.get("error_reason"):
        fields = tuple(sorted((str(key), str(value)) for key, value in (document.get("error_fields") or {}).items()))
        failure = Failure(str(document["error_reason"]), str(document.get("error_message", "")), fields)
    events = tuple(
        JobEvent(int(event["at_ms"]), str(event["step"]), str(event["text"])) for event in document.get("events") or ()
    )
    return JobRecord(
        id=str(document["id"]),
        state=str(document["state"]),
        step=str(document.get("step", "")),
        node_id=int(document.get("node_id", 0)),
        epoch=int(document.get("epoch", 0)),
        snapshot_id=str(document.get("snapshot_id", "")),
        repository=str(document.get("repository", "")),
        started_ms=int(document.get("started_ms", 0)),
        ended_ms=int(document.get("ended_ms", 0)),
        failure=failure,
        failed_step=str(document.get("failed_step", "")),
        failed_nodes=tuple(int(node) for node in document.get("failed_nodes") or ()),
        events=events,
        policy=str(document.get("policy", "")),
        left=str(document.get("left", "")),
        diverged_nodes=tuple(int(node) for node in document.get("diverged_nodes") or ()),
        agreeing_nodes=tuple(int(node) for node in document.get("agreeing_nodes") or ()),
        clients=impact_of(document.get("clients")),
    )


def to_message(record: JobRecord) -> backup_pb2.Job:
    """Return the job as it travels."""
    error = record.error()
    return backup_pb2.Job(
        id=record.id,
        state=_STATES.get(record.state, backup_pb2.JOB_STATE_UNSPECIFIED),
        step=record.step,
        node_id=record.node_id,
        epoch=record.epoch,
        snapshot_id=record.snapshot_id,
        started_ms=record.started_ms,
        ended_ms=record.ended_ms,
        error_reason=error.reason() if error else "",
        error_message=error.message() if error else "",
        events=[backup_pb2.JobEvent(at_ms=e.at_ms, step=e.step, text=e.text) for e in record.events],
        repository=record.repository,
        policy=record.policy,
        diverged_nodes=record.diverged_nodes,
        clients=record.clients.message() if record.clients is not None else None,
    )
