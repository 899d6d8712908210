"""Jobs in the journal, and what becomes of those that a coordinator has left running."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from coordinator_fakes import FakeCluster, draft, new_repository, until

from coordinator import journal as journal_module
from coordinator.job import Failure, JobEvent
from coordinator.journal import Journal
from coordinator.record import JobRecord, failed_last, from_document, to_document
from coordinator.recorder import Recorder
from coordinator.snapshots import Snapshots
from coordinator.threads import RepositoryThreads
from quiesce import errors
from quiesce.records import decode_document, encode_document

SNAPSHOT = "20261123T001203Z-00abcd"


def record(job_id: str = "job-1", **changes: object) -> JobRecord:
    failure = Failure.of(errors.LeaseLost(epoch=7))
    found = JobRecord(
        id=job_id,
        state="running",
        step="snapshot",
        node_id=2,
        epoch=101,
        snapshot_id=SNAPSHOT,
        repository="/r",
        started_ms=1_795_000_000_000,
        ended_ms=0,
        failure=failure,
        failed_step="mark",
        failed_nodes=(1, 3),
        events=(JobEvent(1_795_000_000_001, "acquire", 'a "text"'),),
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def test_a_record_survives_its_document() -> None:
    assert from_document(decode_document(encode_document(to_document(record())))) == record()
    assert from_document(decode_document(encode_document(to_document(record(failure=None))))) == record(failure=None)


def test_a_node_is_no_first_choice_until_a_backup_succeeds_on_it() -> None:
    def backup(state: str, node: int, *failed: int) -> JobRecord:
        return record(state=state, node_id=node, failed_nodes=failed)

    def found(*backups: JobRecord, later_ms: int = 1) -> set[int]:
        return set(failed_last(backups, record().started_ms + later_ms))

    assert found() == set()
    assert found(backup("failed", 2, 2), backup("succeeded", 3)) == {2}
    # Failed on one, succeeded on another.
    assert found(backup("succeeded", 3, 2), backup("succeeded", 2)) == {2}
    assert found(backup("succeeded", 2), backup("failed", 2, 2, 3)) == {3}
    # What was not the node's fault says nothing of it.
    assert found(backup("failed", 2), backup("running", 3), backup("cancelled", 2), backup("failed", 3, 3)) == {3}
    assert found(backup("failed", 2, 2), later_ms=25 * 3_600_000) == set()


async def test_several_may_create_the_journal_at_once() -> None:
    cluster = FakeCluster()
    await asyncio.gather(*(Journal(cluster).ensure() for _ in range(5)))
    assert [c.name for c in cluster.databases["system"].classes] == ["Job"]


async def test_advance_is_compare_and_set() -> None:
    cluster = FakeCluster()
    journal = Journal(cluster)
    await journal.ensure()
    entry = await journal.create(record())
    await journal.advance(entry, record(step="fence"))
    # The write took effect, its answer was lost.
    cluster.fail["write_answer"] = [errors.OutcomeUnknown(detail="x")]
    await journal.advance(entry, record(step="publish"))
    other = (await journal.latest())[0]
    assert other.value.step == "publish"
    await journal.advance(other, record(step="done"))
    with pytest.raises(errors.StaleVersion):
        await journal.advance(entry, record(step="release"))


async def test_a_job_whose_first_answer_was_lost_is_known_all_the_same() -> None:
    cluster = FakeCluster()
    journal = Journal(cluster)
    await journal.ensure()
    cluster.fail["write_answer"] = [errors.OutcomeUnknown(detail="the answer was lost")]
    entry = await journal.create(record())
    assert [found.rid for found in await journal.latest()] == [entry.rid]
    await journal.advance(entry, record(step="fence"))
    # Where it was not written, nobody pretends that it was.
    cluster.fail["write"] = [errors.OutcomeUnknown(detail="the answer was lost")]
    with pytest.raises(errors.OutcomeUnknown):
        await journal.create(record("job-2"))


async def test_prune_keeps_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "KEPT", 3)
    cluster = FakeCluster()
    journal = Journal(cluster)
    await journal.ensure()
    await journal.create(record("old-but-running", started_ms=1))
    for number in range(6):
        await journal.create(record(f"job-{number}", started_ms=10 + number, state="succeeded"))
    await journal.prune(await journal.latest())
    assert [e.value.id for e in await journal.latest()] == ["job-5", "job-4", "job-3", "old-but-running"]


def taken_over(job: JobRecord, _: errors.QuiesceError) -> errors.QuiesceError:
    return errors.JobTakenOver(job_id=job.id)


async def test_a_recorder_writes_the_end_even_after_the_cluster_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recorder, "RETRY_S", 0.01)
    cluster = FakeCluster()
    journal = Journal(cluster)
    await journal.ensure()
    recorder = Recorder(journal, await journal.create(record()), overtaken=taken_over, give_up_s=0.05)
    recorder.start()
    cluster.fail["write"] = [errors.NoLeader() for _ in range(20)]
    recorder.put(record(step="fence"))
    assert isinstance(await asyncio.wait_for(recorder.lost, 5), errors.NoLeader)
    recorder.put(record(step="done", state="failed"))
    await asyncio.wait_for(recorder.flushed(), 5)
    assert (await journal.latest())[0].value.state == "failed"


async def test_a_job_that_someone_else_ended_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recorder, "RETRY_S", 0.01)
    cluster = FakeCluster()
    journal = Journal(cluster)
    await journal.ensure()
    recorder = Recorder(journal, await journal.create(record()), overtaken=taken_over, give_up_s=5)
    recorder.start()
    await journal.advance((await journal.latest())[0], record(state="failed", step="done"))
    recorder.put(record(step="fence"))
    assert isinstance(await asyncio.wait_for(recorder.lost, 5), errors.JobTakenOver)
    await asyncio.wait_for(recorder.flushed(), 5)


async def test_a_draft_of_another_epoch_is_not_published(tmp_path: Path) -> None:
    repository = new_repository(tmp_path)
    snapshots = Snapshots(RepositoryThreads())
    with pytest.raises(errors.LeaseLost):
        await snapshots.publish(repository, draft(repository, SNAPSHOT, 2, 101), 102, {}, {})
    assert await snapshots.list(repository) == []


async def test_hanging_repositories_do_not_take_all_threads() -> None:
    threads, hang = RepositoryThreads(limit=2), asyncio.Event()
    release = __import__("threading").Event()
    waiting = [asyncio.create_task(threads.run("r", release.wait)) for _ in range(2)]
    await until(lambda: threads._running == 2)
    with pytest.raises(errors.RepositoryUnusable, match="hang"):
        await threads.run("r", hang.is_set)
    release.set()
    await asyncio.gather(*waiting)
    assert await threads.run("r", lambda: 5) == 5
