"""A week of ten policies in some seconds: what the coordinator keeps, on disk and in memory, must not grow with time.

All of the coordinator is real but its server; the cluster is the one in memory, and the event loop's clock jumps to
whatever is waited for next.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import selectors
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
import structlog
from coordinator_fakes import NOTHING, FakeCluster

from coordinator import jobs as jobs_module
from coordinator import journal, performer
from coordinator.job import Moment, Policy
from coordinator.jobs import Identifiers, Jobs
from coordinator.leadership import Leadership
from coordinator.pacing import pacer
from coordinator.policies import BackupPolicy, PolicyStore, Scheduler, Spec
from coordinator.policies import scheduler as scheduler_module
from coordinator.policies.model import EVENT_LIMIT
from coordinator.schedule import Missed, Overlap, Timetable
from quiesce import errors
from quiesce.snapshot import Manifest, ManifestMark, TableSummary, Totals, encode_manifest, new_snapshot_id
from quiesce.v1 import node_pb2, record_pb2

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 1_795_000_000_000 // DAY * DAY
# A thousand in the product; fewer here, so that after two days the oldest go.
KEPT = 40
DEADLINES = Policy(
    lease_ms=30 * MINUTE,
    drain_ms=MINUTE,
    checkpoint_ms=MINUTE,
    stall_ms=20 * MINUTE,
    recover_ms=MINUTE,
    poll_ms=5_000,
    return_ms=MINUTE,
)
SPECS = [
    Spec("usual", every_ms=6 * HOUR, jitter_ms=10 * MINUTE),
    Spec("often", cron="7 */3 * * *", zone="America/New_York", retries=1),
    Spec("patient", every_ms=6 * HOUR, overlap=Overlap.WAIT),
    Spec("impatient", every_ms=2 * HOUR, overlap=Overlap.CANCEL),
    Spec("nightly", cron="30 2 * * *", zone="Europe/Berlin", latency_budget_ms=50),
    Spec("at-midnight", cron="0 0 * * *", zone="America/Santiago", jitter_ms=30 * MINUTE),
    Spec("lord-howe", cron="15 2 * * *", zone="Australia/Lord_Howe"),
    Spec("workdays", cron="0 6 * * 1-5", zone="Asia/Kolkata", missed=Missed.SKIP),
    Spec("one-database", cron="0 12 * * *", databases=("shop",)),
    Spec("never-works", cron="0 3,15 * * *", databases=("nowhere",), retries=2),
]


DRAFT = encode_manifest(
    Manifest(
        snapshot_id=new_snapshot_id(START, 1),
        cluster_id="fake",
        node_id=2,
        mark=ManifestMark(1, 50, 5, 1),
        content_id=NOTHING,
        complete=True,
        databases=[],
        table=TableSummary("00" * 32, 0, 0),
        packs=[],
        totals=Totals(0, 0, 0, 0, 0, 0, 0, 0, 0),
        base=None,
        started_ms=1,
        ended_ms=2,
    )
)


class JumpingSelector(selectors.DefaultSelector):
    """Does not wait: it says how far the clock has to jump."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits for something that never comes"
        ready = super().select(0)
        if not ready:
            self.seconds += max(timeout, 0)
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.seconds


def unix_ms() -> int:
    return START + int(asyncio.get_running_loop().time() * 1000)


class Shelf:
    """A repository in memory: what is published, and nothing of it."""

    def __init__(self) -> None:
        self.published = 0

    async def check_writable(self, _location: str) -> None:
        pass

    async def publish(self, *_: object) -> None:
        self.published += 1


