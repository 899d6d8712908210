"""Import and export of one file by the real OrientDB and by Quiesce with three replicas, in turn, in the same run."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import click

from benchmarks import graph_export
from benchmarks.orientdb_cases import command_seconds
from tests.interop.engine import Engine
from tests.scenarios.cluster import Cluster

# What OrientDB imports in some minutes; RECORDS=1000000 in the environment for the whole thing.
RECORDS = int(os.environ.get("RECORDS", "200000"))
TIMEOUT_S = 3_600.0


def run(directory: Path) -> None:
    """Measure, and print a line for each system and direction, with the ratio."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        place = Path(scratch).absolute()
        graph_export.write(place / "graph.json.gz", RECORDS)
        file = place / "prepared.json.gz"
        ours = _quiesce(place, place / "graph.json.gz", file)
        click.echo(f"{RECORDS:,} records, {file.stat().st_size / 1e6:.1f} MB")
        theirs = _orientdb(place, file)
    for what, mine, other in zip(("import", "export"), ours, theirs, strict=True):
        click.echo(
            f"{what}: Quiesce {RECORDS / mine:,.0f} records/s, OrientDB {RECORDS / other:,.0f} records/s, "
            f"{other / mine:.1f} times as fast"
        )


def _orientdb(place: Path, file: Path) -> tuple[float, float]:
    """Return the seconds of an import and of an export; the start of Java is not in them."""
    with Engine(place / "orientdb") as engine, engine.database("graph") as database:
        began = time.perf_counter()
        engine.import_file(database, file, "-preserveRids=true", timeout_s=TIMEOUT_S)
        imported = time.perf_counter()
        engine.export_file(database, place / "theirs.json.gz", timeout_s=TIMEOUT_S)
        exported = time.perf_counter()
        [row] = engine.sql(database, "SELECT count(*) AS n FROM E")
        click.echo(f"OrientDB {engine.version} has {row['fields']['n']['value']:,} edges")
    return imported - began, exported - imported


def _quiesce(place: Path, graph: Path, prepared: Path) -> tuple[float, float]:
    """Return the same of the commands, the start of their processes included, and leave a file that OrientDB takes."""
    with Cluster(place / "preparing") as cluster:
        command_seconds(cluster, "import", str(graph), "--database", "graph")
        command_seconds(cluster, "export", "graph", str(prepared), "--security")
    # Another one, which has nothing of that to tidy up meanwhile.
    with Cluster(place / "quiesce") as cluster:
        return (
            command_seconds(cluster, "import", str(prepared), "--database", "graph"),
            command_seconds(cluster, "export", "graph", str(place / "ours.json.gz")),
        )
