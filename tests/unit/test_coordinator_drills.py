"""Drills over real gRPC, with policies on a cluster in memory, by a clock that the test moves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from coordinator_fakes import FakeCluster, new_repository, until
from drill_fakes import FakeThrowaway, put_snapshot

from coordinator.drills import Deadlines, Drills, Outcome, Scratch
from coordinator.drills.drills import GONE_AFTER_MS
from coordinator.drills.scheduler import DrillScheduler
from coordinator.drills.service import SERVICE, DrillsService
from coordinator.job import Moment
from coordinator.policies import BackupPolicy, PolicyStore, Spec
from coordinator.policies.drilling import DrillSpec, PolicyDrills
from coordinator.policies.messages import policy_message, spec_of
from coordinator.schedule import Timetable
from coordinator.snapshots import Snapshots
from coordinator.threads import RepositoryThreads
from quiesce import errors
from quiesce.client import Drills as Client
from quiesce.repository import open_repository
from quiesce.repository.drills import verified_times
from quiesce.rpc import open_server
from quiesce.v1 import drill_pb2, drill_pb2_grpc, policy_pb2

HOUR = 3_600_000
START = 1_795_000_000_000 // HOUR * HOUR


class Coordinator:
    """The drills of one coordinator; `time_ms` is its clock for schedules, `owner` its place."""

    def __init__(self, cluster: FakeCluster, repository: str, scratch: Path, owner: str = "here") -> None:
        self.time_ms = START + 1
        self.repository = repository
        self.throwaway = FakeThrowaway()
        self.scratch = Scratch(scratch)
        numbers = iter(range(1, 1_000))
        self.drills = Drills(
            documents=cluster,
            snapshots=Snapshots(RepositoryThreads()),
            scratch=self.scratch,
            make_cluster=self.throwaway.made_for,
            deadlines=Deadlines(),
            clock=lambda: Moment(int(asyncio.get_running_loop().time() * 1000), self.time_ms),
            new_id=lambda: f"drill-{next(numbers)}",
            owner=owner,
            check_leads=lambda: None,
        )
        self.policies = PolicyStore(cluster)
        self.scheduler = DrillScheduler(
            drills=self.drills,
            policies=self.policies,
            clock=lambda: self.time_ms,
            locate=lambda name: name or repository,
        )
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await self.drills.make_ready()
        self.tasks.append(asyncio.create_task(self.scheduler.run()))

    def at(self, time_ms: int) -> None:
        self.time_ms = time_ms
        self.scheduler.wake()

    async def add(self, **changes: object) -> None:
        """Keep a policy that drills every hour, and has the snapshot s1."""
        table = Timetable(decided_ms=self.time_ms)
        policy = BackupPolicy(
            Spec("hourly", cron="0 0 1 1 *", drill=DrillSpec(every_ms=HOUR)),
            table,
            last_snapshot_id="s1",
            drills=PolicyDrills(table),
        )
        await self.policies.add(replace(policy, **changes))  # type: ignore[arg-type]
        self.scheduler.wake()

    async def policy(self) -> BackupPolicy:
        return (await self.policies.find("hourly")).value

    def verified(self) -> dict[str, int]:
        return verified_times(open_repository(self.repository), ["s1"])

    async def die(self) -> None:
        """End without cleaning up."""
        for task in self.tasks:
            task.cancel()
        for running in list(self.drills._unrecorded.values()):
            running.recorder.stop()
            assert running.task is not None
            running.task.cancel()
        await asyncio.sleep(0)


@pytest.fixture
def repository(tmp_path: Path) -> str:
    location = new_repository(tmp_path)
    put_snapshot(location, "s1")
    return location


@pytest.fixture
async def coordinator(repository: str, tmp_path: Path) -> AsyncIterator[Coordinator]:
    made = Coordinator(FakeCluster(), repository, tmp_path / "scratch")
    await made.start()
    yield made
    await made.drills.stop(4.0)
    for task in made.tasks:
        task.cancel()


@contextlib.asynccontextmanager
async def serving(coordinator: Coordinator) -> AsyncIterator[Client]:
    server = open_server("127.0.0.1:0")
    service = DrillsService(
        drills=coordinator.drills,
        scheduler=coordinator.scheduler,
        locate=lambda name: name or coordinator.repository,
    )
    drill_pb2_grpc.add_DrillsServicer_to_server(service, server.grpc)
    port = await server.start([SERVICE])
    async with Client(f"127.0.0.1:{port}") as client:
        try:
            yield client
        finally:
            await server.stop(0)


async def outcome(coordinator: Coordinator, drill_id: str) -> str:
    report = await coordinator.drills.find(drill_id)
    return report.outcome if report else ""


async def eventually(coordinator: Coordinator, outcomes: list[str]) -> None:
    """Wait until the drills, the latest first, have come to these outcomes, and no policy waits for one."""
    async with asyncio.timeout(20):
        while True:
            found = [str(report.outcome) for report in await coordinator.drills.list(0)]
            entries = await coordinator.policies.load()
            if found == outcomes and not any(e.value.drills and e.value.drills.table.running for e in entries):
                return
            await asyncio.sleep(0.02)


async def test_a_drill_verifies_and_is_followed_and_listed(coordinator: Coordinator) -> None:
    async with serving(coordinator) as client:
        answers = [answer async for answer in client.run()]
        last = answers[-1].drill
        assert (last.outcome, last.snapshot_id) == (drill_pb2.DRILL_OUTCOME_VERIFIED, "s1")
        assert (last.records, last.index_entries, last.links, last.dangling_links) == (10, 3, 4, 1)
        assert [part.step for part in last.parts][-1] == "clean"
        assert coordinator.throwaway.calls == ["start", "restore", "count", "stop", "check", "clean"]
        assert [drill.id for drill in await client.list()] == [last.id]
        assert coordinator.verified() == {"s1": START + 1}


async def test_what_fails_is_raised_as_it_was_and_unverifies_the_snapshot_if_that_is_at_fault(
    coordinator: Coordinator,
) -> None:
    throwaway = coordinator.throwaway
    async with serving(coordinator) as client:
        _ = [answer async for answer in client.run("s1")]
        throwaway.fail = {"start": errors.NoRoomForDrill(snapshot_id="s1", needed="9", path="/", free="1")}
        with pytest.raises(errors.NoRoomForDrill):
            _ = [answer async for answer in client.run("s1")]
        # The machine's fault, not the snapshot's.
        assert coordinator.verified()
        coordinator.time_ms += 1_000
        throwaway.fail = {"restore": errors.DamagedObject(object="packs/aa", repository="r", detail="x")}
        with pytest.raises(errors.DamagedObject):
            _ = [answer async for answer in client.run("s1")]
        assert coordinator.verified() == {}
        throwaway.fail = {}
        throwaway.content_id = "another"
        with pytest.raises(errors.DrillFailed, match="content id is another"):
            _ = [answer async for answer in client.run("s1")]
        with pytest.raises(errors.UnknownSnapshot):
            _ = [answer async for answer in client.run("s9")]
        assert throwaway.alive == 0


async def test_two_drills_do_not_run_at_once_here_or_elsewhere(
    coordinator: Coordinator, repository: str, tmp_path: Path
) -> None:
    coordinator.throwaway.gate.clear()
    running = await coordinator.drills.start(repository, "s1")
    with pytest.raises(errors.DrillRunning) as refused:
        await coordinator.drills.start(repository, "s1")
    assert refused.value.fields["drill_id"] == running.report.id
    cluster = coordinator.drills._journal._documents
    assert isinstance(cluster, FakeCluster)
    other = Coordinator(cluster, repository, tmp_path / "other", owner="there")
    await other.start()
    with pytest.raises(errors.DrillRunning):
        await other.drills.start(repository, "s1")
    # Whoever is not heard of for long is gone; and notices, should it be there after all.
    other.time_ms += GONE_AFTER_MS + 1
    await other.drills.start(repository, "s1")
    coordinator.drills._unrecorded[running.report.id].recorder.put(running.report)
    await until(lambda: running.runner.drill.ended)
    assert running.report.outcome is Outcome.INTERRUPTED
    assert coordinator.throwaway.alive == 0
    await other.drills.stop(4.0)
    for task in other.tasks:
        task.cancel()


async def test_a_policy_is_drilled_when_due_and_tells_how_long_ago(coordinator: Coordinator) -> None:
    await coordinator.add()
    message = policy_message(await coordinator.policy(), START + 1)
    assert not message.HasField("verified_age_ms")
    assert message.drill.next_ms == START + HOUR
    coordinator.at(START + HOUR - 1)
    await asyncio.sleep(0.1)
    assert await coordinator.drills.list(0) == []
    coordinator.at(START + HOUR + 5)
    await eventually(coordinator, ["verified"])
    message = policy_message(await coordinator.policy(), START + 2 * HOUR)
    assert message.last_verified_ms == START + HOUR + 5
    assert message.verified_age_ms == HOUR - 5
    assert not message.alarm
    coordinator.at(START + 2 * HOUR)
    await eventually(coordinator, ["verified", "verified"])


async def test_a_drill_that_fails_is_an_alarm_that_says_why_until_one_succeeds(coordinator: Coordinator) -> None:
    await coordinator.add()
    coordinator.throwaway.fail = {"restore": errors.DamagedObject(object="packs/aa", repository="r", detail="x")}
    coordinator.at(START + HOUR)
    await eventually(coordinator, ["failed"])
    policy = await coordinator.policy()
    assert policy.alarm
    message = policy_message(policy, coordinator.time_ms)
    assert "packs/aa" in message.drill.last_error
    assert any("ALARM" in event.text for event in policy.events)
    # Its backups are not at fault.
    assert policy.table.failures == 0
    coordinator.throwaway.fail = {}
    coordinator.at(START + 2 * HOUR)
    await eventually(coordinator, ["verified", "failed"])
    assert not (await coordinator.policy()).alarm


async def test_a_drill_that_is_asked_for_counts_for_its_policy(coordinator: Coordinator) -> None:
    await coordinator.add(spec=Spec("hourly", cron="0 0 1 1 *"), drills=None)
    async with serving(coordinator) as client:
        _ = [answer async for answer in client.run(policy="hourly")]
        await eventually(coordinator, ["verified"])
        assert policy_message(await coordinator.policy(), coordinator.time_ms).last_verified_ms
        with pytest.raises(errors.InvalidRequest):
            _ = [answer async for answer in client.run("s1", policy="hourly")]
        with pytest.raises(errors.UnknownPolicy):
            _ = [answer async for answer in client.run(policy="nobody")]


async def test_a_policy_without_snapshot_has_nothing_to_drill(coordinator: Coordinator) -> None:
    await coordinator.add(last_snapshot_id="")
    coordinator.at(START + HOUR)

    async def noted() -> bool:
        return any("no snapshot" in event.text for event in (await coordinator.policy()).events)

    async with asyncio.timeout(10):
        while not await noted():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)
    policy = await coordinator.policy()
    assert policy.drills is not None
    assert not policy.drills.table.running
    assert not policy.alarm
    async with serving(coordinator) as client:
        with pytest.raises(errors.UnknownSnapshot):
            _ = [answer async for answer in client.run(policy="hourly")]


async def test_a_coordinator_that_dies_in_a_drill_has_it_made_once_more_by_the_next(
    coordinator: Coordinator, repository: str, tmp_path: Path
) -> None:
    await coordinator.add()
    coordinator.throwaway.gate.clear()
    coordinator.at(START + HOUR)
    await asyncio.wait_for(coordinator.throwaway.restoring.wait(), 10)
    left = coordinator.scratch.new()
    await coordinator.die()
    assert coordinator.scratch._lock is not None
    coordinator.scratch._lock.close()

    cluster = coordinator.drills._journal._documents
    assert isinstance(cluster, FakeCluster)
    following = Coordinator(cluster, repository, coordinator.scratch.path)
    following.time_ms = START + HOUR + 10
    await following.start()
    assert not left.exists()

    async def policy_knows() -> bool:
        drills = (await following.policy()).drills
        return drills is not None and drills.table.retry_at_ms > 0

    async with asyncio.timeout(10):
        while not await policy_knows():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)
    assert not (await following.policy()).alarm
    following.at(START + HOUR + 61_000)
    await eventually(following, ["verified", "interrupted"])
    await following.drills.stop(4.0)
    for task in following.tasks:
        task.cancel()


async def test_a_coordinator_that_is_stopped_cleans_up_and_says_so(coordinator: Coordinator, repository: str) -> None:
    coordinator.throwaway.gate.clear()
    running = await coordinator.drills.start(repository, "s1")
    await asyncio.wait_for(coordinator.throwaway.restoring.wait(), 10)
    await coordinator.drills.stop(4.0)
    assert await outcome(coordinator, running.report.id) == "interrupted"
    assert coordinator.throwaway.alive == 0
    with pytest.raises(errors.Unavailable):
        await coordinator.drills.start(repository, "s1")


def test_a_schedule_of_drills_is_checked_like_that_of_backups() -> None:
    spec = policy_pb2.PolicySpec(name="n", schedule=policy_pb2.Schedule(every_ms=HOUR))
    assert spec_of(spec).drill is None
    spec.drill.schedule.cron = "30 4 * * 0"
    made = spec_of(spec)
    assert made.drill == DrillSpec(cron="30 4 * * 0")
    policy = BackupPolicy(made, Timetable(START), drills=PolicyDrills(Timetable(START)))
    assert spec_of(policy_message(policy, START).spec) == made
    for bad in ({"cron": "at noon"}, {"every_ms": 5}, {}, {"every_ms": HOUR, "retries": 99}):
        with pytest.raises(errors.InvalidRequest):
            DrillSpec(**bad)  # type: ignore[arg-type]
