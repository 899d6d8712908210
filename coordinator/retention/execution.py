"""The rules of a policy applied to a repository: one removal a step, each of which may be repeated after a crash.

Nothing is remembered between steps: what is still to be done follows from what is there.
"""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.retention.planning import Decision, Kept, plan
from coordinator.retention.rules import Rules
from quiesce.repository import Repository
from quiesce.repository.drills import verified_times
from quiesce.repository.pins import pin_reasons
from quiesce.repository.removal import Standing, keep_enough, remove_snapshot, whole
from quiesce.snapshot import Manifest


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose snapshots: a policy of a cluster. Others that share the repository are none of its business."""

    cluster_id: str
    policy: str
    rules: Rules

    def owns(self, manifest: Manifest) -> bool:
        """Return whether it was a run of this policy."""
        return (manifest.cluster_id, manifest.policy) == (self.cluster_id, self.policy)


class StillPromised(Exception):
    """A snapshot that was to go is promised by now, because others have gone."""


def decide(repository: Repository, owner: Owner, now_ms: int) -> list[Decision]:
    """Return what the rules say of the policy's snapshots, the newest first."""
    # What cannot be read may be anybody's: it is left alone.
    manifests = repository.list_snapshots(lambda _: None)
    return _decide(repository, owner, manifests, pin_reasons(repository, now_ms), now_ms)


def _decide(
    repository: Repository, owner: Owner, manifests: list[Manifest], pins: dict[str, str], now_ms: int
) -> list[Decision]:
    mine = [manifest for manifest in manifests if owner.owns(manifest)]
    good = {manifest.snapshot_id for manifest in whole(repository, mine)}
    verified = verified_times(repository, good)
    snapshots = [
        Kept(m.snapshot_id, m.mark.time_ms, verified.get(m.snapshot_id, 0), whole=m.snapshot_id in good) for m in mine
    ]
    return plan(snapshots, owner.rules, pins, now_ms)


def carry_out(repository: Repository, owner: Owner, snapshot_id: str, now_ms: int) -> bool:
    """Remove a snapshot that was to go, if it still is; False where it was gone.

    Raises:
        StillPromised: the rules keep it by now.
        LastSnapshot, SnapshotPinned: too few would be left, or somebody needs it.
    """
    enough = keep_enough(repository, owner.rules.minimum)

    def check(standing: Standing) -> None:
        if standing.removed is None or not owner.owns(standing.removed):
            raise StillPromised("its manifest cannot be read, or is not that of a run of the policy")
        decisions = _decide(repository, owner, [*standing.left, standing.removed], standing.pins, now_ms)
        for decision in decisions:
            if decision.snapshot_id == snapshot_id and decision.keep:
                raise StillPromised(", ".join(decision.reasons))
        enough(standing)

    return remove_snapshot(repository, snapshot_id, check, now_ms=now_ms)
