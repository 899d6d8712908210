"""What becomes of a job when its coordinator dies, stands still, or is stopped: another goes on with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from coordinator_fakes import FakeCluster, new_repository, until
from coordinator_leading import LeadingJobs

from coordinator.documents import Entry
from coordinator.journal import Journal
from coordinator.record import JobRecord, record_of
from coordinator.running import Running
from coordinator.snapshots import Snapshots
from quiesce import errors
from quiesce.v1.backup_pb2 import CreateBackupRequest
from quiesce.v1.node_pb2 import SnapshotProgress


async def begun(cluster: FakeCluster, repository: str, step: str, name: str = "one") -> tuple[LeadingJobs, Running]:
    """Have a coordinator run a backup to a step, and hold it there."""
    one = LeadingJobs(cluster, name=name)
    one.start()
    await one.jobs.ready.wait()
    running = await one.jobs.start(CreateBackupRequest(lease_ms=5_000), repository)
    await until(lambda: running.runner.job.step == step)
    await running.recorder.written()
    return one, running


async def ended(jobs: LeadingJobs, job_id: str) -> JobRecord:
    async with asyncio.timeout(20):
        while (record := await jobs.jobs.find(job_id)).running:  # noqa: ASYNC110 — nobody tells
            await asyncio.sleep(0.02)
    return record


HOLD = {
    "check": (Snapshots, "check_writable"),
    "choose": (FakeCluster, "statuses"),
    "acquire": (FakeCluster, "drain"),
    "mark": (FakeCluster, "checkpoint"),
    "snapshot": (FakeCluster, "take_snapshot"),
    "fence": (FakeCluster, "renew_drain"),
    "publish": (Snapshots, "publish"),
    "release": (FakeCluster, "undrain"),
}


@pytest.mark.parametrize("step", HOLD)
async def test_another_coordinator_goes_on_from_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    cluster, repository = FakeCluster(), new_repository(tmp_path)

    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    async def silence(*_: object, **__: object) -> AsyncIterator[SnapshotProgress]:
        await asyncio.Event().wait()
        yield SnapshotProgress()

    with monkeypatch.context() as held:
        held.setattr(*HOLD[step], silence if step == "snapshot" else never)
        if step == "choose":
            held.undo()
            held.setattr("coordinator.cluster.survey", never)
        one, running = await begun(cluster, repository, step)
        await one.die()
    assert running.gone is not None
    two = LeadingJobs(cluster, name="two")
    two.start()
    record = await ended(two, running.record.id)
    assert record.state == "succeeded", record.failure
    assert len(await two.snapshots.list(repository)) == 1
    assert len(cluster.drained) == 1, "the replica left rotation once"
    assert cluster.lease is None
    assert any("goes on" in event.text for event in record.events)
    await two.stop()


async def test_one_that_wakes_after_it_was_taken_over_from_changes_nothing(tmp_path: Path) -> None:
    cluster, repository = FakeCluster(), new_repository(tmp_path)
    cluster.worker_may_end.clear()
    one, running = await begun(cluster, repository, "snapshot")
    # It stands still, and with it its renewals; all that it will want is still to come.
    for task in one.tasks:
        task.cancel()
    await asyncio.gather(*one.tasks, return_exceptions=True)
    two = LeadingJobs(cluster, name="two")
    two.start()
    await two.jobs.ready.wait()
    await until(lambda: cluster.calls.count("take_snapshot") == 2)
    fence = cluster.lease.fence if cluster.lease else 0
    running.runner.cancel("it wakes up and gives its lease back")
    await until(lambda: running.runner.job.ended or running.gone)
    assert cluster.lease is not None
    assert (cluster.lease.fence, fence > 0) == (fence, True)
    cluster.worker_may_end.set()
    record = await ended(two, running.record.id)
    assert record.state == "succeeded", record.failure
    assert len(await two.snapshots.list(repository)) == 1
    await one.jobs.leave()
    await two.stop()


async def test_a_publication_that_comes_late_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, repository = FakeCluster(), new_repository(tmp_path)
    late: list[tuple[object, ...]] = []

    async def never(_: Snapshots, *arguments: object) -> None:
        late.append(arguments)
        await asyncio.Event().wait()

    with monkeypatch.context() as held:
        held.setattr(Snapshots, "publish", never)
        one, running = await begun(cluster, repository, "publish")
        await until(lambda: late)
        await one.die()
    two = LeadingJobs(cluster, name="two")
    two.start()
    assert (await ended(two, running.record.id)).state == "succeeded"
    [before] = await two.snapshots.list(repository)
    with pytest.raises(errors.LeaseLost):
        await one.snapshots.publish(*late[0])  # type: ignore[arg-type]
    assert await two.snapshots.list(repository) == [before]
    await two.stop()


async def test_a_job_whose_lease_has_ended_begins_again_elsewhere_or_there(tmp_path: Path) -> None:
    cluster, repository = FakeCluster(), new_repository(tmp_path)
    cluster.worker_may_end.clear()
    one, running = await begun(cluster, repository, "snapshot")
    await one.die()
    cluster.lease = None
    cluster.worker_may_end.set()
    two = LeadingJobs(cluster, name="two")
    two.start()
    assert (await ended(two, running.record.id)).state == "succeeded"
    assert len(cluster.drained) == 2
    await two.stop()


async def test_what_cannot_be_gone_on_with_ends(tmp_path: Path) -> None:
    cluster, repository = FakeCluster(), new_repository(tmp_path)
    cluster.worker_may_end.clear()
    one, running = await begun(cluster, repository, "snapshot")
    await one.die()
    document = (await Journal(cluster).latest())[0]
    await Journal(cluster).advance(document, replace(document.value, left="{"))
    two = LeadingJobs(cluster, name="two")
    two.start()
    found = await ended(two, running.record.id)
    assert found.state == "failed"
    assert "run it again" in str(found.error())
    await two.stop()


async def test_where_the_repository_is_gone_it_says_that_it_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, repository = FakeCluster(), new_repository(tmp_path)

    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    with monkeypatch.context() as held:
        held.setattr(Snapshots, "publish", never)
        one, running = await begun(cluster, repository, "publish")
        await one.die()
    Path(repository).rename(tmp_path / "away")  # noqa: ASYNC240
    document = (await Journal(cluster).latest())[0]
    job = document.value.job()
    assert job is not None
    short = replace(job, policy=replace(job.policy, settle_ms=300))
    await Journal(cluster).advance(document, record_of(short))
    two = LeadingJobs(cluster, name="two")
    two.start()
    found = await ended(two, running.record.id)
    assert found.state == "failed"
    assert "quiesce snapshots" in str(found.error())
    assert cluster.lease is None
    await two.stop()


async def test_a_last_word_of_the_one_who_had_the_job_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, repository = FakeCluster(), new_repository(tmp_path)
    cluster.worker_may_end.clear()
    one, running = await begun(cluster, repository, "snapshot")
    last_word = running.recorder
    await one.die()
    advance = Journal.advance
    words = ["it writes", "and once more"]

    async def overtaken(self: Journal, entry: Entry[JobRecord], value: JobRecord) -> None:
        if words:
            # It was on its way when the next one read the journal.
            said = replace(last_word._entry.value, failed_step=words.pop())
            await advance(self, last_word._entry, said)
        await advance(self, entry, value)

    monkeypatch.setattr(Journal, "advance", overtaken)
    monkeypatch.setattr("coordinator.jobs.RECOVER_PAUSE_S", 0.01)
    cluster.worker_may_end.set()
    two = LeadingJobs(cluster, name="two")
    two.start()
    record = await ended(two, running.record.id)
    assert record.state == "succeeded", record.failure
    assert not words
    await two.jobs.ready.wait()
    # The end is in the journal a moment before the next job may begin.
    await until(lambda: two.jobs.running(record.id) is None)
    assert (await two.jobs.start(CreateBackupRequest(lease_ms=5_000), repository)).record.running
