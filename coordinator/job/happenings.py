"""What can happen to a backup job. `ticket` says which effect it answers; others are nobody's answer."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.job.attesting import Attestation
from coordinator.job.choosing import Survey
from coordinator.job.impact import ClientImpact, Wait
from coordinator.job.model import Failure, Mark


@dataclass(frozen=True, slots=True)
class Answer:
    """An effect came to its end, or (Progressed) is on its way."""

    ticket: int


@dataclass(frozen=True, slots=True)
class RepositoryReady(Answer):
    """The repository exists and takes writes."""


@dataclass(frozen=True, slots=True)
class Surveyed(Answer):
    """The cluster was looked at; `snapshot_id` is a fresh id for the attempt that begins."""

    survey: Survey
    snapshot_id: str


@dataclass(frozen=True, slots=True)
class Transferred(Answer):
    """Another node leads now."""

    leader_id: int


@dataclass(frozen=True, slots=True)
class Acquired(Answer):
    """The rotation lease was granted."""

    epoch: int
    # What clients waited before; None: no node said.
    before: Wait | None = None


@dataclass(frozen=True, slots=True)
class Drained(Answer):
    """The replica answers no client any more."""


@dataclass(frozen=True, slots=True)
class Marked(Answer):
    """The mark is in the log."""

    mark: Mark


@dataclass(frozen=True, slots=True)
class Checkpointed(Answer):
    """The replica has the checkpoint at the mark."""


@dataclass(frozen=True, slots=True)
class Progressed(Answer):
    """The snapshot worker got on."""


@dataclass(frozen=True, slots=True)
class Paced(Answer):
    """What the snapshot has cost clients so far; no sign of life."""

    clients: ClientImpact


@dataclass(frozen=True, slots=True)
class Taken(Answer):
    """All pages are in the repository, and the manifest's draft is here."""

    draft: bytes
    text: str = ""
    content_id: str = ""
    # Of the other voters.
    attestations: tuple[Attestation, ...] = ()
    clients: ClientImpact | None = None


@dataclass(frozen=True, slots=True)
class Renewed(Answer):
    """The lease was renewed."""


@dataclass(frozen=True, slots=True)
class Moved(Answer):
    """The lease is on `node_id` now."""

    node_id: int


@dataclass(frozen=True, slots=True)
class LeaseFound(Answer):
    """The lease that the job holds, whichever coordinator got it; epoch 0: none. `snapshot_id` is a fresh id."""

    epoch: int
    node_id: int
    snapshot_id: str


@dataclass(frozen=True, slots=True)
class TakenOver(Answer):
    """The lease is this coordinator's."""

    fence: int


@dataclass(frozen=True, slots=True)
class Settled(Answer):
    """Whether the snapshot was published; if not, it never will be, and `snapshot_id` is a fresh id."""

    published: bool
    snapshot_id: str


@dataclass(frozen=True, slots=True)
class Published(Answer):
    """The manifest is in the repository."""


@dataclass(frozen=True, slots=True)
class Released(Answer):
    """The lease has been given back, or had ended before."""


@dataclass(frozen=True, slots=True)
class Returned(Answer):
    """The replica serves clients again."""


@dataclass(frozen=True, slots=True)
class Failed(Answer):
    """An effect failed."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Tick:
    """Time went by."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Someone wants the job to end."""

    why: str = "it was asked for"


@dataclass(frozen=True, slots=True)
class JournalLost:
    """The job's state cannot be recorded any more."""

    failure: Failure


Happening = Answer | Tick | Cancel | JournalLost
