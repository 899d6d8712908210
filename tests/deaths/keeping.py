"""Deaths of a coordinator that looks after snapshots: it removes those that a policy lets go, or proves one."""

from __future__ import annotations

import contextlib
from pathlib import Path

from quiesce import BlockingPolicies
from quiesce.client import BlockingDrills
from quiesce.errors import PolicyExists, QuiesceError
from quiesce.repository import open_repository, verify_snapshot
from quiesce.v1 import policy_pb2
from tests.deaths.field import Field

POLICY, KEPT = "kept", 2
RUN_S = 60.0
DRILL_S = 120.0


class Keeping:
    """See the module. `scratch` is the directory of the coordinator's drills."""

    def __init__(self, field: Field, scratch: Path) -> None:
        self._field = field
        self._scratch = scratch

    def dies_removing(self, point: str) -> float:
        """Have it die while it carries retention out; return how long the next one took to do so."""
        field = self._field
        self._make_policy()
        while len(self._mine()) <= KEPT - 1:
            self._run()
        field.restart(field.cluster.coordinator, point)
        field.expect(field.answers, 30, "a coordinator answers")
        with BlockingPolicies(field.cluster.coordinator_address) as policies:
            policies.run(POLICY)
        self._dead(point)
        field.start(field.cluster.coordinator)
        return field.expect(self._kept, RUN_S, f"{KEPT} snapshots of the policy, each whole")

    def dies_drilling(self, point: str) -> float:
        """Have it die in a drill; return how long the next drill took."""
        field = self._field
        field.restart(field.cluster.coordinator, point)
        field.expect(field.answers, 30, "a coordinator answers")
        with contextlib.suppress(QuiesceError):
            self._drill()
        self._dead(point)
        field.start(field.cluster.coordinator)
        field.expect(field.answers, 30, "a coordinator answers")
        field.expect(lambda: not self._left(), 30, "nothing left of the drill on the disk")
        return field.expect(self._drills, DRILL_S, "the next drill")

    def _make_policy(self) -> None:
        spec = policy_pb2.PolicySpec(
            name=POLICY,
            schedule=policy_pb2.Schedule(cron="0 0 1 1 *"),
            retention=policy_pb2.RetentionRules(keep_last=KEPT),
        )
        self._field.expect(self._field.answers, 30, "a coordinator answers")
        with BlockingPolicies(self._field.cluster.coordinator_address) as policies:
            try:
                policies.create(spec)
            except PolicyExists:
                return

    def _run(self) -> None:
        """Have the policy make one more snapshot."""
        before = len(self._mine())
        with BlockingPolicies(self._field.cluster.coordinator_address) as policies:
            policies.run(POLICY)
        self._field.expect(lambda: len(self._mine()) > before, RUN_S, "a run of the policy")

    def _mine(self) -> list[str]:
        manifests = open_repository(self._field.cluster.repository, create=True).list_snapshots()
        return [manifest.snapshot_id for manifest in manifests if manifest.policy == POLICY]

    def _kept(self) -> bool:
        mine, repository = self._mine(), open_repository(self._field.cluster.repository)
        # The note of one that died in a removal may lie there for a day: it stands in nobody's way.
        if len(mine) != KEPT:
            return False
        for snapshot_id in mine:
            verify_snapshot(repository, snapshot_id, lambda _: None)
        return True

    def _drill(self) -> None:
        with BlockingDrills(self._field.cluster.coordinator_address) as drills:
            for _ in drills.run():
                pass

    def _drills(self) -> bool:
        try:
            self._drill()
        except QuiesceError:
            return False
        return not self._left()

    def _left(self) -> list[Path]:
        return list(self._scratch.glob("drill-*"))

    def _dead(self, point: str) -> None:
        self._field.dead(self._field.cluster.coordinator, point)
