"""What a drill is made of. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from coordinator.job.model import Failure, Moment
from quiesce.errors import QuiesceError

__all__ = [
    "Checked", "Deadlines", "Drill", "Failure", "Moment", "Outcome", "Request", "Restored", "Step", "Subject",
]  # fmt: skip


class Step(StrEnum):
    """What a drill is doing."""

    # The manifest is read.
    CHOOSE = "choose"
    # A node is started that waits for a snapshot.
    START = "start"
    RESTORE = "restore"
    # The node serves, and says how many records there are.
    COUNT = "count"
    STOP = "stop"
    # Its directory is examined.
    CHECK = "check"
    # What was found is put beside the snapshot.
    RECORD = "record"
    # Nothing is left of the node.
    CLEAN = "clean"
    DONE = "done"


class Outcome(StrEnum):
    """What a drill has come to."""

    RUNNING = "running"
    VERIFIED = "verified"
    FAILED = "failed"
    # It says nothing about the snapshot.
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be drilled; `snapshot_id` may be `latest`."""

    drill_id: str
    repository: str
    snapshot_id: str
    # Whose drill it is; empty: somebody asked for it.
    policy: str = ""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each step may take, in milliseconds; what moves may take as long as it needs."""

    choose_ms: int = 30_000
    start_ms: int = 60_000
    # Without a sign of life from the restore, or the check.
    stall_ms: int = 120_000
    count_ms: int = 60_000
    stop_ms: int = 30_000
    record_ms: int = 60_000
    clean_ms: int = 60_000

    def of(self, step: Step) -> int:
        """Return how long a step may take."""
        return {
            Step.CHOOSE: self.choose_ms,
            Step.START: self.start_ms,
            Step.COUNT: self.count_ms,
            Step.STOP: self.stop_ms,
            Step.RECORD: self.record_ms,
            Step.CLEAN: self.clean_ms,
        }.get(step, self.stall_ms)


@dataclass(frozen=True, slots=True)
class Subject:
    """The snapshot as its manifest describes it."""

    snapshot_id: str
    content_id: str
    records: Mapping[str, int]
    bytes_raw: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What the node said when it had the snapshot."""

    records: int
    index_entries: int


@dataclass(frozen=True, slots=True)
class Checked:
    """What the examination of the node's directory said. Records by database."""

    content_id: str
    records: Mapping[str, int]
    links: int
    dangling_links: int
    # What is wrong: the first of it, and how much in all.
    finding: str = ""
    findings: int = 0


@dataclass(frozen=True, slots=True)
class Drill:
    """The state of one drill. `step` has until `deadline`."""

    request: Request
    deadlines: Deadlines
    started_ms: int
    step: Step = Step.CHOOSE
    # When the step began, and by when it, or its next sign of life, must come: monotonic milliseconds.
    began: int = 0
    deadline: int = 0
    # Milliseconds of the steps that have ended.
    parts: tuple[tuple[str, int], ...] = field(default=())
    subject: Subject | None = None
    restored: Restored | None = None
    checked: Checked | None = None
    # Decided before the drill ends: it cleans up after that.
    verdict: Outcome | None = None
    failure: Failure | None = None
    # The snapshot was at fault, not the way to it.
    condemned: bool = False
    ended_ms: int = 0

    @property
    def ended(self) -> bool:
        """Whether nothing will happen any more."""
        return self.step is Step.DONE

    @property
    def outcome(self) -> Outcome:
        """What it has come to, as others see it."""
        return self.verdict if self.ended and self.verdict is not None else Outcome.RUNNING

    @property
    def snapshot_id(self) -> str:
        """The snapshot, as far as it is known."""
        return self.subject.snapshot_id if self.subject else self.request.snapshot_id

    def error(self) -> QuiesceError | None:
        """Return why it has not verified the snapshot."""
        return self.failure.error() if self.failure is not None else None
