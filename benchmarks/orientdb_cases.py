"""Import and export of what real OrientDB exported; etcd has no such thing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import Run
from tests.scenarios.cluster import Cluster

ROOT = Path(__file__).resolve().parent.parent
WORLD = ROOT / "examples" / "world-3.2.34.json.gz"
WORLD_RECORDS = 79_508
TIMEOUT_S = 1_200


def command_seconds(cluster: Cluster, *arguments: str) -> float:
    """Run a command of the shell, and return how long it took."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "quiesce", *arguments, "--cluster", cluster.addresses],
        check=True, cwd=ROOT, timeout=TIMEOUT_S, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    return time.perf_counter() - started


def _import(directory: Path) -> Run:
    with Cluster(directory) as cluster:
        return Run(command_seconds(cluster, "import", str(WORLD), "--database", "world"), WORLD_RECORDS)


def _export(directory: Path) -> Run:
    with Cluster(directory) as cluster:
        command_seconds(cluster, "import", str(WORLD), "--database", "world")
        target = directory / "world.json.gz"
        return Run(command_seconds(cluster, "export", "world", str(target)), WORLD_RECORDS)


async def import_(name: str, directory: Path, profile: Path | None = None) -> Run:
    """Time `quiesce import` as a user runs it, the start of its process included, in records a second."""
    return await asyncio.to_thread(_import, directory)


async def export(name: str, directory: Path, profile: Path | None = None) -> Run:
    """Time `quiesce export` likewise."""
    return await asyncio.to_thread(_export, directory)
