"""Shows a backup job as it goes on."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from quiesce.cli.impact_text import impact_facts, impact_lines
from quiesce.cli.output import Output, Progress
from quiesce.cli.units import amount, clock_text, time_text
from quiesce.v1.backup_pb2 import Job, JobEvent, JobProgress, JobState
from quiesce.v1.node_pb2 import SnapshotProgress


def state_name(job: Job) -> str:
    """Return `running`, `succeeded`..."""
    return JobState.Name(job.state).removeprefix("JOB_STATE_").lower()


def job_facts(job: Job) -> dict[str, Any]:
    """Return a job as JSON has it."""
    facts: dict[str, Any] = {
        "job_id": job.id,
        "state": state_name(job),
        "step": job.step,
        "node_id": job.node_id,
        "epoch": job.epoch,
        "snapshot_id": job.snapshot_id,
        "repository": job.repository,
        "policy": job.policy,
        "started_ms": job.started_ms,
        "ended_ms": job.ended_ms,
        "events": [{"at_ms": event.at_ms, "step": event.step, "text": event.text} for event in job.events],
    }
    if job.HasField("clients"):
        facts["clients"] = impact_facts(job.clients)
    if job.diverged_nodes:
        facts["diverged_nodes"] = list(job.diverged_nodes)
    if job.error_reason:
        facts["error"] = {"reason": job.error_reason, "message": job.error_message}
    return facts


def trouble(job: Job) -> str:
    """Return what is wrong with a job, in a line; empty: nothing."""
    parts = [job.error_message] if job.error_message else []
    if job.diverged_nodes:
        parts.append(f"diverged: node {node_list(job)}")
    return "; ".join(parts)


def job_text(job: Job) -> str:
    """Return a job as people read it: what it is, what is wrong with it, and its steps."""
    lines = [f"Backup {job.id}: {state_name(job)}"]
    facts = {
        "policy": job.policy,
        "node": str(job.node_id or ""),
        "snapshot": job.snapshot_id,
        "repository": job.repository,
        "started": time_text(job.started_ms),
        "ended": time_text(job.ended_ms) if job.ended_ms else "",
        "error": trouble(job),
        **(impact_lines(impact_facts(job.clients)) if job.HasField("clients") else {}),
    }
    lines += [f"{name:<12}{value}" for name, value in facts.items() if value]
    return "\n".join([*lines, "", *map(event_text, job.events)])


def event_text(event: JobEvent) -> str:
    """Return a line of a job's history."""
    return f"{clock_text(event.at_ms)}  {event.step:<10} {event.text}"


def node_list(job: Job) -> str:
    """Return the nodes that have diverged."""
    return ", ".join(map(str, job.diverged_nodes))


class Follower:
    """Says what happens to a job: its events once each, and a bar while pages are written."""

    def __init__(self, output: Output) -> None:
        self.job = Job()
        self._output = output
        self._said = 0
        self._bar: Progress | None = None

    def show(self, answer: JobProgress, stack: ExitStack) -> None:
        """Show one answer of the coordinator; a bar stays until `stack` closes."""
        if not self.job.id:
            self._output.message(f"Backup {answer.job.id}", job_id=answer.job.id)
        self.job = answer.job
        for event in answer.job.events[self._said :]:
            facts = {"job_id": answer.job.id, "at_ms": event.at_ms, "step": event.step, "node_id": answer.job.node_id}
            self._output.message(event_text(event), **facts)
        self._said = max(self._said, len(answer.job.events))
        if answer.HasField("snapshot") and answer.snapshot.pages_total:
            self._advance(answer.snapshot, stack)

    def _advance(self, snapshot: SnapshotProgress, stack: ExitStack) -> None:
        if self._bar is None:
            self._bar = stack.enter_context(self._output.progress("Snapshot", unit="pages"))
        self._bar.update(
            snapshot.pages_done,
            snapshot.pages_total,
            reused=snapshot.pages_reused,
            records=snapshot.records,
            uploaded=snapshot.bytes_uploaded if self._output.json else amount(snapshot.bytes_uploaded, binary=True),
        )
