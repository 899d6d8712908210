"""Policies over real gRPC, on a cluster in memory, by a clock that the test moves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from coordinator_fakes import FakeCluster, new_repository, until
from coordinator_leading import LeadingJobs

from coordinator.policies import PolicyStore, Scheduler
from coordinator.policies.service import SERVICE, PoliciesService
from quiesce import errors
from quiesce.client import Policies
from quiesce.rpc import open_server
from quiesce.v1 import policy_pb2, policy_pb2_grpc
from quiesce.v1.backup_pb2 import CreateBackupRequest

MINUTE = 60_000
HOUR = 60 * MINUTE
# A whole hour, Unix milliseconds.
START = 1_795_000_000_000 // HOUR * HOUR


def every(name: str = "hourly", **fields: object) -> policy_pb2.PolicySpec:
    retry_pause_ms = fields.pop("retry_pause_ms", 0)
    schedule = policy_pb2.Schedule(every_ms=HOUR, retry_pause_ms=retry_pause_ms, **fields)  # type: ignore[arg-type]
    return policy_pb2.PolicySpec(name=name, schedule=schedule)


class Coordinator:
    """The jobs, policies and scheduler of one coordinator; `time_ms` is its clock for schedules."""

    def __init__(self, cluster: FakeCluster, repository: str, name: str = "one") -> None:
        self.time_ms = START + 1
        self.cluster = cluster
        self.leading = LeadingJobs(cluster, name=name)
        self.jobs = self.leading.jobs
        self.policies = PolicyStore(cluster)
        self.scheduler = Scheduler(
            jobs=self.jobs, policies=self.policies, clock=lambda: self.time_ms, locate=lambda name: name or repository
        )
        self.service = PoliciesService(policies=self.policies, scheduler=self.scheduler, clock=lambda: self.time_ms)
        self.dead = False

    async def start(self, *, leads: bool = True) -> None:
        self.leading.start(self.scheduler.run)
        if leads:
            await self.jobs.ready.wait()

    def at(self, time_ms: int) -> None:
        self.time_ms = time_ms
        self.scheduler.wake()

    async def die(self) -> None:
        """End without giving anything back."""
        self.dead = True
        await self.leading.die()


@contextlib.asynccontextmanager
async def serving(coordinator: Coordinator, *, leads: bool = True) -> AsyncIterator[Policies]:
    server = open_server("127.0.0.1:0")
    policy_pb2_grpc.add_PoliciesServicer_to_server(coordinator.service, server.grpc)
    port = await server.start([SERVICE])
    await coordinator.start(leads=leads)
    async with Policies(f"127.0.0.1:{port}") as client:
        try:
            yield client
        finally:
            if not coordinator.dead:
                await coordinator.leading.stop()
            await server.stop(0)


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
async def running(cluster: FakeCluster, tmp_path: Path) -> AsyncIterator[tuple[Coordinator, Policies]]:
    coordinator = Coordinator(cluster, new_repository(tmp_path))
    async with serving(coordinator) as client:
        yield coordinator, client


async def eventually(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await true():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


async def jobs_of(coordinator: Coordinator, state: str = "succeeded") -> list[str]:
    return sorted(job.id for job in await coordinator.jobs.list(0) if job.state == state)


async def jobs_are(coordinator: Coordinator, count: int, state: str = "succeeded") -> list[str]:
    """Wait until so many jobs are in a state, and no run is under way."""

    async def are() -> bool:
        idle = not any(entry.value.table.running for entry in await coordinator.policies.load())
        return idle and len(await jobs_of(coordinator, state)) == count

    await eventually(are)
    return await jobs_of(coordinator, state)


async def test_a_run_starts_when_it_is_due_and_not_before(running: tuple[Coordinator, Policies]) -> None:
    coordinator, client = running
    created = await client.create(every())
    assert created.next_ms == START + HOUR
    coordinator.at(START + HOUR - 1)
    await asyncio.sleep(0.1)
    assert await jobs_of(coordinator) == []
    coordinator.at(START + HOUR + 5)
    [job] = await jobs_are(coordinator, 1)
    found = await client.show("hourly")
    assert found.job_id == job
    assert (await coordinator.jobs.find(job)).policy == "hourly"
    assert found.last_success_ms > 0
    assert found.next_ms == START + 2 * HOUR
    assert found.events[0].text == "created"
    assert "snapshot" in found.events[-1].text
    assert [one.at_ms for one in await client.next(count=2)] == [START + 2 * HOUR, START + 3 * HOUR]
    # The next moment, the next job; the other replica's turn.
    coordinator.at(START + 2 * HOUR)
    assert len(await jobs_are(coordinator, 2)) == 2
    assert coordinator.cluster.drained == [2, 3]


async def test_what_a_policy_cannot_be(running: tuple[Coordinator, Policies]) -> None:
    _, client = running
    await client.create(every())
    with pytest.raises(errors.PolicyExists):
        await client.create(every())
    for wrong in (
        policy_pb2.PolicySpec(name="no schedule"),
        policy_pb2.PolicySpec(name="a", schedule=policy_pb2.Schedule()),
        policy_pb2.PolicySpec(name="a", schedule=policy_pb2.Schedule(cron="at noon")),
        policy_pb2.PolicySpec(name="a", schedule=policy_pb2.Schedule(cron="0 2 * * *", zone="Mars/Base")),
        policy_pb2.PolicySpec(name="a", schedule=policy_pb2.Schedule(every_ms=10)),
        every("a", retries=99),
        every("a/b"),
        every(""),
    ):
        with pytest.raises(errors.InvalidRequest):
            await client.create(wrong)
    for call in (client.show, client.pause, client.resume, client.run, client.delete, client.next):
        with pytest.raises(errors.UnknownPolicy):
            await call("nobody")
    assert [policy.spec.name for policy in await client.list()] == ["hourly"]
    await client.delete("hourly")
    assert await client.list() == []


async def test_paused_nothing_runs_and_nothing_is_made_up_for(running: tuple[Coordinator, Policies]) -> None:
    coordinator, client = running
    await client.create(every())
    assert (await client.pause("hourly")).next_ms == 0
    coordinator.at(START + 5 * HOUR + 1)
    await asyncio.sleep(0.1)
    assert await client.next() == []
    assert (await client.resume("hourly")).next_ms == START + 6 * HOUR
    await asyncio.sleep(0.1)
    assert await jobs_of(coordinator) == []
    coordinator.at(START + 6 * HOUR)
    await jobs_are(coordinator, 1)


async def test_a_run_by_hand_and_one_that_waits_for_it(
    running: tuple[Coordinator, Policies], cluster: FakeCluster
) -> None:
    coordinator, client = running
    await client.create(every(overlap=policy_pb2.OVERLAP_WAIT))
    cluster.worker_may_end.clear()
    job = (await client.run("hourly")).job_id
    await until(lambda: cluster.drained)
    coordinator.at(START + HOUR)
    await asyncio.sleep(0.1)
    assert len(cluster.drained) == 1
    cluster.worker_may_end.set()
    assert job in await jobs_are(coordinator, 2)


async def test_a_run_under_way_is_cancelled_for_the_next(
    running: tuple[Coordinator, Policies], cluster: FakeCluster
) -> None:
    coordinator, client = running
    await client.create(every(overlap=policy_pb2.OVERLAP_CANCEL))
    cluster.worker_may_end.clear()
    first = (await client.run("hourly")).job_id
    await until(lambda: cluster.drained)
    coordinator.at(START + HOUR)
    await until(lambda: len(cluster.drained) == 2)
    cluster.worker_may_end.set()
    await jobs_are(coordinator, 1)
    assert await jobs_of(coordinator, "cancelled") == [first]


async def test_a_failure_is_tried_again_and_then_there_is_an_alarm_until_one_succeeds(
    running: tuple[Coordinator, Policies], cluster: FakeCluster
) -> None:
    coordinator, client = running
    await client.create(every(retries=1, retry_pause_ms=MINUTE))
    damaged = errors.DamagedObject(object="packs/1", repository="r", detail="its bytes do not fit its digest")
    cluster.fail["worker"] = [damaged] * 2
    coordinator.at(START + HOUR)
    await jobs_are(coordinator, 1, "failed")
    policy = await client.show("hourly")
    assert (policy.failures, policy.alarm) == (1, False)
    assert "packs/1" in policy.last_error
    coordinator.at(START + HOUR + MINUTE)
    await jobs_are(coordinator, 2, "failed")
    policy = await client.show("hourly")
    assert (policy.failures, policy.alarm) == (2, True)
    assert any(event.text.startswith("ALARM: 2 runs") for event in policy.events)
    # No further attempt, until the next run.
    coordinator.at(START + HOUR + 30 * MINUTE)
    await asyncio.sleep(0.1)
    assert len(await jobs_of(coordinator, "failed")) == 2
    coordinator.at(START + 2 * HOUR)
    await jobs_are(coordinator, 1)
    policy = await client.show("hourly")
    assert (policy.failures, policy.alarm, policy.last_error) == (0, False, "")


async def test_a_run_that_cannot_begin_fails_or_waits(
    running: tuple[Coordinator, Policies], cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coordinator.policies.scheduler.AGAIN_S", 0.05)
    coordinator, client = running
    # What can never be is a failure.
    wrong = every("wrong")
    wrong.databases.append("atlantis")
    await client.create(wrong)
    await client.run("wrong")

    async def refused() -> bool:
        return "atlantis" in (await client.show("wrong")).last_error

    await eventually(refused)
    await client.pause("wrong")
    # Somebody's backup is under way: that will be over.
    cluster.worker_may_end.clear()
    await coordinator.jobs.start(CreateBackupRequest(), coordinator.scheduler._locate(""))
    await until(lambda: cluster.drained)
    await client.create(every())
    await client.run("hourly")

    async def waits() -> bool:
        return any("waits" in event.text for event in (await client.show("hourly")).events)

    await eventually(waits)
    cluster.worker_may_end.set()
    await jobs_are(coordinator, 2)
    # It says so once, however often it was looked at.
    assert sum("waits" in event.text for event in (await client.show("hourly")).events) == 1


@pytest.mark.parametrize("died", ["before the job began", "during the job", "after the job had ended"])
async def test_the_next_coordinator_goes_on_with_the_run(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, died: str
) -> None:
    repository = new_repository(tmp_path)
    first = Coordinator(cluster, repository)
    if died == "before the job began":

        async def never(*_: object, **__: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(first.jobs, "start", never)
    elif died == "during the job":
        cluster.worker_may_end.clear()
    async with serving(first) as client:
        await client.create(every(retry_pause_ms=MINUTE))
        if died == "after the job had ended":
            # The news does not reach the scheduler.
            monkeypatch.setattr(first.scheduler, "_ended", lambda *_: asyncio.Event().wait())
        first.at(START + HOUR)

        async def begun() -> bool:
            return (await client.show("hourly")).running

        async def ended() -> bool:
            return bool(await jobs_of(first))

        await eventually(begun)
        if died == "during the job":
            await until(lambda: cluster.drained)
        elif died == "after the job had ended":
            await eventually(ended)
        await first.die()
    cluster.worker_may_end.set()
    second = Coordinator(cluster, repository)
    second.time_ms = START + HOUR + 10
    async with serving(second) as client:
        await jobs_are(second, 1)
        assert len(cluster.drained) == 1, "no second lease was needed"
        policy = await client.show("hourly")
        assert not policy.running
        assert policy.last_success_ms
        assert len(await jobs_of(second)) == 1


async def test_of_two_coordinators_one_starts_each_run(cluster: FakeCluster, tmp_path: Path) -> None:
    repository = new_repository(tmp_path)
    one, other = Coordinator(cluster, repository), Coordinator(cluster, repository, "other")
    async with serving(one) as client, serving(other, leads=False):
        await client.create(every())
        for hour in range(1, 4):
            for coordinator in (one, other):
                coordinator.at(START + hour * HOUR)
            await jobs_are(one, hour)
        assert await jobs_of(one, "failed") == []


async def test_a_coordinator_that_is_slow_to_start_a_run_finds_it_begun_by_another(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = new_repository(tmp_path)
    slow, other = Coordinator(cluster, repository), Coordinator(cluster, repository)
    start, go_on, came = slow.jobs.start, asyncio.Event(), asyncio.Event()

    async def late(*args: Any, **more: Any) -> object:
        await go_on.wait()
        try:
            return await start(*args, **more)
        finally:
            came.set()

    monkeypatch.setattr(slow.jobs, "start", late)
    cluster.worker_may_end.clear()
    async with serving(slow) as client, serving(other):
        await client.create(every(retries=0))
        slow.at(START + HOUR)

        async def decided() -> bool:
            return (await client.show("hourly")).running

        await eventually(decided)
        other.at(START + HOUR)
        await until(lambda: cluster.drained)
        go_on.set()
        await came.wait()
        cluster.worker_may_end.set()
        await jobs_are(other, 1)
        policy = await client.show("hourly")
        assert (policy.failures, policy.last_error) == (0, "")
        assert not any("failed" in event.text for event in policy.events)


async def test_a_run_goes_through_all_repositories_and_goes_on_where_it_failed(
    running: tuple[Coordinator, Policies], cluster: FakeCluster, tmp_path: Path
) -> None:
    coordinator, client = running
    (tmp_path / "off-site").mkdir()
    second = new_repository(tmp_path / "off-site")
    spec = every(retry_pause_ms=MINUTE)
    spec.repositories.extend(["", second])
    await client.create(spec)
    jobs = coordinator.jobs

    async def places(state: str) -> list[str]:
        return sorted(job.repository for job in await jobs.list(0) if job.state == state)

    coordinator.at(START + HOUR)
    await jobs_are(coordinator, 2)
    assert len({*await places("succeeded")}) == 2
    assert second in await places("succeeded")
    assert (await client.show("hourly")).last_success_ms
    # The first is there, and the second is not: no second one is made there.
    damaged = errors.DamagedObject(object="packs/1", repository="r", detail="its bytes do not fit its digest")
    made = cluster.calls.count("worker")
    cluster.fail_at = {made + 2: damaged}
    coordinator.at(START + 2 * HOUR)
    await jobs_are(coordinator, 1, "failed")
    assert await places("failed") == [second]
    coordinator.at(START + 2 * HOUR + 2 * MINUTE)
    await jobs_are(coordinator, 4)
    assert (await places("succeeded")).count(second) == 2
    failed = [job.id for job in await jobs.list(0) if job.state == "failed"]
    assert failed[0].endswith("-0.2")
    assert failed[0].replace("-0.2", "-1.2") in await jobs_of(coordinator)
    with pytest.raises(errors.InvalidRequest, match="each once"):
        await client.create(policy_pb2.PolicySpec(name="twice", schedule=spec.schedule, repositories=["/a", "/a"]))
