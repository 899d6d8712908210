"""A large import into three nodes: records a second, and the most memory of the importing process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import graph_export
from tests.scenarios.cluster import Cluster

ROOT = Path(__file__).resolve().parent.parent
RECORDS = 1_000_000
# What is measured: the options of the import.
CASES = {
    "as it is": [],
    "checked only": ["--dry-run"],
    "renumbered": ["--preserve-rids=false", "--preserve-cluster-ids=false"],
}


def run(directory: Path, *, records: int = RECORDS, cases: dict[str, list[str]] | None = None) -> None:
    """Measure and print, one line a case."""
    file = directory / "graph.json.gz"
    graph_export.write(file, records)
    print(f"{records:,} records, {file.stat().st_size / 1e6:.1f} MB")
    with Cluster(directory / "cluster") as cluster:
        for number, (name, options) in enumerate((cases or CASES).items()):
            command = [sys.executable, "-m", "quiesce", "import", str(file), "--database", f"graph{number}", *options]
            started = time.perf_counter()
            process = subprocess.Popen(
                [*command, "--cluster", cluster.addresses],
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
            if status:
                raise RuntimeError(f"the import ended with {os.waitstatus_to_exitcode(status)}")
            print(
                f"{name}: {seconds:.1f} s, {records / seconds:,.0f} records/s, "
                f"at most {usage.ru_maxrss / 1024:.0f} MiB, "
                f"{usage.ru_utime + usage.ru_stime:.1f} s of processor"
            )
            with cluster.client() as client:
                for one in client.list_databases():
                    client.drop_database(one.name)
