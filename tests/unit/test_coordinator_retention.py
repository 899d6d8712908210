"""Retention over real gRPC: policies on a cluster in memory, a real repository, a clock that the test moves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from coordinator_fakes import FakeCluster, draft, new_repository

from coordinator.policies import BackupPolicy, PolicyStore, Spec
from coordinator.retention import Rules
from coordinator.retention.execution import Owner, StillPromised, carry_out
from coordinator.retention.keeper import DAY_MS, Keeper
from coordinator.retention.service import SERVICE, RetentionService
from coordinator.schedule import Timetable
from coordinator.threads import RepositoryThreads
from quiesce import errors
from quiesce.client import Retention
from quiesce.repository import open_repository
from quiesce.repository.pins import held
from quiesce.rpc import open_server
from quiesce.snapshot import ManifestMark, decode_manifest
from quiesce.v1 import retention_pb2_grpc

HOUR = 3_600_000
START = 1_795_000_000_000 // DAY_MS * DAY_MS


class Coordinator:
    """The keeper of one coordinator."""

    def __init__(self, cluster: FakeCluster, repository: str) -> None:
        self.time_ms = START
        self.repository = repository
        self.policies = PolicyStore(cluster)
        self.keeper = Keeper(
            policies=self.policies,
            cluster_id=lambda: "fake",
            threads=RepositoryThreads(),
            clock=lambda: self.time_ms,
            locate=lambda name: name or repository,
            default=repository,
            grace_ms=DAY_MS,
        )

    def snapshot(
        self, snapshot_id: str, at_ms: int, policy: str = "nightly", cluster_id: str = "fake", repository: str = ""
    ) -> None:
        made = decode_manifest(draft(repository or self.repository, snapshot_id, 2, 5))
        mark = ManifestMark(1, at_ms // 1_000, at_ms, 5)
        open_repository(repository or self.repository).publish_manifest(
            msgspec.structs.replace(made, policy=policy, mark=mark, started_ms=at_ms, cluster_id=cluster_id)
        )

    def snapshots(self) -> list[str]:
        return [manifest.snapshot_id for manifest in open_repository(self.repository).list_snapshots()]

    async def add(self, name: str = "nightly", **rules: int) -> None:
        spec = Spec(name, every_ms=HOUR, retention=Rules(**rules))
        await self.policies.add(BackupPolicy(spec, Timetable(decided_ms=START)))

    async def events(self, name: str = "nightly") -> list[str]:
        return [event.text for event in (await self.policies.find(name)).value.events]


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[tuple[Coordinator, Retention]]:
    coordinator = Coordinator(FakeCluster(), new_repository(tmp_path))
    service = RetentionService(
        keeper=coordinator.keeper,
        locate=lambda name: name or coordinator.repository,
        clock=lambda: coordinator.time_ms,
    )
    server = open_server("127.0.0.1:0")
    retention_pb2_grpc.add_RetentionServicer_to_server(service, server.grpc)
    port = await server.start([SERVICE])
    async with Retention(f"127.0.0.1:{port}") as client:
        yield coordinator, client
    await server.stop(0)


async def test_what_a_policy_lets_go_goes_and_nothing_else(running: tuple[Coordinator, Retention]) -> None:
    coordinator, client = running
    await coordinator.add(last=2)
    for number in range(5):
        coordinator.snapshot(f"s{number}", START + number * HOUR)
    coordinator.snapshot("by-hand", START, policy="")
    coordinator.snapshot("elsewhere", START, cluster_id="other")
    await client.pin("s1", "the auditors look at it", by="ann")

    planned = await client.plan("nightly")
    assert [(one.snapshot_id, one.keep) for one in planned] == [
        ("s4", True), ("s3", True), ("s2", False), ("s1", True), ("s0", False),
    ]  # fmt: skip
    assert len(coordinator.snapshots()) == 7, "a plan removes nothing"
    assert list((await client.why("s3")).decision.reasons) == ["last 2 of 2"]
    assert list((await client.why("s1")).decision.reasons) == ["pinned: the auditors look at it (ann)"]
    assert not (await client.why("s0")).decision.keep
    assert "only by hand" in (await client.why("by-hand")).decision.reasons[0]
    assert "another cluster" in (await client.why("elsewhere")).decision.reasons[0]

    applied = await client.apply("nightly")
    assert list(applied.removed) == ["s0", "s2"]
    assert sorted(coordinator.snapshots()) == ["by-hand", "elsewhere", "s1", "s3", "s4"]
    assert [text for text in await coordinator.events() if "removed" in text] == [
        "snapshot s0 removed: no rule keeps it",
        "snapshot s2 removed: no rule keeps it",
    ]
    assert not (await client.apply("nightly")).removed
    assert await client.unpin("s1") == 1
    assert list((await client.apply("nightly")).removed) == ["s1"]


async def test_each_repository_of_a_policy_is_seen_to_also_where_another_fails(
    running: tuple[Coordinator, Retention], tmp_path: Path
) -> None:
    coordinator, client = running
    (tmp_path / "off-site").mkdir()
    second = new_repository(tmp_path / "off-site")
    spec = Spec("nightly", every_ms=HOUR, retention=Rules(last=1), repositories=("", "/nowhere", second))
    await coordinator.policies.add(BackupPolicy(spec, Timetable(decided_ms=START)))
    for number in range(3):
        coordinator.snapshot(f"near{number}", START + number * HOUR)
        coordinator.snapshot(f"far{number}", START + number * HOUR, repository=second)
    with pytest.raises(errors.QuiesceError, match="/nowhere"):
        await client.apply("nightly")
    assert coordinator.snapshots() == ["near2"]
    assert [one.snapshot_id for one in open_repository(second).list_snapshots()] == ["far2"]
    assert not (await coordinator.policies.find("nightly")).value.retained_ms, "it is tried again"


async def test_deleting_by_hand(running: tuple[Coordinator, Retention]) -> None:
    coordinator, client = running
    await coordinator.add(last=2)
    for number in range(3):
        coordinator.snapshot(f"s{number}", START + number)
    with pytest.raises(errors.UnknownSnapshot):
        await client.delete("s9")
    await client.pin("s0", "kept")
    with pytest.raises(errors.SnapshotPinned, match="kept"):
        await client.delete("s0", force=True)
    await client.unpin("s0")
    await client.delete("s0")
    await client.delete("s1")
    with pytest.raises(errors.LastSnapshot, match="nightly"):
        await client.delete("s2")
    assert coordinator.snapshots() == ["s2"]
    await client.delete("s2", force=True)
    assert coordinator.snapshots() == []


async def test_a_snapshot_that_is_being_read_stays(running: tuple[Coordinator, Retention]) -> None:
    coordinator, client = running
    coordinator.snapshot("s0", START, policy="")
    repository = open_repository(coordinator.repository)
    with held(repository, "s0", "a restore", unprotected=pytest.fail, clock=lambda: coordinator.time_ms):
        with pytest.raises(errors.SnapshotPinned, match="a restore"):
            await client.delete("s0", force=True)
        # Of no use against who reads it.
        assert await client.unpin("s0") == 0
        with pytest.raises(errors.SnapshotPinned):
            await client.delete("s0", force=True)
    await client.delete("s0")


async def test_a_damaged_snapshot_counts_for_nothing(running: tuple[Coordinator, Retention]) -> None:
    coordinator, client = running
    await coordinator.add(last=1)
    coordinator.snapshot("good", START)
    coordinator.snapshot("bad", START + HOUR)
    path = Path(coordinator.repository) / "snapshots" / "bad.manifest"
    manifest = decode_manifest(path.read_bytes())
    path.unlink()
    gone = msgspec.structs.replace(manifest, table=msgspec.structs.replace(manifest.table, digest="ab" * 32))
    with pytest.raises(errors.SnapshotObjectGone):
        open_repository(coordinator.repository).publish_manifest(gone)
    from quiesce.snapshot import encode_manifest

    path.write_bytes(encode_manifest(gone))
    assert not (await client.apply("nightly")).removed
    assert sorted(coordinator.snapshots()) == ["bad", "good"]
    with pytest.raises(errors.LastSnapshot):
        await client.delete("good")
    await client.delete("bad")


async def test_what_has_become_promised_since_the_plan_stays(running: tuple[Coordinator, Retention]) -> None:
    coordinator, client = running
    await coordinator.add(last=1)
    coordinator.snapshot("old", START)
    coordinator.snapshot("new", START + HOUR)
    assert not (await client.plan("nightly"))[-1].keep
    await client.delete("new")
    owner = Owner("fake", "nightly", Rules(last=1))
    with pytest.raises(StillPromised, match="last 1 of 1"):
        carry_out(open_repository(coordinator.repository), owner, "old", START)
    assert coordinator.snapshots() == ["old"]


async def test_it_is_carried_out_after_each_success_and_once_a_day(running: tuple[Coordinator, Retention]) -> None:
    coordinator, _ = running
    await coordinator.add(last=1)
    await coordinator.add("all")
    ready = asyncio.Event()
    ready.set()
    task = asyncio.create_task(coordinator.keeper.run(ready))
    try:
        coordinator.snapshot("s0", START)
        coordinator.snapshot("s1", START + 1)
        coordinator.snapshot("a0", START, policy="all")
        coordinator.snapshot("a1", START + 1, policy="all")
        coordinator.time_ms += DAY_MS
        coordinator.keeper.wake()
        await until(lambda: sorted(coordinator.snapshots()) == ["a0", "a1", "s1"])
        coordinator.snapshot("s2", START + 2)
        coordinator.keeper.wake()
        await asyncio.sleep(0.2)
        assert "s1" in coordinator.snapshots(), "nothing was due"
        await coordinator.policies.change("nightly", lambda one: replace(one, last_success_ms=coordinator.time_ms + 1))
        coordinator.keeper.wake()
        await until(lambda: "s1" not in coordinator.snapshots())
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_garbage_waits_for_its_time(running: tuple[Coordinator, Retention]) -> None:
    coordinator, client = running
    coordinator.snapshot("s0", START, policy="")
    await client.delete("s0")
    found = await client.collect(dry_run=True)
    assert (found.removed, found.waiting) == (0, 1)
    assert (await client.collect()).waiting == 1
    coordinator.time_ms += DAY_MS - 1
    assert (await client.collect()).removed == 0
    coordinator.time_ms += 1
    found = await client.collect()
    assert (found.removed, found.waiting) == (1, 0)
    assert not list((Path(coordinator.repository) / "tables").rglob("*.table"))


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)
