"""Deaths at random moments, while backups are made one after another."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from quiesce.errors import QuiesceError
from quiesce.v1 import backup_pb2
from tests.deaths.field import JOB_ENDS_S, LEASE_S, MARGIN_S, RATE, Field, Wrong
from tests.scenarios.daemon import Daemon, until

# After so many deaths everything is let come to rest, and looked at.
ROUND = 20
# Three daemons at least must start again, elect, catch up, and go on with a job.
REST_S = 60.0
_STOPPED = 0.2
# So long is a whole cluster waited for; after that a backup is asked for anyhow.
WHOLE_S = 10.0


@dataclass(eq=False)
class Backups(threading.Thread):
    """Makes backups one after another until it is told to end."""

    field: Field
    ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def run(self) -> None:
        while not self.ended.is_set():
            # Else nearly all would be refused, because somebody has just died.
            with contextlib.suppress(TimeoutError):
                until(lambda: self.ended.is_set() or self.field.all_serve(), WHOLE_S, "a whole cluster")
            if self.ended.is_set():
                return
            try:
                with self.field.cluster.backups(timeout_s=5) as backups:
                    for _ in backups.create(rate_limit=RATE):
                        pass
            except QuiesceError:
                # Whatever became of it, the job is judged by what the cluster says.
                time.sleep(0.3)


@dataclass(frozen=True, slots=True)
class Rest:
    """What was there when everything had come to rest: deaths so far, jobs by how they ended, snapshots, seconds."""

    deaths: int
    jobs: Counter[str]
    snapshots: int
    rest_s: float


class Storm:
    """Kills, and now and then stops for some seconds, one node or coordinator after another."""

    def __init__(self, field: Field, rng: random.Random) -> None:
        self._field = field
        self._rng = rng
        self.dealt: Counter[str] = Counter()

    def rage(self, deaths: int) -> Iterator[Rest]:
        """Deal so many deaths; yield whenever all that must hold was seen to hold.

        Raises:
            Wrong: something does not.
        """
        done = 0
        while done < deaths:
            backups = Backups(self._field)
            backups.start()
            for _ in range(min(ROUND, deaths - done)):
                self._one()
                done += 1
            backups.ended.set()
            yield self._rest(done, backups)

    def _one(self) -> None:
        field, rng = self._field, self._rng
        daemons = {f"node {node}": daemon for node, daemon in field.cluster.nodes.items()}
        daemons |= {f"coordinator {n}": daemon for n, daemon in enumerate(field.cluster.coordinators, 1)}
        # One node at a time: the promise is what three can survive.
        name = rng.choice(["node", "coordinator"])
        name = rng.choice([one for one in daemons if one.startswith(name)])
        daemon: Daemon = daemons[name]
        time.sleep(rng.uniform(0.1, 3.0))
        self.dealt[name.partition(" ")[0]] += 1
        if rng.random() < _STOPPED:
            daemon.pause()
            time.sleep(rng.uniform(0.5, LEASE_S + 10.0))
            daemon.resume()
            return
        daemon.kill()
        time.sleep(rng.choice([0.0, rng.uniform(0, 1), rng.uniform(1, 12)]))
        daemon.start()

    def _rest(self, deaths: int, backups: Backups) -> Rest:
        field = self._field
        began = time.monotonic()
        # It may just be asking for one more.
        backups.join(JOB_ENDS_S)
        if backups.is_alive():
            raise Wrong(f"whoever asked for a backup has no answer after {JOB_ENDS_S:g} s")
        field.expect(field.all_serve, REST_S, "every node in rotation")
        field.expect(field.answers, REST_S, "a coordinator answers")
        field.expect(lambda: not _running(field), JOB_ENDS_S, "every job at its end")
        field.expect(field.all_serve, LEASE_S + MARGIN_S, "every node in rotation when no job runs")
        took = time.monotonic() - began
        jobs = Counter(backup_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_").lower() for job in field.jobs())
        if not jobs:
            raise Wrong("there are no jobs: the storm shows nothing")
        snapshots = field.check_repository()
        field.check_writers()
        return Rest(deaths, jobs, snapshots, took)


def _running(field: Field) -> list[backup_pb2.Job]:
    return [job for job in field.jobs() if job.state == backup_pb2.JOB_STATE_RUNNING]
