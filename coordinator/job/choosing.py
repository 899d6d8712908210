"""Which replica leaves rotation. Pure."""

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


@dataclass(frozen=True, slots=True)
class Choice:
    """The replica to back up; where it leads, another must take over first."""

    node_id: int
    leads: bool


def choose(survey: Survey, *, node_id: int = 0, tried: Set[int] = frozenset(), last_used: int = 0) -> Choice:
    """Choose the replica to back up.

    Never the leader if there is another; then the highest backup priority, the least lag, and not the last one used.

    Args:
        survey: the cluster.
        node_id: take this one and no other; 0 leaves the choice open.
        tried: nodes on which this job has failed before.
        last_used: the node of the backup before this one.

    Raises:
        UnknownNode: `node_id` is not in the cluster.
        RotationHeld: a node is out of rotation already.
        ClusterDegraded: a voter is down, or no node can be spared.
    """
    known = {replica.node_id for replica in survey.replicas}
    if node_id and node_id not in known:
        raise UnknownNode(node_id=node_id, known=", ".join(map(str, sorted(known))) or "none")
    if survey.lease is not None:
        raise rotation_held(survey.lease)
    if down := [replica for replica in survey.replicas if not replica.healthy]:
        raise ClusterDegraded(detail="; ".join(f"node {replica.node_id} {replica.detail}" for replica in down))
    serving = [replica for replica in survey.replicas if replica.serving]
    candidates = [r for r in serving if r.node_id not in tried and node_id in (0, r.node_id)]
    if not candidates:
        raise ClusterDegraded(detail=_why_none(survey, node_id, tried))
    # One that is taken, and one that serves meanwhile.
    if len(serving) < 2:
        raise ClusterDegraded(detail=f"node {serving[0].node_id} is the only one that serves clients")
    ahead = max(replica.match_index for replica in survey.replicas)

    def preference(replica: Replica) -> tuple[bool, int, int, bool, int]:
        lag = max(0, ahead - replica.match_index) // LAG_STEP
        leads = replica.node_id == survey.leader_id
        return leads, -replica.backup_priority, lag, replica.node_id == last_used, replica.node_id

    chosen = min(candidates, key=preference)
    return Choice(chosen.node_id, leads=chosen.node_id == survey.leader_id)


def _why_none(survey: Survey, node_id: int, tried: Set[int]) -> str:
    idle = [f"node {r.node_id} {r.detail}" for r in survey.replicas if not r.serving and node_id in (0, r.node_id)]
    idle += [f"the backup failed on node {node} before" for node in sorted(tried) if node_id in (0, node)]
    return "; ".join(idle) or "there is no node to choose from"


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
