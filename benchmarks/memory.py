"""What the nodes hold in memory while callers behave badly: it has to stay flat.

Three real nodes. For each case the resident memory of every node is sampled while the load runs; the first third is
warm-up. Usage: python -m benchmarks memory, or python -m benchmarks.memory --help
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure import machine_noise
from benchmarks.memory_use import resident_bytes
from benchmarks.report import rows_table, write_json
from benchmarks.systems import QuiesceSystem
from quiesce.records import create
from tests.scenarios.cluster import Cluster

SECONDS = 60.0
_EVERY_S = 0.5
_LARGE_RECORDS = 15
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Case:
    """A load of `memory_load`, against the leader or all nodes; with `pause_follower` one follower is stopped."""

    title: str
    load: str
    everywhere: bool = False
    pause_follower: bool = False


CASES = {
    "writer": Case("a writer that never waits", "many_writes"),
    "follower": Case("a follower that never reads", "many_writes", pause_follower=True),
    "batches": Case("batches of 16 MiB, 64 at a time at each node", "big_batches", everywhere=True),
    "scans": Case("scans that nobody reads", "unread_scans", everywhere=True),
    "answers": Case("answers of 15 MiB that nobody reads", "unread_answers", everywhere=True),
}


@dataclass(slots=True)
class Memory:
    """Samples of one process, in bytes."""

    idle: int
    samples: list[tuple[float, int]] = field(default_factory=list)

    def after_warm_up(self) -> list[int]:
        end = self.samples[-1][0]
        return [size for at, size in self.samples if at >= end / 3]

    def row(self) -> dict[str, object]:
        later = self.after_warm_up()
        third = max(1, len(later) // 3)
        first, last = sum(later[:third]) / third, sum(later[-third:]) / third
        return {
            "idle MiB": self.idle / MIB,
            "after warm-up MiB": first / MIB,
            "at the end MiB": last / MIB,
            "growth MiB": (last - first) / MIB,
            "most MiB": max(size for _, size in self.samples) / MIB,
        }


async def measure(case: Case, seconds: float, directory: Path) -> list[dict[str, object]]:
    async with QuiesceSystem(directory) as system:
        cluster = system.cluster
        large = b'{"@class":"Item","text":"' + b"x" * (MIB - 100) + b'"}'
        await system.client.write("bench", [create(large, class_name="Item") for _ in range(_LARGE_RECORDS)])
        await system.write_batch(range(2_000))
        await asyncio.sleep(2)
        leader = cluster.leader()
        paused = next(node for node in cluster.members if node != leader) if case.pause_follower else None
        memory = {node: Memory(resident_bytes(daemon.pid)) for node, daemon in cluster.nodes.items()}
        addresses = list(cluster.members.values()) if case.everywhere else [cluster.members[leader]]
        if paused is not None:
            cluster.nodes[paused].pause()
        started = time.monotonic()
        load = subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-m", "benchmarks.memory_load", case.load, str(seconds), ",".join(addresses)],
            stdout=subprocess.PIPE,
        )
        try:
            while (elapsed := time.monotonic() - started) < seconds:
                for node, daemon in cluster.nodes.items():
                    memory[node].samples.append((elapsed, resident_bytes(daemon.pid)))
                await asyncio.sleep(_EVERY_S)
            cluster.check_alive()
            answers = ""
            with suppress(subprocess.TimeoutExpired):
                # One that stopped itself says nothing.
                answers = load.communicate(timeout=5)[0].decode().strip()
        finally:
            load.kill()
            if paused is not None:
                cluster.nodes[paused].resume()
        rows = []
        for node, found in memory.items():
            role = "leader" if node == leader else "stopped follower" if node == paused else "follower"
            rows.append({"case": case.title, "node": role, **found.row()})
        print(f"{case.title}: answers {answers or '(none read)'}", flush=True)
        # Serving goes on when it is over.
        await asyncio.to_thread(_still_works, cluster)
        return rows


def _still_works(cluster: Cluster) -> None:
    cluster.wait_until_serving()
    with cluster.client(timeout_s=30) as client:
        client.write("bench", [create({"after": True}, class_name="Item")])


def run(directory: Path, seconds: float, names: list[str], tell: Callable[[str], None] = print) -> None:
    rows = []
    for name in names:
        with tempfile.TemporaryDirectory(prefix="memory-", dir=directory) as fresh:
            noise = machine_noise(Path(fresh))
            rows += asyncio.run(measure(CASES[name], seconds, Path(fresh).absolute()))
            tell(f"machine before {name}: loop {noise.spin_ms:.3g} ms, fsync {noise.fsync_ms:.3g} ms")
    tell("\n" + rows_table(f"Resident memory over {seconds:g} s", rows))
    write_json(directory / "memory.json", {"name": "memory", "seconds": seconds, "rows": rows})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--only", choices=CASES, action="append")
    parser.add_argument("--directory", type=Path, default=Path("build/benchmarks"))
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    run(arguments.directory, arguments.seconds, arguments.only or list(CASES))


if __name__ == "__main__":
    main()
