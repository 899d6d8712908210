"""What a backup costs clients, with a latency budget and without: the same load in turns, on one cluster."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure import Run, Spread
from benchmarks.records import CLASS, DATABASE, body
from benchmarks.systems import QuiesceSystem
from quiesce import RID
from quiesce.records import create
from quiesce.v1.backup_pb2 import Job

ROUNDS = 3
QUIET_S = 15.0
# Bodies of about 2 kB, 120 MB of them: a backup of several seconds at full speed.
RECORDS, COPIES = 60_000, 6
BATCH = 100
READERS, WRITERS = 4, 4
# Between two calls of one client: the load is moderate, so that there is something to spoil.
PAUSE_S = 0.02
# Of what clients wait without a backup.
BUDGET_OF_QUIET = 1.5


@dataclass
class Phase:
    """The latencies of one case over all rounds, and of the rounds' backups what their jobs say."""

    reads: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    # Of each round, in milliseconds.
    p99_reads: list[float] = field(default_factory=list)
    p99_writes: list[float] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)


class Load:
    """Clients that read and write one record at a time, with a pause between; `during` measures what they wait."""

    def __init__(self, system: QuiesceSystem, rids: list[RID]) -> None:
        self._system = system
        self._rids = rids
        self._numbers = itertools.count(10_000_000)
        self._reads: list[float] = []
        self._writes: list[float] = []

    async def during(self, phase: Phase, work: Callable[[], Awaitable[object]]) -> None:
        self._reads, self._writes = [], []
        clients = [asyncio.create_task(self._repeat(self._read, self._reads)) for _ in range(READERS)]
        clients += [asyncio.create_task(self._repeat(self._write, self._writes)) for _ in range(WRITERS)]
        try:
            done = asyncio.ensure_future(work())
            # A client that fails ends the measurement: none may.
            await asyncio.wait([done, *clients], return_when=asyncio.FIRST_COMPLETED)
            for client in clients:
                assert not client.done(), client.exception()
            await done
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
        phase.reads += self._reads
        phase.writes += self._writes
        phase.p99_reads.append(_p99_ms(self._reads))
        phase.p99_writes.append(_p99_ms(self._writes))

    async def _repeat(self, call: Callable[[], Awaitable[object]], waits: list[float]) -> None:
        while True:
            began = time.perf_counter()
            await call()
            waits.append(time.perf_counter() - began)
            await asyncio.sleep(PAUSE_S)

    async def _read(self) -> None:
        rid = self._rids[next(self._numbers) * 7919 % len(self._rids)]
        assert len(await self._system.client.get(DATABASE, [rid])) == 1

    async def _write(self) -> None:
        await self._system.client.write(DATABASE, [create(body(next(self._numbers)), class_name=CLASS)])


async def measure(directory: Path) -> list[dict[str, object]]:
    """Return a row for each case: nothing, a backup, a backup with a budget of half as much again as nothing has."""
    cases = {"no backup": Phase(), "backup": Phase(), "backup with a budget": Phase()}
    async with QuiesceSystem(directory / "system") as system:
        load = Load(system, await _fill(system))
        await load.during(Phase(), lambda: asyncio.sleep(QUIET_S / 3))
        for number in range(ROUNDS):
            for name, phase in cases.items():
                budget_ms = 0
                if name == "backup with a budget":
                    quiet = cases["no backup"]
                    budget_ms = round(BUDGET_OF_QUIET * max(quiet.p99_reads[-1], quiet.p99_writes[-1])) + 1

                async def work(budget_ms: int = budget_ms, phase: Phase = phase) -> None:
                    # Each into a repository of its own: all pages are read, and uploaded.
                    repository = str(directory / f"repository-{number}-{budget_ms}")  # noqa: B023 — awaited here
                    phase.jobs.append(await _backup(system, repository, budget_ms))

                await load.during(phase, (lambda: asyncio.sleep(QUIET_S)) if name == "no backup" else work)
    quiet = cases["no backup"]
    return [_row(name, phase, quiet) for name, phase in cases.items()]


async def _fill(system: QuiesceSystem) -> list[RID]:
    rids: list[RID] = []
    for first in range(0, RECORDS, BATCH):
        operations = [create(_large(number), class_name=CLASS) for number in range(first, first + BATCH)]
        rids += [RID.of(record) for record in (await system.client.write(DATABASE, operations)).written]
    return rids


def _large(number: int) -> bytes:
    text = b" ".join(body(number, salt)[40:-2] for salt in range(COPIES + 1))
    return b'{"@class":"%s","number":%d,"text":"%s"}' % (CLASS.encode(), number, text)


async def _backup(system: QuiesceSystem, repository: str, budget_ms: int) -> Job:
    job = Job()
    async for progress in system.backups.create(repository=repository, latency_budget_ms=budget_ms):
        job = progress.job
    return job


def _p99_ms(waits: list[float]) -> float:
    return Run(1.0, len(waits), waits).percentile(0.99) * 1e3


def _row(name: str, phase: Phase, quiet: Phase) -> dict[str, object]:
    row: dict[str, object] = {"": name}
    for kind, waits, p99, usual in (
        ("reads", phase.reads, phase.p99_reads, quiet.p99_reads),
        ("writes", phase.writes, phase.p99_writes, quiet.p99_writes),
    ):
        ratio = Spread.of([one / other for one, other in zip(p99, usual, strict=True)])
        row[f"{kind} p50 ms"] = Run(1.0, 1, waits).percentile(0.5) * 1e3
        row[f"{kind} p99 ms"] = Spread.of(p99).median
        row[f"{kind} p99, of no backup's"] = f"{ratio.median:.2f} ({ratio.least:.2f}–{ratio.most:.2f})"
    clients = [job.clients for job in phase.jobs]
    # What the nodes say of the same, over the whole backup.
    row["writes p99 ms, on the nodes"] = _median([one.during.writes_p99_us / 1000 for one in clients])
    row["seconds"] = _median([(job.ended_ms - job.started_ms) / 1000 for job in phase.jobs])
    row["budget ms"] = _median([float(one.budget_ms) for one in clients if one.budget_ms])
    row["over it s"] = _median([one.over_budget_ms / 1000 for one in clients if one.budget_ms])
    row["MiB/s allowed"] = "; ".join(
        f"{one.least_rate / 2**20:.0f}–{one.most_rate / 2**20:.0f}" for one in clients if one.budget_ms
    )
    return row


def _median(values: list[float]) -> object:
    return Spread.of(values).median if values else "-"
