"""What a backup job wants done. Each has a ticket that its answer names, and the epoch it is done under."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effect:
    """Something to do; `epoch` 0 means that no lease was granted yet."""

    ticket: int
    epoch: int


@dataclass(frozen=True, slots=True)
class CheckRepository(Effect):
    """See that the repository takes writes."""

    repository: str


@dataclass(frozen=True, slots=True)
class LookAround(Effect):
    """Survey the cluster, after a pause."""

    pause_ms: int


@dataclass(frozen=True, slots=True)
class TransferLeadership(Effect):
    """Have another node lead than `node_id`."""

    node_id: int


@dataclass(frozen=True, slots=True)
class AcquireLease(Effect):
    """Take `node_id` out of rotation."""

    node_id: int
    owner: str
    reason: str
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class AwaitDrained(Effect):
    """Wait until the replica answers no client any more."""

    node_id: int


@dataclass(frozen=True, slots=True)
class WriteMark(Effect):
    """Write the mark to the log; the voters are told just before."""

    voters: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class AwaitCheckpoint(Effect):
    """Wait until the replica has the checkpoint of this epoch, whose mark is at `index`."""

    node_id: int
    index: int


@dataclass(frozen=True, slots=True)
class TakeSnapshot(Effect):
    """Have the replica put its checkpoint into the repository, and the others say what theirs holds."""

    node_id: int
    snapshot_id: str
    repository: str
    databases: tuple[str, ...]
    rate_limit: int
    attesters: tuple[int, ...] = ()
    # Workers read so slowly that clients wait no longer, in milliseconds; 0: there is no budget.
    latency_budget_ms: int = 0


@dataclass(frozen=True, slots=True)
class RenewLease(Effect):
    """Renew the lease after a pause, within `timeout_ms`."""

    ttl_ms: int
    timeout_ms: int
    pause_ms: int = 0


@dataclass(frozen=True, slots=True)
class MoveLease(Effect):
    """Put the replica back into rotation, and take `node_id` out under the same lease."""

    node_id: int
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class Publish(Effect):
    """Add impact and attestations, content ids by node, to the draft and put the manifest into the repository."""

    node_id: int
    repository: str
    draft: bytes
    attestations: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class FindLease(Effect):
    """Find the lease that a job holds, whichever coordinator got it."""

    job_id: str
    pause_ms: int = 0


@dataclass(frozen=True, slots=True)
class TakeOver(Effect):
    """Go on with the lease as `owner`: the coordinator before is refused from then on."""

    owner: str
    ttl_ms: int
    pause_ms: int = 0


@dataclass(frozen=True, slots=True)
class Withdraw(Effect):
    """See to it that a snapshot is never published any more, unless it is already."""

    repository: str
    snapshot_id: str
    pause_ms: int = 0


@dataclass(frozen=True, slots=True)
class ReleaseLease(Effect):
    """Drop the checkpoint and give the lease back; with epoch 0, whichever lease `owner` holds."""

    node_id: int
    owner: str


@dataclass(frozen=True, slots=True)
class AwaitServing(Effect):
    """Wait until the replica serves again."""

    node_id: int


@dataclass(frozen=True, slots=True)
class Abort(Effect):
    """Stop working on the effect with this ticket; its answer is not wanted any more."""
