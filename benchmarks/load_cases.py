"""Writes and reads through a client, both systems under the same load."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.measure import Run, closed_loop, cpu_seconds
from benchmarks.profile import profiled
from benchmarks.systems import BATCH, SYSTEMS, System

BATCHES = 400
BATCHES_IN_FLIGHT = 16
SINGLES = 10_000
READS = 20_000
READ_RECORDS = 20_000
IN_FLIGHT = 128
WARM_UP_RECORDS = 2_000


async def fill(system: System, records: int) -> None:
    """Write the records 0 to `records` - 1 in batches."""
    await closed_loop(
        lambda n: system.write_batch(range(n * BATCH, (n + 1) * BATCH)),
        count=records // BATCH,
        in_flight=BATCHES_IN_FLIGHT,
    )


async def _batches(system: System) -> Run:
    return await closed_loop(
        lambda n: system.write_batch(range((n + 1000) * BATCH, (n + 1001) * BATCH)),
        count=BATCHES,
        in_flight=BATCHES_IN_FLIGHT,
        amount_each=BATCH,
    )


async def _singles(system: System) -> Run:
    return await closed_loop(lambda n: system.write(1_000_000 + n), count=SINGLES, in_flight=IN_FLIGHT)


async def _reads(system: System) -> Run:
    return await closed_loop(lambda n: system.read(n * 7919 % READ_RECORDS), count=READS, in_flight=IN_FLIGHT)


def _load(prepare_records: int, load: Callable[[System], Awaitable[Run]]) -> Callable[..., Awaitable[Run]]:
    async def run(name: str, directory: Path, profile: Path | None = None) -> Run:
        async with SYSTEMS[name](directory) as system:
            await fill(system, prepare_records)
            servers = system.server_pids()
            with profiled(system.leader_pid() if profile else None, profile):
                before = cpu_seconds([os.getpid()]), cpu_seconds(servers)
                found = await load(system)
                client, server = (
                    now - then
                    for now, then in zip((cpu_seconds([os.getpid()]), cpu_seconds(servers)), before, strict=True)
                )
        per_unit = 1e6 / found.amount
        return replace(found, facts={"client_cpu_us": client * per_unit, "server_cpu_us": server * per_unit})

    return run


batch_writes = _load(WARM_UP_RECORDS, _batches)
single_writes = _load(WARM_UP_RECORDS, _singles)
reads = _load(READ_RECORDS, _reads)
