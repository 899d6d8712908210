"""Which of several coordinators leads."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from coordinator_fakes import FakeCluster, until

from coordinator.documents import DocumentStore, Kind
from coordinator.leadership import JobLease, Leadership
from coordinator.leadership.lease import LEASES, Watch
from quiesce import errors

NOTES = Kind("Note", key="name", encode=lambda name: {"name": name}, decode=lambda document: str(document["name"]))


def test_who_waits_takes_what_did_not_change_for_the_whole_time() -> None:
    watch, lease = Watch("me", 1_000), JobLease("jobs", "other", "a:1", 3, 7)
    assert not watch.may_take(lease, 10_000)
    assert not watch.may_take(lease, 10_999)
    beat = replace(lease, beats=8)
    assert not watch.may_take(beat, 11_000)
    assert not watch.may_take(beat, 11_999)
    assert watch.may_take(beat, 12_000)
    # Another holder's first beat may look like the last of the one before.
    assert not watch.may_take(replace(beat, term=4), 12_001)


def test_what_was_given_back_or_is_its_own_is_taken_at_once() -> None:
    lease = JobLease("jobs", "other", "a:1", 3, 7)
    assert Watch("me", 1_000).may_take(replace(lease, holder=""), 0)
    assert Watch("other", 1_000).may_take(lease, 0)


class Candidates:
    """Coordinators over one cluster, with a clock that each reads its own way."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.of: dict[str, Leadership] = {}
        self.late_ms: dict[str, int] = {}

    def start(self, name: str) -> Leadership:
        def clock_ms() -> int:
            return int(asyncio.get_running_loop().time() * 1000) + self.late_ms.get(name, 0)

        self.of[name] = Leadership(self.cluster, holder=name, address=f"{name}:1", clock_ms=clock_ms, ttl_ms=500)
        self.tasks[name] = asyncio.create_task(self.of[name].run())
        return self.of[name]

    async def kill(self, name: str) -> None:
        self.tasks[name].cancel()
        await asyncio.gather(self.tasks[name], return_exceptions=True)


async def test_one_leads_until_it_dies_and_then_the_other() -> None:
    candidates = Candidates()
    one = candidates.start("one")
    await asyncio.wait_for(one.gained.wait(), 5)
    other = candidates.start("other")
    for _ in range(20):
        await asyncio.sleep(0.05)
        assert (one.leads, other.leads) == (True, False)
    with pytest.raises(errors.NotLeading, match="one:1"):
        other.check()
    await candidates.kill("one")
    await asyncio.wait_for(other.gained.wait(), 5)
    assert other.leads
    assert not one.leads
    # The one before comes back, and waits.
    again = candidates.start("one")
    await asyncio.sleep(0.3)
    assert (again.leads, other.leads) == (False, True)
    await other.give_back()
    await candidates.kill("other")
    await asyncio.wait_for(again.gained.wait(), 5)
    await candidates.kill("one")


async def test_after_its_restart_it_leads_at_once() -> None:
    candidates = Candidates()
    await asyncio.wait_for(candidates.start("one").gained.wait(), 5)
    await candidates.kill("one")
    await asyncio.wait_for(candidates.start("one").gained.wait(), 0.4)
    await candidates.kill("one")


async def test_one_that_stood_still_neither_leads_nor_writes() -> None:
    candidates = Candidates()
    notes = DocumentStore(candidates.cluster, NOTES)
    one = candidates.start("one")
    await asyncio.wait_for(one.gained.wait(), 5)
    await notes.ensure()
    created = await one.create(notes, "first")
    assert created.value == "first"
    await candidates.kill("one")
    other = candidates.start("other")
    # It believes to lead still, as one does whose clock stood still with it.
    one._until = 1 << 60
    one._entry = next(iter(await DocumentStore(candidates.cluster, LEASES).load()))
    await asyncio.wait_for(other.gained.wait(), 5)
    with pytest.raises(errors.NotLeading):
        await one.create(notes, "late")
    assert [entry.value for entry in await notes.load()] == ["first"]
    assert not one.leads
    await candidates.kill("other")


@pytest.mark.parametrize("call", ["write", "write_answer", "scan"])
async def test_lost_answers_change_nothing_about_who_leads(call: str) -> None:
    candidates = Candidates()
    one = candidates.start("one")
    await asyncio.wait_for(one.gained.wait(), 5)
    for _ in range(5):
        candidates.cluster.fail[call] = [errors.OutcomeUnknown(detail="the answer was lost")]
        await until(lambda: not candidates.cluster.fail[call] or call == "scan")
        await asyncio.sleep(0.15)
    candidates.cluster.fail.clear()
    assert one.leads
    [entry] = await DocumentStore(candidates.cluster, LEASES).load()
    assert (entry.value.holder, entry.value.term) == ("one", 1)
    await candidates.kill("one")


async def test_what_is_written_under_the_lease_is_there_once_although_the_answer_was_lost() -> None:
    candidates = Candidates()
    notes = DocumentStore(candidates.cluster, NOTES)
    one = candidates.start("one")
    await asyncio.wait_for(one.gained.wait(), 5)
    await notes.ensure()
    candidates.cluster.fail["write_answer"] = [errors.OutcomeUnknown(detail="the answer was lost")]
    assert (await one.create(notes, "first")).value == "first"
    with pytest.raises(errors.DuplicateKey):
        await one.create(notes, "first")
    await asyncio.sleep(0.4)
    assert one.leads
    await candidates.kill("one")
