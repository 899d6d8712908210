"""What a backup job is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from coordinator.job.impact import ClientImpact
from quiesce.errors import QuiesceError, from_reason


class Step(StrEnum):
    """What a job is waiting for."""

    # After another coordinator, or this one before its restart: what became of the lease.
    RESUME = "resume"

    # The repository takes writes.
    CHECK = "check"
    CHOOSE = "choose"
    # Another node leads.
    TRANSFER = "transfer"
    ACQUIRE = "acquire"
    DRAIN = "drain"
    MARK = "mark"
    CHECKPOINT = "checkpoint"
    SNAPSHOT = "snapshot"
    # Another replica takes the lease, because this one has failed.
    MOVE = "move"
    # The lease was renewed once more, so that what is published next was made under it.
    FENCE = "fence"
    PUBLISH = "publish"
    # Whether the snapshot was published, or never will be.
    SETTLE = "settle"
    RELEASE = "release"
    # The replica serves again; only recorded.
    RETURN = "return"
    DONE = "done"


class Verdict(StrEnum):
    """How a job ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time: `mono_ms` decides, because it never jumps; `unix_ms` is for people."""

    mono_ms: int
    unix_ms: int


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A line of a job's history."""

    at_ms: int
    step: str
    text: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A typed error as a value: see `quiesce.errors`."""

    reason: str
    message: str
    fields: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, error: QuiesceError) -> Failure:
        """Return `error` as a value."""
        return cls(error.reason(), error.message(), tuple(sorted(error.fields.items())))

    def error(self) -> QuiesceError:
        """Return the error again."""
        return from_reason(self.reason, dict(self.fields))


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for."""

    job_id: str
    repository: str
    # Empty: all of them.
    databases: tuple[str, ...] = ()
    # 0: the machine chooses.
    node_id: int = 0
    # The most bytes read a second; 0: no limit.
    rate_limit: int = 0
    # The node of the backup before this one; 0: none.
    last_used: int = 0
    # Nodes on which the last backup that tried them failed.
    failed: frozenset[int] = frozenset()
    # Whose run it is; empty: somebody asked for it.
    policy: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """How long each wait may take, in milliseconds, and how often another replica is tried."""

    lease_ms: int = 30_000
    # What clients may wait, in 99 calls of 100, while pages are read; 0: no budget.
    latency_budget_ms: int = 0
    check_ms: int = 15_000
    choose_ms: int = 10_000
    transfer_ms: int = 15_000
    acquire_ms: int = 10_000
    drain_ms: int = 60_000
    mark_ms: int = 15_000
    checkpoint_ms: int = 60_000
    # Without any progress; a snapshot as such may take days.
    stall_ms: int = 120_000
    # The replica that has failed is out of rotation meanwhile.
    move_ms: int = 10_000
    publish_ms: int = 120_000
    settle_ms: int = 30_000
    resume_ms: int = 30_000
    release_ms: int = 10_000
    return_ms: int = 10_000
    # How long the cluster may take to be whole again before another replica is tried.
    recover_ms: int = 20_000
    # Pause between two looks at a cluster that is not whole.
    poll_ms: int = 1_000
    attempts: int = 3
    # A job whose coordinators keep dying must end as well.
    resumptions: int = 20

    def renew_every_ms(self) -> int:
        """Return the time between two renewals of the lease."""
        return max(1, self.lease_ms // 3)

    def renew_again_ms(self) -> int:
        """Return the pause after a renewal that got no answer."""
        return max(1, self.lease_ms // 15)


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease this job holds, by the coordinator's own clock."""

    epoch: int
    # Counted from when it was asked for, so it never ends later here than in the cluster.
    until: int
    renew_at: int
    # Ticket of the renewal under way; 0: none.
    renewing: int = 0
    asked_at: int = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """The log position whose state a snapshot holds."""

    term: int
    index: int
    time_ms: int


@dataclass(frozen=True, slots=True)
class Backup:
    """The state of one backup job. `step` waits for the effect with `ticket`, at most until `deadline`."""

    request: Request
    policy: Policy
    started_ms: int
    step: Step = Step.CHECK
    ticket: int = 0
    deadline: int = 0
    tickets: int = 0
    # Decided before the job ends: the lease is given back after it.
    verdict: Verdict | None = None
    failure: Failure | None = None
    failed_at: str = ""
    # What the job will come to as soon as it is known whether the lease was granted.
    ending: tuple[Verdict, Failure] | None = None
    attempt: int = 1
    tried: frozenset[int] = frozenset()
    node_id: int = 0
    # The chosen replica led, and another node has taken over.
    transferred: bool = False
    epoch: int = 0
    # Of the lease as this coordinator got it or took it over; 0: as it was acquired.
    fence: int = 0
    snapshot_id: str = ""
    mark: Mark | None = None
    # Set when the lease was asked for, whether or not an answer came.
    asked_lease: bool = False
    # When the lease, or its renewal as a fence, was asked for.
    asked_at: int = 0
    lease: Lease | None = None
    # The manifest's draft, between SNAPSHOT and PUBLISH.
    draft: bytes = b""
    # Why the publication failed, as long as it is not known whether it did.
    unsettled: Failure | None = None
    # How often a coordinator went on with the job, and at which step it was then.
    resumed: int = 0
    left_at: Step = Step.CHECK
    # All voters when the replica was chosen.
    voters: tuple[int, ...] = ()
    # Content ids at the mark by node, for the manifest.
    attestations: tuple[tuple[int, str], ...] = ()
    # Nodes that this job has seen to hold what the majority does not hold, in whichever attempt.
    diverged: frozenset[int] = frozenset()
    # Nodes that hold what the snapshot holds.
    agreeing: tuple[int, ...] = ()
    # What the present attempt cost clients.
    clients: ClientImpact | None = None
    ended_ms: int = 0
    events: tuple[JobEvent, ...] = field(default=())

    @property
    def ended(self) -> bool:
        """Whether nothing will happen any more."""
        return self.step is Step.DONE


_ON_REPLICA = frozenset({Step.DRAIN, Step.CHECKPOINT, Step.SNAPSHOT})
_OF_REPLICA = frozenset(
    {
        "UNAVAILABLE",
        "NO_CHECKPOINT",
        "SNAPSHOT_WORKER_FAILED",
        "DEADLINE_EXCEEDED",
        "DISK_FAILED",
        "DAMAGED_STORE",
        "OUT_OF_ROTATION",
        "AWAITING_RESTORE",
        "REPLICA_DIVERGED",
    }
)


def blames_replica(step: str, failure: Failure) -> bool:
    """Whether a failure at a step speaks of the replica, not of the repository or the request."""
    return step in _ON_REPLICA and failure.reason in _OF_REPLICA


def owner_of(job_id: str, resumed: int = 0) -> str:
    """Return the name under which a job holds the lease; another one each time that a coordinator goes on with it."""
    return f"backup {job_id} ({resumed + 1})" if resumed else f"backup {job_id}"


def owns(owner: str, job_id: str) -> bool:
    """Say whether a lease is that of a job, whichever coordinator got it."""
    first = owner_of(job_id)
    return owner == first or owner.startswith(f"{first} (")
