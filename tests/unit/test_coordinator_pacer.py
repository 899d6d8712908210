"""A backup under a latency budget, over a cluster in memory: who is asked, who is told, and what is kept of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from coordinator_fakes import POLICY, FakeCluster, new_repository, until
from coordinator_leading import LeadingJobs

from coordinator.job import Moment, Request, begin, step
from coordinator.job import happenings as h
from coordinator.job.impact import Calls, ClientImpact, Wait, impact_of
from coordinator.job.model import Step
from coordinator.pacing import Pacer, Watch, pacer
from coordinator.pacing.pace import FLOOR, START
from coordinator.pacing.pacer import Terms
from coordinator.record import from_document, record_of, to_document, to_message
from quiesce import errors
from quiesce.latency import Latencies
from quiesce.repository import open_repository
from quiesce.v1.backup_pb2 import CreateBackupRequest
from quiesce.v1.latency_pb2 import ClientLatencyResponse

QUICK, SLOW = 1_000, 200_000


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacer, "PERIOD_S", 0.01)


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[tuple[FakeCluster, LeadingJobs, str]]:
    cluster, repository = FakeCluster(), new_repository(tmp_path)
    leading = LeadingJobs(cluster)
    leading.start()
    await leading.jobs.ready.wait()
    yield cluster, leading, repository
    await leading.stop()


def told(cluster: FakeCluster) -> dict[int, list[int]]:
    return {node: [rate for _, _, rate in rates] for node, rates in cluster.rates.items()}


async def test_where_clients_wait_too_long_all_workers_slow_down(jobs: tuple[FakeCluster, LeadingJobs, str]) -> None:
    cluster, leading, repository = jobs
    cluster.writes, cluster.write_us = 500, QUICK
    cluster.worker_may_end.clear()
    cluster.worker_reads_on = True
    running = await leading.jobs.start(CreateBackupRequest(latency_budget_ms=50), repository)
    await until(lambda: all(max(rates, default=0) > START for rates in told(cluster).values()))
    cluster.write_us = SLOW
    await until(lambda: all(rates[-1] == FLOOR for rates in told(cluster).values()))
    [slows] = [event for event in running.record.events if "more slowly" in event.text]
    assert slows.step == Step.SNAPSHOT
    cluster.worker_may_end.set()
    async for _ in running.feed.follow():
        pass
    record = running.record
    assert record.state == "succeeded"
    # The replica and those that attest, from the first request on.
    assert [rates[0] for rates in told(cluster).values()] == [START] * 3
    clients = record.clients
    assert clients is not None
    assert (clients.budget_ms, clients.least_rate, clients.last_rate) == (50, FLOOR, FLOOR)
    assert clients.most_rate > START
    assert clients.over_budget_ms >= 1_000
    assert clients.before is not None
    assert clients.before.writes.p99_us == QUICK
    assert sum("over the budget" in event.text for event in record.events) == 1
    assert sum("slowly" in event.text for event in record.events) == 1
    impact = open_repository(repository).read_manifest(record.snapshot_id).impact
    assert impact is not None
    assert impact_of(impact["clients"]) == clients
    assert len(record.events) < 25, "a note, not one a second"


async def test_without_a_budget_it_is_counted_and_nobody_is_told_a_rate(
    jobs: tuple[FakeCluster, LeadingJobs, str],
) -> None:
    cluster, leading, repository = jobs
    cluster.writes, cluster.write_us = 500, SLOW
    cluster.worker_may_end.clear()
    running = await leading.jobs.start(CreateBackupRequest(rate_limit=77_000), repository)
    await until(lambda: running.record.clients is not None and running.record.clients.during is not None)
    cluster.worker_may_end.set()
    async for _ in running.feed.follow():
        pass
    assert running.record.state == "succeeded"
    assert told(cluster) == {1: [77_000], 2: [77_000], 3: [77_000]}
    assert running.record.clients is not None
    assert running.record.clients.during is not None
    assert running.record.clients.during.writes.p99_us == SLOW
    assert running.record.clients.over_budget_ms == running.record.clients.most_rate == 0


async def test_clients_that_waited_too_long_before_are_no_secret(jobs: tuple[FakeCluster, LeadingJobs, str]) -> None:
    cluster, leading, repository = jobs
    cluster.writes, cluster.write_us = 500, SLOW
    running = await leading.jobs.start(CreateBackupRequest(latency_budget_ms=50), repository)
    async for _ in running.feed.follow():
        pass
    [note] = [event.text for event in running.record.events if event.text.startswith("before, ")]
    assert note == "before, clients waited 200 ms for writes (p99), more than the budget of 50 ms"


async def test_a_coordinator_that_takes_over_begins_gently_and_knows_what_was_before(tmp_path: Path) -> None:
    cluster, repository = FakeCluster(), new_repository(tmp_path)
    cluster.writes, cluster.write_us = 500, SLOW
    cluster.worker_may_end.clear()
    one = LeadingJobs(cluster)
    one.start()
    await one.jobs.ready.wait()
    running = await one.jobs.start(CreateBackupRequest(latency_budget_ms=50), repository)
    await until(lambda: all(rates[-1:] == [FLOOR] for rates in told(cluster).values()))
    await running.recorder.written()
    await one.die()
    for rates in cluster.rates.values():
        rates.clear()
    cluster.write_us = QUICK
    two = LeadingJobs(cluster, name="two")
    two.start()
    await two.jobs.ready.wait()
    await until(lambda: all(len(rates) > 2 for rates in cluster.rates.values()))
    assert {rates[0] for rates in told(cluster).values()} == {START}
    taken_over = {fence for rates in cluster.rates.values() for _, fence, _ in rates if fence}
    assert len(taken_over) == 1
    cluster.worker_may_end.set()
    async with asyncio.timeout(20):
        while (record := await two.jobs.find(running.record.id)).running:  # noqa: ASYNC110 — nobody tells
            await asyncio.sleep(0.02)
    assert record.state == "succeeded"
    assert record.clients is not None
    assert record.clients.before is not None
    assert record.clients.before.writes.p99_us == SLOW
    await two.stop()


@pytest.mark.parametrize("fault", ["client_latency", "set_worker_rate"])
@pytest.mark.parametrize(
    "error",
    [
        errors.Unavailable(addresses="n", seconds=1, detail="down"),
        errors.DeadlineExceeded(operation="it", seconds=1),
        errors.InvalidRequest(detail="does not know it"),
        errors.LeaseLost(epoch=1),
        RuntimeError("a mistake"),
    ],
)
async def test_no_answer_ever_makes_a_backup_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, error: Exception
) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise error

    cluster = FakeCluster()
    monkeypatch.setattr(cluster, fault, fails)
    cluster.writes, cluster.write_us = 500, QUICK
    cluster.worker_may_end.clear()
    leading = LeadingJobs(cluster)
    leading.start()
    await leading.jobs.ready.wait()
    running = await leading.jobs.start(CreateBackupRequest(latency_budget_ms=50), new_repository(tmp_path))
    await until(lambda: running.runner.job.step is Step.SNAPSHOT)
    await asyncio.sleep(0.1)
    cluster.worker_may_end.set()
    async for _ in running.feed.follow():
        pass
    await leading.stop()
    assert running.record.state == "succeeded"
    if fault == "client_latency" and isinstance(error, errors.DeadlineExceeded):
        assert min(map(min, told(cluster).values())) < START
    elif fault == "client_latency":
        # Nobody knows what clients wait: it stays as gentle as it began.
        assert {rate for rates in told(cluster).values() for rate in rates} == {START}
        assert running.record.clients == ClientImpact(50, least_rate=START, most_rate=START, last_rate=START)


@dataclass
class Asked:
    """Nodes by what they answer: what a write took, or an error."""

    answers: dict[int, int | errors.QuiesceError]
    asked: list[tuple[int, int]] = field(default_factory=list)
    rates: list[int] = field(default_factory=list)

    async def client_latency(self, node_id: int, *, since: int = 0, timeout_s: float = 2.0) -> ClientLatencyResponse:
        self.asked.append((node_id, since))
        answer = self.answers[node_id]
        if isinstance(answer, errors.QuiesceError):
            raise answer
        writes = Latencies({answer: 500}).message()
        return ClientLatencyResponse(second=since + 7, seconds=1, writes=writes)

    async def set_worker_rate(
        self, node_id: int, epoch: int, rate_limit: int, *, fence: int = 0, timeout_s: float = 2.0
    ) -> int:
        self.rates.append(rate_limit)
        return 1


DOWN = errors.Unavailable(addresses="n", seconds=1, detail="down")
LATE = errors.DeadlineExceeded(operation="it", seconds=1)
OLD = errors.InvalidRequest(detail="does not know it")


async def test_a_look_adds_up_what_nodes_say_and_tells_who_did_not() -> None:
    nodes = Asked({1: QUICK, 2: SLOW, 3: DOWN, 4: LATE, 5: OLD})
    watch = Watch(nodes, tuple(nodes.answers))
    look = await watch.look()
    assert (look.answered, look.gone, look.overdue) == ({1, 2}, {3}, {4})
    assert look.writes.counts == {QUICK: 500, SLOW: 500}
    assert look.wait == Wait(1, Calls(), Calls(1_000, QUICK, SLOW))
    nodes.asked.clear()
    await watch.look()
    # From where each has told; one that is too old is not asked again.
    assert nodes.asked == [(1, 7), (2, 7), (3, 0), (4, 0)]
    assert (await Watch(Asked({1: DOWN}), (1,)).look()).wait is None


def pacing(nodes: Asked) -> Pacer:
    return Pacer(nodes, Watch(nodes, tuple(nodes.answers)), Terms(1, 1, (1,), budget_ms=50), lambda _: None)


@pytest.mark.parametrize(("other", "up"), [(QUICK, True), (OLD, True), (DOWN, False), (LATE, False)])
async def test_one_that_should_say_and_does_not_keeps_the_rate_from_going_up(
    other: int | errors.QuiesceError, up: bool
) -> None:
    nodes = Asked({1: QUICK, 2: other})
    async with pacing(nodes):
        await until(lambda: len(nodes.rates) > 5)
    assert (nodes.rates[-1] > START) is up


async def test_one_that_is_gone_is_waited_for_some_time_and_one_that_is_late_slows_it_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pacer, "GONE_S", 0.05)
    nodes = Asked({1: QUICK, 2: DOWN})
    async with pacing(nodes):
        await until(lambda: nodes.rates and nodes.rates[-1] > START)
    nodes = Asked({1: QUICK, 2: LATE})
    async with pacing(nodes):
        await until(lambda: nodes.rates and nodes.rates[-1] == FLOOR)
    nodes = Asked({1: DOWN, 2: DOWN})
    async with pacing(nodes):
        await asyncio.sleep(0.3)
    assert set(nodes.rates) == {START}, "who hears of nobody does not know that nobody waits"


def test_what_it_costs_is_no_sign_of_life_and_is_kept_where_the_job_fails() -> None:
    job, _ = begin(Request("job", "r"), replace(POLICY, latency_budget_ms=50), Moment(0, 0))
    job = replace(job, step=Step.SNAPSHOT, ticket=5, deadline=1_000, asked_lease=True)
    clients = ClientImpact(50, None, Wait(3, Calls(5, 1, 2), Calls()), over_budget_ms=1_000)
    paced, wanted = step(job, h.Paced(5, clients), Moment(900, 900))
    assert (paced.deadline, paced.clients, wanted) == (1_000, clients, [])
    again, _ = step(paced, h.Paced(5, clients), Moment(950, 950))
    assert again.events == paced.events
    late, _ = step(again, h.Paced(4, ClientImpact()), Moment(950, 950))
    assert late.clients == clients
    record = record_of(late)
    assert from_document(to_document(record)).clients == clients
    assert from_document({**to_document(record), "clients": {"budget_ms": "many"}}).clients is None
    assert from_document({k: v for k, v in to_document(record).items() if k != "clients"}).clients is None
    message = to_message(record).clients
    assert (message.budget_ms, message.over_budget_ms, message.during.reads_p99_us) == (50, 1_000, 2)
    assert not message.HasField("before")


async def test_a_budget_beyond_what_a_call_may_take_is_refused(jobs: tuple[FakeCluster, LeadingJobs, str]) -> None:
    cluster, leading, repository = jobs
    with pytest.raises(errors.InvalidRequest, match="60000 ms"):
        await leading.jobs.start(CreateBackupRequest(latency_budget_ms=60_001), repository)
    assert "drain" not in cluster.calls