class WeekCluster(FakeCluster):
    """The cluster in memory by the clock that jumps, with snapshots that take minutes, and some that fail.

    It keeps the documents of each class apart, and forgets what the other tests want to know.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls = deque(maxlen=10)  # type: ignore[assignment]
        self.drained = deque(maxlen=10)  # type: ignore[assignment]
        self.rates = {node: deque(maxlen=10) for node in self.rates}  # type: ignore[misc]
        self.snapshots = 0

    @staticmethod
    def log_time() -> int:
        return unix_ms()

    async def take_snapshot(
        self, node_id: int, request: node_pb2.TakeSnapshotRequest, *, idle_s: float = 60.0
    ) -> AsyncIterator[node_pb2.SnapshotProgress]:
        self.snapshots += 1
        # Now and then longer than what is between two runs of the impatient one.
        steps = 30 if self.snapshots % 11 == 0 else 1 + self.snapshots % 3
        for done in range(steps):
            await asyncio.sleep(300)
            yield node_pb2.SnapshotProgress(phase=node_pb2.SnapshotProgress.PHASE_UPLOADING, pages_done=done)
        if self.snapshots % 7 == 0:
            raise errors.DamagedObject(object=f"packs/{self.snapshots}", repository="r", detail="its bytes do not fit")
        yield node_pb2.SnapshotProgress(phase=node_pb2.SnapshotProgress.PHASE_DONE, manifest_draft=DRAFT)

    async def scan(self, database: str, *, class_name: str | None = None) -> AsyncIterator[record_pb2.ScanResponse]:
        # The class stands first; it need not be parsed to be seen.
        wanted, kind = f'"{class_name}"'.encode(), record_pb2.RECORD_KIND_DOCUMENT
        found = [
            record_pb2.Record(cluster=rid.cluster, position=rid.position, version=r.version, kind=kind, body=r.body)
            for rid, r in self.documents.items()
            if wanted in r.body[:40]
        ]
        yield record_pb2.ScanResponse(index=1, records=found)

    def by_class(self) -> dict[str, list[int]]:
        sizes: dict[str, list[int]] = {}
        for record in self.documents.values():
            sizes.setdefault(json.loads(record.body)["@class"], []).append(len(record.body))
        return sizes


@dataclass(frozen=True)
class Sight:
    """What there is at the end of a day."""

    jobs: int
    policies: int
    bytes: int
    largest: int
    # Pieces of memory that Python has handed out, whatever for.
    blocks: int
    objects: Counter[str]


def sight(cluster: WeekCluster) -> Sight:
    gc.collect()
    blocks = sys.getallocatedblocks()
    objects = Counter(
        f"{type(one).__module__}.{type(one).__qualname__}"
        for one in gc.get_objects()
        if str(type(one).__module__).partition(".")[0] in ("coordinator", "quiesce", "asyncio", "_asyncio")
    )
    sizes = cluster.by_class()
    documents = [*sizes["Job"], *sizes["Policy"], *sizes["Lease"]]
    assert set(sizes) == {"Job", "Policy", "Lease"}
    return Sight(len(sizes["Job"]), len(sizes["Policy"]), sum(documents), max(documents), blocks, objects)


async def a_week(cluster: WeekCluster) -> tuple[list[Sight], list[BackupPolicy], Counter[str], int]:
    numbers, shelf = iter(range(1, 1_000_000)), Shelf()
    # Seconds in the product, and a renewal each: a week of them would take most of the time of this test.
    leadership = Leadership(cluster, holder="one", address="one:1", clock_ms=lambda: unix_ms() - START, ttl_ms=2 * HOUR)
    jobs = Jobs(
        nodes=cluster,
        documents=cluster,
        snapshots=shelf,  # type: ignore[arg-type]
        policy=DEADLINES,
        clock=lambda: Moment(unix_ms() - START, unix_ms()),
        identifiers=Identifiers(
            job=lambda: f"job-{next(numbers)}", snapshot=lambda: new_snapshot_id(unix_ms(), next(numbers) % 2**24)
        ),
        addresses="n:1",
        leadership=leadership,
    )
    policies = PolicyStore(cluster)
    scheduler = Scheduler(jobs=jobs, policies=policies, clock=unix_ms, locate=lambda name: name or "/repository")
    await cluster.create_database("shop")
    works = [asyncio.create_task(leadership.run()), asyncio.create_task(jobs.lead())]
    await jobs.ready.wait()
    for spec in SPECS:
        await policies.add(BackupPolicy(spec, Timetable(unix_ms())))
    ended: Counter[str] = Counter()
    seen: set[str] = set()

    async def count() -> None:
        for job in await jobs.list(0):
            if not job.running and job.id not in seen:
                seen.add(job.id)
                ended[job.state] += 1

    running = asyncio.create_task(scheduler.run())
    sights = []
    for day in range(1, 8):
        while unix_ms() < START + day * DAY:
            await asyncio.sleep(3_600)
            await count()
        while jobs._running is not None or jobs._unrecorded:  # noqa: ASYNC110 - a clock that jumps
            await asyncio.sleep(10)
        await count()
        sights.append(sight(cluster))
    assert shelf.published == ended["succeeded"]
    left = [entry.value for entry in await policies.by_name()]
    assert not running.done()
    await jobs.stop(4.0)
    for work in (running, *works):
        work.cancel()
    await asyncio.gather(running, *works, return_exceptions=True)
    return sights, left, ended, len(asyncio.all_tasks())


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(journal, "KEPT", KEPT)
    monkeypatch.setattr(jobs_module, "KEPT", KEPT)
    # Nobody else changes a policy here, and it wakes for what is due all the same.
    monkeypatch.setattr(scheduler_module, "LOOK_AT_LEAST_S", 1_800.0)
    monkeypatch.setattr(scheduler_module, "AGAIN_S", 60.0)
    # Goes by the real time, of which hardly any passes.
    monkeypatch.setattr(performer, "SIGN_OF_LIFE_S", 0.0)
    # A second in the product: as with renewals, a week of them would take most of the time.
    monkeypatch.setattr(pacer, "PERIOD_S", 600.0)
    logs = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**logs)


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("quickly")
def test_after_some_days_of_ten_policies_nothing_grows_any_more() -> None:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        sights, policies, ended, tasks = runner.run(a_week(WeekCluster()))
    # It was a week as weeks are: runs succeed, fail and are cancelled, and each policy has had its own.
    assert ended["succeeded"] > 100
    assert ended["failed"] > 10
    assert ended["cancelled"] > 1
    assert [policy.spec.name for policy in policies if policy.alarm] == ["never-works"]
    late = [policy.spec.name for policy in policies if policy.last_success_ms < START + 4 * DAY]
    assert late == ["never-works"]
    # A run is named before it starts, so one may be there beyond those that are kept.
    assert all(KEPT - 5 <= one.jobs <= KEPT + 1 for one in sights[2:])
    assert all(one.policies == len(SPECS) for one in sights)
    assert all(len(policy.events) <= EVENT_LIMIT for policy in policies)
    # The histories of the policies are not full before the fifth day.
    third, fifth, later = sights[2], sights[4], sights[3:]
    assert max(one.bytes for one in later) < 1.15 * third.bytes
    assert max(one.largest for one in sights) < 16 << 10
    assert max(one.blocks for one in later) < third.blocks + 2_500, [one.blocks for one in sights]
    # Some 50 jobs lie between them: thirty pieces left behind by each would be seen. What tests before this one left
    # running in the process allocates too, hundreds of them now and then.
    assert sights[6].blocks < fifth.blocks + 1_500, [one.blocks for one in sights]
    for one in later:
        grown = {name: count for name, count in (one.objects - third.objects).items() if count > 20}
        assert not grown
    # The scheduler's own, which was cancelled, and this one.
    assert tasks <= 2
