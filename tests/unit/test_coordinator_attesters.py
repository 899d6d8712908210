"""The other voters beside the snapshot: what comes of their answers, and that nobody waits for one for ever."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from coordinator_fakes import NOTHING, POLICY, FakeCluster, new_repository

from coordinator.attesters import Attesters, prepare
from coordinator.job import Moment, Request, begin
from coordinator.job import happenings as h
from coordinator.job.attesting import Attestation
from coordinator.job.effects import TakeSnapshot, WriteMark
from coordinator.performer import Performer
from coordinator.snapshots import Snapshots
from coordinator.threads import RepositoryThreads
from quiesce.errors import DamagedStore, NoCheckpoint, Unavailable
from quiesce.repository import open_repository
from quiesce.snapshot import decode_manifest
from quiesce.v1.attest_pb2 import AttestRequest

OTHER = "ab" * 32


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


async def asked(cluster: FakeCluster, within_s: float = 5.0, stall_s: float = 1.0) -> dict[int, Attestation]:
    async with Attesters(cluster, (1, 3), AttestRequest(epoch=1), stall_s=stall_s) as attesters:
        found = await attesters.finish(within_s, lambda: None)
    return {one.node_id: one for one in found}


async def test_every_answer_has_its_place(cluster: FakeCluster) -> None:
    cluster.held[3] = OTHER
    assert await asked(cluster) == {1: Attestation(1, NOTHING), 3: Attestation(3, OTHER)}
    damage = DamagedStore(path="p", detail="checksum")
    cluster.attester_fails = {1: damage, 3: NoCheckpoint(node_id=3, epoch=1)}
    found = await asked(cluster)
    assert found[1] == Attestation(1, why=damage.message(), damaged=True)
    assert not found[3].damaged
    assert "no checkpoint" in found[3].why


async def test_one_that_is_away_for_a_moment_is_asked_again(cluster: FakeCluster) -> None:
    cluster.fail["attest"] = [Unavailable(addresses="n", seconds=1, detail="restarting")] * 2
    assert await asked(cluster, stall_s=4.0) == {1: Attestation(1, NOTHING), 3: Attestation(3, NOTHING)}
    cluster.attester_fails[1] = Unavailable(addresses="n", seconds=1, detail="gone")
    assert "gone" in (await asked(cluster, stall_s=0.2))[1].why


async def test_one_that_does_not_end_is_not_waited_for(cluster: FakeCluster) -> None:
    cluster.attester_may_end[3].clear()
    found = await asked(cluster, within_s=0.3)
    assert found[1].content_id == NOTHING
    assert found[3].why == "it had read 2 of 3 pages when it was not waited for any longer"


async def test_a_fault_in_asking_is_no_fault_of_the_backup(cluster: FakeCluster, monkeypatch: Any) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("mistake")

    monkeypatch.setattr(cluster, "attest", broken)
    assert "KeyError" in (await asked(cluster))[1].why


async def test_preparing_hangs_nobody_up(cluster: FakeCluster) -> None:
    cluster.fail["prepare_mark"] = [Unavailable(addresses="n", seconds=1, detail="down")]
    await prepare(cluster, (1, 2, 3), 1.0)
    assert cluster.calls.count("prepare_mark") == 3


async def test_a_snapshot_comes_with_what_the_others_hold(cluster: FakeCluster, tmp_path: Path) -> None:
    told: list[h.Answer] = []
    snapshots = Snapshots(RepositoryThreads())
    job, _ = begin(Request("job", "r"), POLICY, Moment(0, 0))
    performer = Performer(
        nodes=cluster,
        snapshots=snapshots,
        policy=replace(POLICY, stall_ms=4_000),
        new_snapshot_id=lambda: "s",
        job=lambda: job,
        tell=told.append,
        show=lambda _: None,
        recorded=lambda: asyncio.sleep(0),
    )
    cluster.lease = await cluster.drain(2, "o", "r", 60_000)
    repository = new_repository(tmp_path)
    marked = await performer.perform(WriteMark(1, cluster.epoch, (1, 2, 3)))
    assert isinstance(marked, h.Marked)
    assert cluster.calls[-4:] == ["prepare_mark", "prepare_mark", "prepare_mark", "checkpoint"]
    cluster.held[3] = OTHER
    snapshot_id = "20261119T000000Z-000001"
    taken = await performer.perform(TakeSnapshot(2, cluster.epoch, 2, snapshot_id, repository, (), 0, (1, 3)))
    assert isinstance(taken, h.Taken)
    assert taken.content_id == decode_manifest(taken.draft).content_id == NOTHING
    assert taken.attestations == (Attestation(1, NOTHING), Attestation(3, OTHER))
    said = {2: NOTHING, 1: NOTHING, 3: OTHER}
    await snapshots.publish(repository, taken.draft, cluster.epoch, {}, said)
    [manifest] = open_repository(repository).list_snapshots()
    assert manifest.attestations == {"1": NOTHING, "2": NOTHING, "3": OTHER}
