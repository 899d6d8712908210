"""Numbers: the latencies of one run, a closed loop of bounded width, the machine's own noise, medians over runs."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

OPERATION_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one system. `amount` is what was done in `seconds`: records, bytes, calls."""

    seconds: float
    amount: float
    # Seconds, unsorted; empty where the run is one operation.
    latencies: Sequence[float] = ()
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return self.amount / self.seconds

    def percentile(self, share: float) -> float:
        """Return the latency that `share` of the operations did not exceed, in seconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True, slots=True)
class Spread:
    """The same number over several runs."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


async def closed_loop(
    operation: Callable[[int], Awaitable[object]], *, count: int, in_flight: int, amount_each: float = 1.0
) -> Run:
    """Call `operation` with 0 to `count` - 1, `in_flight` at a time, each with a deadline; an error ends the run."""
    latencies: list[float] = []
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            started = time.perf_counter()
            await asyncio.wait_for(operation(number), OPERATION_TIMEOUT_S)
            latencies.append(time.perf_counter() - started)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(min(in_flight, count)):
            group.create_task(worker())
    return Run(time.perf_counter() - started, count * amount_each, latencies)


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the processor time that these processes have used so far; 0 where the system does not tell."""
    ticks = 0
    for pid in pids:
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists():
            # Behind the name, which may hold spaces: utime and stime are the 12th and 13th fields.
            fields = stat.read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Noise:
    """What the machine itself gave at the moment: the same work takes longer where others are busy."""

    spin_ms: float
    fsync_ms: float


def machine_noise(directory: Path) -> Noise:
    """Time a fixed loop and the fsync of a 4 KiB append, each the median of several."""
    spins = []
    for _ in range(5):
        started = time.perf_counter()
        total = 0
        for number in range(200_000):
            total += number & 7
        spins.append(time.perf_counter() - started)
    path = directory / "noise"
    syncs = []
    with path.open("ab", buffering=0) as file:
        for _ in range(30):
            file.write(b"\0" * 4096)
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            syncs.append(time.perf_counter() - started)
    path.unlink()
    return Noise(statistics.median(spins) * 1e3, statistics.median(syncs) * 1e3)
