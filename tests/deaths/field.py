"""The cluster at which deaths are dealt, the clients that use it meanwhile, and what must hold after each death."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from quiesce.errors import DeadlineExceeded, NotLeading, QuiesceError, Unavailable
from quiesce.failpoints import ENVIRONMENT
from quiesce.v1 import backup_pb2, node_pb2
from tests.deaths.history import RecordingWriter, judge
from tests.scenarios.cluster import Cluster
from tests.scenarios.daemon import Daemon, until
from tests.scenarios.people import make_database

LEASE_S = 5.0
# Beyond its lease, a replica gets this to be back.
MARGIN_S = 2.0
JOB_ENDS_S = 90.0
REACHED_S = 40.0
PEOPLE = 2_000
# Bytes read a second: a backup takes some seconds, and may be hit in its middle.
RATE = 400_000


class Wrong(Exception):
    """A promise was broken; the message says which."""


class Field:
    """A context manager: three nodes, coordinators, and writers that must not notice anything."""

    def __init__(self, directory: Path, *, coordinators: int = 1, prefer: int = 0) -> None:
        self.cluster = Cluster(
            directory,
            coordinators=coordinators,
            coordinator_options={
                "lease": f"{LEASE_S:g}s",
                "recover-timeout": "30s",
                "stall-timeout": "10s",
                "drill-directory": str(directory / "drills"),
            },
        )
        if prefer:
            self.cluster.nodes[prefer].arguments += ["--backup-priority", "10"]
        self.writers: list[RecordingWriter] = []
        self._judged: set[str] = set()
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(self.cluster)
        client = self._open.enter_context(self.cluster.client(timeout_s=30))
        make_database(client, PEOPLE)
        self.writers = [RecordingWriter(client, 1_000_000 * number) for number in (1, 2)]
        for writer in self.writers:
            writer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in self.writers:
            writer.ended.set()
        for writer in self.writers:
            writer.join(60)
        self._open.close()

    # --- processes

    def start(self, daemon: Daemon, point: str = "") -> None:
        """Start a process that is to die at a point."""
        if point:
            os.environ[ENVIRONMENT] = point
        try:
            daemon.start()
        finally:
            os.environ.pop(ENVIRONMENT, None)

    def restart(self, daemon: Daemon, point: str = "") -> None:
        """End a process in good order, and start it anew."""
        daemon.stop()
        self.start(daemon, point)

    def last_words(self) -> str:
        """Return the ends of all logs, for the one who has to find out."""
        daemons = {f"node {node}": daemon for node, daemon in self.cluster.nodes.items()}
        daemons |= {f"coordinator {n}": daemon for n, daemon in enumerate(self.cluster.coordinators, 1)}
        return "\n".join(
            f"--- {name}{'' if daemon.running else f' (ended with {daemon.exit_code})'}\n{daemon.tail(25)}"
            for name, daemon in daemons.items()
        )

    # --- what is asked

    def leader(self) -> int:
        return self.cluster.leader()

    def status(self, node: int) -> node_pb2.NodeStatus | None:
        with self.cluster.client() as client:
            return self.cluster.status(node, client)

    def out(self) -> int:
        """Return the node that is out of rotation; 0: none."""
        statuses = [self.status(node) for node in self.cluster.nodes]
        return next((s.lease.node_id for s in statuses if s is not None and s.HasField("lease")), 0)

    def serves(self, node: int) -> bool:
        status = self.status(node)
        return status is not None and status.serving == node_pb2.SERVING_STATE_SERVING

    def all_serve(self) -> bool:
        return all(self.serves(node) for node in self.cluster.nodes)

    def answers(self) -> bool:
        """Say whether a coordinator leads."""
        with self.cluster.backups(timeout_s=5) as backups:
            try:
                backups.preview()
            except (Unavailable, NotLeading, DeadlineExceeded):
                return False
            except QuiesceError:
                # It says why it would make no backup now.
                return True
        return True

    def jobs(self) -> list[backup_pb2.Job]:
        """Return the jobs, the latest first; none where no coordinator answers."""
        with self.cluster.backups(timeout_s=5) as backups:
            try:
                return backups.jobs()
            except QuiesceError:
                return []

    # --- what must hold

    def dead(self, daemon: Daemon, point: str) -> None:
        """See a process dead at the point that was meant."""
        self.expect(lambda: not daemon.running, REACHED_S, f"a death at {point}")
        if daemon.exit_code != -9:
            raise Wrong(f"it ended with {daemon.exit_code} instead of dying at {point}:\n{daemon.tail()}")

    def expect(self, true: Callable[[], object], within_s: float, what: str) -> float:
        """Wait for what must come to be, and return how long it took.

        Raises:
            Wrong: it did not.
        """
        began = time.monotonic()
        try:
            until(true, within_s, what)
        except TimeoutError as error:
            raise Wrong(str(error)) from None
        return time.monotonic() - began

    def ended(self, job_id: str) -> backup_pb2.Job:
        """Wait until a job has come to its end by itself, and return it."""
        found: list[backup_pb2.Job] = []

        def has() -> bool:
            found[:] = [job for job in self.jobs() if job.id == job_id and job.state != backup_pb2.JOB_STATE_RUNNING]
            return bool(found)

        self.expect(has, JOB_ENDS_S, f"job {job_id} at its end")
        return found[0]

    def back_up(self) -> backup_pb2.Job:
        """Make a backup that nothing disturbs, and see it succeed."""
        last = backup_pb2.Job()
        try:
            with self.cluster.backups() as backups:
                for progress in backups.create():
                    last = progress.job
        except QuiesceError as error:
            raise Wrong(f"the next backup failed: {error.message()}") from error
        if last.state != backup_pb2.JOB_STATE_SUCCEEDED:
            raise Wrong(f"the next backup is {last}")
        return last

    def check_writers(self) -> None:
        """See that no call of a client has failed, and that there were any."""
        for writer in self.writers:
            if writer.failures:
                raise Wrong(f"clients noticed: {writer.failures[:3]}")
            if not writer.created:
                raise Wrong("no write was acknowledged: the run shows nothing")

    def check_repository(self) -> int:
        """See that there is exactly what jobs say they have made, and that it is the history at its mark."""
        succeeded = [job for job in self.jobs() if job.state == backup_pb2.JOB_STATE_SUCCEEDED]
        made = {job.snapshot_id for job in succeeded}
        # Those of a policy may have been let go.
        stay = {job.snapshot_id for job in succeeded if not job.policy}
        with self.cluster.backups() as backups:
            there = {summary.id for summary in backups.list()}
        if not stay <= there <= made:
            raise Wrong(f"snapshots {sorted(there - made)} are there of no job, {sorted(stay - there)} of jobs are not")
        for snapshot_id in sorted(there - self._judged):
            if complaints := judge(self.cluster.repository, snapshot_id, self.writers):
                raise Wrong("; ".join(complaints[:5]))
            self._judged.add(snapshot_id)
        return len(there)


@contextlib.contextmanager
def held_at(field: Field, daemon: Daemon, point: str, file: Path) -> Iterator[Callable[[], bool]]:
    """Restart a process so that it stands still at a point; it goes on when this is left. Yields whether it stands."""
    field.restart(daemon, f"{point}@{file}")
    try:
        yield file.exists
    finally:
        file.unlink(missing_ok=True)
