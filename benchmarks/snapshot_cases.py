"""Snapshot and restore beside etcd; and whether a second snapshot costs what changed, or what is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.etcd.client import EtcdClient
from benchmarks.etcd.cluster import EtcdCluster
from benchmarks.load_cases import fill
from benchmarks.measure import Run
from benchmarks.records import DATABASE, RECORD_BYTES, key
from benchmarks.systems import SYSTEMS, EtcdSystem, QuiesceSystem
from quiesce import AsyncClient
from quiesce.v1.backup_pb2 import SnapshotSummary
from tests.scenarios.cluster import Cluster

RECORDS = 100_000
# Both in one cluster of records; the change is the same share of each, and then the same number in both.
INCREMENTAL_RECORDS = (20_000, 200_000)
SAME_CHANGE = 200


async def snapshot(name: str, directory: Path, profile: Path | None = None) -> Run:
    """Time a full snapshot, from the call to its end, in bytes of records a second."""
    async with SYSTEMS[name](directory) as system:
        await fill(system, RECORDS)
        started = time.perf_counter()
        written = await system.snapshot()
        seconds = time.perf_counter() - started
    return Run(seconds, RECORDS * RECORD_BYTES, facts={"bytes_written": written})


async def restore(name: str, directory: Path, profile: Path | None = None) -> Run:
    """Time a restore into three new members, from nothing running until a record is read, in bytes a second."""
    restored = _restore_etcd if name == "etcd" else _restore_quiesce
    return Run(await restored(directory), RECORDS * RECORD_BYTES)


async def _restore_etcd(directory: Path) -> float:
    async with EtcdSystem(directory / "first") as system:
        await fill(system, RECORDS)
        await system.snapshot()
    started = time.perf_counter()
    new = EtcdCluster(directory / "second", snapshot=system.snapshot_path)
    await asyncio.to_thread(new.__enter__)
    try:
        async with EtcdClient(new.addresses, new.leader_address()) as client:
            await client.get(key(RECORDS - 1), 0)
        return time.perf_counter() - started
    finally:
        new.__exit__(None, None, None)


async def _restore_quiesce(directory: Path) -> float:
    async with QuiesceSystem(directory / "first") as system:
        await fill(system, RECORDS)
        taken = await system.take_snapshot()
    started = time.perf_counter()
    new = Cluster(directory / "second", await_restore=True)
    try:
        await asyncio.to_thread(new.start)
        await asyncio.to_thread(_restore, new, str(system.cluster.repository), taken.id)
        async with AsyncClient(new.addresses, timeout_s=60) as client:
            await client.get(DATABASE, [system.rid(RECORDS - 1)])
        return time.perf_counter() - started
    finally:
        await asyncio.to_thread(new.stop)


def _restore(new: Cluster, repository: str, snapshot_id: str) -> None:
    new.wait_until_awaiting_restore()
    with new.backups() as backups:
        for _ in backups.restore(snapshot_id, new.members, repository=repository):
            pass
    new.wait_until_serving()


async def incremental(directory: Path) -> list[dict[str, object]]:
    """Return one row for each snapshot: all, after 1 % changed, after the same number changed, after nothing did."""
    rows: list[dict[str, object]] = []
    for records in INCREMENTAL_RECORDS:
        async with QuiesceSystem(directory / str(records)) as system:
            await fill(system, records)
            rows.append(await _timed(system, records, records, "all (first snapshot)"))
            changes: Sequence[tuple[int, str]] = [
                (records // 100, "1 % of the records, one after another"),
                (SAME_CHANGE, f"{SAME_CHANGE} records, one after another"),
                (0, "none"),
            ]
            for salt, (changed, what) in enumerate(changes, start=1):
                await system.change(range(changed), salt)
                rows.append(await _timed(system, records, changed, what))
    return rows


async def _timed(system: QuiesceSystem, records: int, changed: int, what: str) -> dict[str, object]:
    started = time.perf_counter()
    summary: SnapshotSummary = await system.take_snapshot()
    return {
        "records": records,
        "changed": changed,
        "what": what,
        "seconds": time.perf_counter() - started,
        "pages": summary.pages,
        "pages_uploaded": summary.pages_uploaded,
        "bytes_uploaded": summary.bytes_uploaded,
    }
