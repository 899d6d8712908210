"""One death at one point, and all that must hold after it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from quiesce.v1 import backup_pb2
from tests.deaths.field import JOB_ENDS_S, LEASE_S, MARGIN_S, RATE, REACHED_S, Field, Wrong, held_at
from tests.deaths.keeping import Keeping
from tests.scenarios.test_backup_rotation import Backup

COORDINATOR, REPLICA, ITSELF, TWICE = "coordinator", "replica", "replica itself", "coordinator twice"
# The replica dies, and then the coordinator that moves its lease.
MOVING = "both, in a move"
RETENTION, DRILL = "in retention", "in a drill"
# A node that was killed has to start, and to catch up.
RESTART_S = 15.0


@dataclass(frozen=True, slots=True)
class Case:
    """Who dies when what point is reached."""

    point: str
    victim: str


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a death: how the job ended, and how long the replica took to be back, in seconds."""

    case: Case
    state: str
    attempts: int
    back_s: float


class Dealer:
    """Deals deaths at one field, one after another; `preferred` is the node that backups take."""

    def __init__(self, field: Field, preferred: int, scratch: Path) -> None:
        self._field = field
        self._preferred = preferred
        self._file = scratch / "reached"
        self._keeping = Keeping(field, scratch / "drills")

    def deal(self, case: Case) -> Result:
        """Have one die, and see what must hold.

        Raises:
            Wrong: something does not.
        """
        field = self._field
        field.expect(field.all_serve, 60, "every node serves before the next death")
        # Who leads is not chosen.
        if field.leader() == self._preferred:
            with field.cluster.client() as client:
                client.admin.transfer_leadership(0)
        before = {job.id for job in field.jobs()}
        back_s = {
            COORDINATOR: self._kill_coordinator,
            TWICE: self._kill_coordinator_twice,
            MOVING: self._kill_both,
            REPLICA: self._kill_replica,
            ITSELF: self._replica_dies,
            RETENTION: self._keeping.dies_removing,
            DRILL: self._keeping.dies_drilling,
        }[case.victim](case.point)
        field.expect(field.answers, 60, "a coordinator answers after it")
        new = [job for job in field.jobs() if job.id not in before]
        if not new and case.victim != DRILL:
            raise Wrong("the backup left no job")
        job = field.ended(new[0].id) if new else backup_pb2.Job(state=backup_pb2.JOB_STATE_SUCCEEDED)
        field.expect(field.all_serve, RESTART_S + LEASE_S + MARGIN_S, "every node serves again")
        field.back_up()
        field.check_repository()
        field.check_writers()
        attempts = 1 + sum(
            event.text.startswith("failed on node") or event.text.endswith("has ended meanwhile")
            for event in job.events
        )
        return Result(case, backup_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_").lower(), attempts, back_s)

    def _kill_coordinator(self, point: str) -> float:
        coordinator = self._field.cluster.coordinator
        self._field.restart(coordinator, point)
        backup = self._begin()
        self._field.dead(coordinator, point)
        took = self._back()
        self._field.start(coordinator)
        backup.end(120)
        return took

    def _kill_coordinator_twice(self, point: str) -> float:
        coordinator = self._field.cluster.coordinator
        self._field.restart(coordinator, "coordinator.TakeSnapshot.before")
        backup = self._begin()
        self._field.dead(coordinator, "coordinator.TakeSnapshot.before")
        # At once: while its lease still holds.
        self._field.start(coordinator, point)
        self._field.dead(coordinator, point)
        took = self._back()
        self._field.start(coordinator)
        backup.end(120)
        return took

    def _kill_both(self, point: str) -> float:
        field, coordinator = self._field, self._field.cluster.coordinator
        field.restart(coordinator, point)
        backup = self._begin()
        job_id = backup.wait_for("snapshot").id
        node = field.out()
        field.cluster.nodes[node].kill()
        field.start(field.cluster.nodes[node])
        field.dead(coordinator, point)
        took = self._back()
        field.start(coordinator)
        backup.end(120)
        if field.ended(job_id).state != backup_pb2.JOB_STATE_SUCCEEDED:
            raise Wrong(f"job {job_id} was not gone on with")
        return took

    def _kill_replica(self, point: str) -> float:
        field = self._field
        with held_at(field, field.cluster.coordinator, point, self._file) as reached:
            backup = self._begin()
            field.expect(reached, REACHED_S, f"the coordinator at {point}")
            # Where none is out of rotation, the one that would be.
            node = field.out() or self._preferred
            field.cluster.nodes[node].kill()
        field.start(field.cluster.nodes[node])
        return self._back_after(backup, node)

    def _replica_dies(self, point: str) -> float:
        field, replica = self._field, self._field.cluster.nodes[self._preferred]
        field.restart(replica, point)
        field.expect(lambda: field.serves(self._preferred), RESTART_S, "the replica serves before it dies")
        # Chosen by name: one on which a backup has failed is no first choice any more.
        backup = Backup(field.cluster, rate_limit=RATE, node_id=self._preferred)
        if point.startswith("repository."):
            # Its worker dies, and the node goes on: the next worker would die there too.
            field.expect(lambda: not backup.is_alive(), REACHED_S, f"the end of a job whose worker died at {point}")
            field.restart(replica)
        else:
            self._field.dead(replica, point)
            field.start(replica)
        return self._back_after(backup, self._preferred)

    def _back_after(self, backup: Backup, node: int) -> float:
        """See the replica back: the job may have it once more, but not longer than it runs."""
        began = time.monotonic()
        self._field.expect(
            lambda: self._field.serves(node) or not backup.is_alive(), JOB_ENDS_S, "the replica, or the end"
        )
        self._field.expect(lambda: self._field.serves(node), RESTART_S + LEASE_S + MARGIN_S, "the replica back")
        took = time.monotonic() - began
        backup.end(120)
        return took

    def _begin(self) -> Backup:
        self._field.expect(self._field.answers, 30, "a coordinator answers")
        return Backup(self._field.cluster, rate_limit=RATE)

    def _back(self) -> float:
        """See the replica back in rotation by itself: nobody is there to help."""
        died = time.monotonic()
        self._field.expect(self._field.all_serve, LEASE_S + MARGIN_S, "the replica back within its lease")
        return time.monotonic() - died
