"""A drill as it is kept in the cluster, beside its snapshot, and on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from coordinator.documents import Kind
from coordinator.drills.model import Drill, Failure, Outcome
from quiesce import __version__
from quiesce.errors import QuiesceError
from quiesce.repository.drills import DrillError, DrillRecord
from quiesce.v1 import drill_pb2

_OUTCOMES = {
    Outcome.RUNNING: drill_pb2.DRILL_OUTCOME_RUNNING,
    Outcome.VERIFIED: drill_pb2.DRILL_OUTCOME_VERIFIED,
    Outcome.FAILED: drill_pb2.DRILL_OUTCOME_FAILED,
    Outcome.INTERRUPTED: drill_pb2.DRILL_OUTCOME_INTERRUPTED,
}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a drill. Times are Unix milliseconds."""

    id: str
    outcome: Outcome
    step: str
    repository: str
    snapshot_id: str
    policy: str
    started_ms: int
    ended_ms: int = 0
    parts: tuple[tuple[str, int], ...] = ()
    records: int = 0
    bytes_raw: int = 0
    index_entries: int = 0
    links: int = 0
    dangling_links: int = 0
    failure: Failure | None = None
    # Whose drill it is, and when they last said that it goes on.
    owner: str = ""
    seen_ms: int = 0

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.outcome is Outcome.RUNNING

    def error(self) -> QuiesceError | None:
        """Return why it has not verified the snapshot."""
        return self.failure.error() if self.failure is not None else None


def report_of(drill: Drill, owner: str, now_ms: int) -> Report:
    """Return what is kept of a drill."""
    subject, restored, checked = drill.subject, drill.restored, drill.checked
    return Report(
        id=drill.request.drill_id,
        outcome=drill.outcome,
        step=drill.step.value,
        repository=drill.request.repository,
        snapshot_id=drill.snapshot_id,
        policy=drill.request.policy,
        started_ms=drill.started_ms,
        ended_ms=drill.ended_ms,
        parts=drill.parts,
        records=restored.records if restored else 0,
        bytes_raw=subject.bytes_raw if subject else 0,
        index_entries=restored.index_entries if restored else 0,
        links=checked.links if checked else 0,
        dangling_links=checked.dangling_links if checked else 0,
        failure=drill.failure if drill.ended else None,
        owner=owner,
        seen_ms=now_ms,
    )


def record_of(drill: Drill, now_ms: int) -> DrillRecord:
    """Return what is put beside the snapshot."""
    assert drill.subject is not None  # noqa: S101 - else there is no snapshot to put it beside
    report, failure = report_of(drill, "", now_ms), drill.failure
    return DrillRecord(
        drill_id=report.id,
        snapshot_id=report.snapshot_id,
        content_id=drill.subject.content_id,
        verified=drill.verdict is Outcome.VERIFIED,
        started_ms=drill.started_ms,
        ended_ms=max(now_ms, drill.started_ms),
        parts=dict(drill.parts),
        records=report.records,
        bytes_raw=report.bytes_raw,
        index_entries=report.index_entries,
        links=report.links,
        dangling_links=report.dangling_links,
        error=DrillError(failure.reason, failure.message) if failure else None,
        software=f"quiesce {__version__}",
    )


def _to_document(report: Report) -> dict[str, Any]:
    return {"id": report.id, "drill": msgspec.json.encode(report).decode()}


def _from_document(document: Mapping[str, Any]) -> Report:
    try:
        return msgspec.json.decode(str(document["drill"]), type=Report)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error


DRILLS = Kind("Drill", key="id", encode=_to_document, decode=_from_document)


def drill_message(report: Report) -> drill_pb2.DrillReport:
    """Return a drill as it travels."""
    failure = report.failure
    return drill_pb2.DrillReport(
        id=report.id,
        outcome=_OUTCOMES[report.outcome],
        step=report.step,
        repository=report.repository,
        snapshot_id=report.snapshot_id,
        policy=report.policy,
        started_ms=report.started_ms,
        ended_ms=report.ended_ms,
        parts=[drill_pb2.DrillPart(step=step, took_ms=took_ms) for step, took_ms in report.parts],
        records=report.records,
        bytes_raw=report.bytes_raw,
        index_entries=report.index_entries,
        links=report.links,
        dangling_links=report.dangling_links,
        error_reason=failure.reason if failure else "",
        error_message=failure.message if failure else "",
    )
