"""Which replica leaves rotation, and why that one. Pure."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import UTC, datetime

from quiesce.errors import ClusterDegraded, RotationHeld, UnknownNode

# Two replicas that are less than this many log entries apart are equally far: the difference is that of a moment,
# and it must not decide over and over for the same one.
LAG_STEP = 1_024


@dataclass(frozen=True, slots=True)
class Replica:
    """A voter of the cluster as the coordinator sees it."""

    node_id: int
    # It answered, and the leader has heard of it lately.
    healthy: bool
    serving: bool
    match_index: int = 0
    backup_priority: int = 0
    # Its operator wants no backup to choose it.
    nobackup: bool = False
    # It is not well, but will probably be in a moment: it catches up, or a new leader has not heard of it yet.
    passing: bool = False
    # Why it is not healthy or not serving, for people.
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """A rotation lease that the cluster has granted; `expires_ms` is log time."""

    node_id: int
    owner: str
    reason: str
    expires_ms: int
    epoch: int
    # 0: nobody has taken it over.
    fence: int = 0


@dataclass(frozen=True, slots=True)
class Survey:
    """The state of a cluster at one moment."""

    cluster_id: str
    leader_id: int
    replicas: tuple[Replica, ...]
    lease: Held | None = None

    @property
    def passing(self) -> bool:
        """Whether what is wrong with the cluster will probably be over in a moment."""
        return any(r.passing for r in self.replicas) and all(r.healthy or r.passing for r in self.replicas)

    def lag(self, replica: Replica) -> int:
        """Return how many log entries a replica is behind the one that is furthest."""
        return max(0, max(other.match_index for other in self.replicas) - replica.match_index)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted, and what is known from before.

    Attributes:
        node_id: this one and no other; 0 leaves the choice open.
        tried: nodes on which this job has failed.
        last_used: the node of the backup before this one; 0: none.
        failed: nodes on which the last backup that tried them failed.
    """

    node_id: int = 0
    tried: Set[int] = frozenset()
    last_used: int = 0
    failed: Set[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidate:
    """What speaks for and against a replica, for people. Where it leads, another must take over before it goes."""

    node_id: int
    eligible: bool
    leads: bool
    why: str


def choose(survey: Survey, wish: Wish) -> Candidate:
    """Choose the replica to back up: the first of `candidates`.

    Raises:
        UnknownNode: the node that is wanted is not in the cluster.
        RotationHeld: a node is out of rotation already.
        ClusterDegraded: a voter is down, or no node can be spared.
    """
    return candidates(survey, wish)[0]


def candidates(survey: Survey, wish: Wish) -> list[Candidate]:
    """Return all replicas, the one to back up first, those that cannot be taken last.

    Never the leader if there is another; then one whose last backup did not fail, the highest backup priority, the
    least lag, and not the last one used. A node with `nobackup` is taken only where it is asked for.

    Raises:
        UnknownNode, RotationHeld, ClusterDegraded: as `choose`.
    """
    known = {replica.node_id for replica in survey.replicas}
    if wish.node_id and wish.node_id not in known:
        raise UnknownNode(node_id=wish.node_id, known=", ".join(map(str, sorted(known))) or "none")
    if survey.lease is not None:
        raise rotation_held(survey.lease)
    if down := [replica for replica in survey.replicas if not replica.healthy]:
        raise ClusterDegraded(detail="; ".join(f"node {replica.node_id} {replica.detail}" for replica in down))
    against = {replica.node_id: _against(replica, wish) for replica in survey.replicas}
    if all(against.values()):
        refusals = [f"node {node} {why}" for node, why in against.items() if wish.node_id in (0, node)]
        raise ClusterDegraded(detail="; ".join(refusals) or "there is no node to choose from")
    # One that is taken, and one that serves meanwhile.
    serving = [replica for replica in survey.replicas if replica.serving]
    if len(serving) < 2:
        raise ClusterDegraded(detail=f"node {serving[0].node_id} is the only one that serves clients")

    def preference(replica: Replica) -> tuple[bool, bool, bool, int, int, bool, int]:
        return (
            bool(against[replica.node_id]),
            replica.node_id == survey.leader_id,
            replica.node_id in wish.failed,
            -replica.backup_priority,
            survey.lag(replica) // LAG_STEP,
            replica.node_id == wish.last_used,
            replica.node_id,
        )

    return [
        Candidate(
            node_id=replica.node_id,
            eligible=not against[replica.node_id],
            leads=replica.node_id == survey.leader_id,
            why=against[replica.node_id] or _facts(survey, replica, wish),
        )
        for replica in sorted(survey.replicas, key=preference)
    ]


def _against(replica: Replica, wish: Wish) -> str:
    """Return why a healthy replica cannot be taken, or nothing."""
    if not replica.serving:
        return replica.detail or "serves no clients"
    if wish.node_id not in (0, replica.node_id):
        return f"is not node {wish.node_id}, which was asked for"
    if replica.node_id in wish.tried:
        return "has failed in this backup"
    if replica.nobackup and wish.node_id != replica.node_id:
        return "has `nobackup` in its configuration"
    return ""


def _facts(survey: Survey, replica: Replica, wish: Wish) -> str:
    lag = survey.lag(replica)
    facts = [
        "leads; another would take over first" if replica.node_id == survey.leader_id else "does not lead",
        "its last backup failed" if replica.node_id in wish.failed else "",
        f"backup_priority {replica.backup_priority}" if replica.backup_priority else "",
        f"{lag:,} log entries behind" if lag else "",
        "was the last one used" if replica.node_id == wish.last_used else "",
    ]
    return ", ".join(fact for fact in facts if fact)


def rotation_held(lease: Held) -> RotationHeld:
    """Return the error that names who holds `lease`."""
    expires = datetime.fromtimestamp(lease.expires_ms / 1000, UTC).isoformat(timespec="seconds")
    return RotationHeld(
        node_id=lease.node_id,
        owner=lease.owner,
        reason=lease.reason,
        expires=expires,
        expires_ms=lease.expires_ms,
    )
