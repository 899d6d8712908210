"""quiesce export."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import click

from quiesce.cli.options import cluster_option
from quiesce.cli.output import Output, pass_output
from quiesce.cli.progress import Progress
from quiesce.cli.units import amount
from quiesce.client import AsyncClient
from quiesce.orientdb import ExportProgress, ExportReport, export_database, export_path
from quiesce.orientdb.export_file import DEFAULT_LEVEL, LEVELS
from quiesce.v1.database_pb2 import Database

TIMEOUT_S = 30.0


@click.command(name="export")
@click.argument("name")
@click.argument("file", required=False, default="")
@click.option("--plain", is_flag=True, help="Do not compress.")
@click.option(
    "--level", type=click.IntRange(LEVELS[0], LEVELS[-1]), default=DEFAULT_LEVEL, show_default=True,
    help="How hard to compress.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
@click.option("--line-feeds", is_flag=True, help="Each record on a line of its own.")
@cluster_option
@pass_output
def command(
    output: Output, name: str, file: str, plain: bool, level: int, overwrite: bool, line_feeds: bool, cluster: str
) -> None:
    """Export a database in OrientDB's export format.

    The file holds the database NAME as it was at one moment, and OrientDB 3.2 imports it; nobody waits meanwhile. As
    in OrientDB, `.json` is added to a name without dot and then `.gz`. Without FILE: NAME.json.gz.
    """
    path = export_path(file, name, gzip=not plain)
    with ExitStack() as stack:
        output.message(f"Exporting database `{name}` to: {path}...")
        lines = _Lines(output, stack)
        report = asyncio.run(_export(cluster, name, path, not plain, level, overwrite, line_feeds, lines))
    _show(output, report)


async def _export(
    cluster: str,
    name: str,
    path: Path,
    gzip: bool,
    level: int,
    overwrite: bool,
    line_feeds: bool,
    progress: ExportProgress,
) -> ExportReport:
    async with AsyncClient(cluster, timeout_s=TIMEOUT_S) as client:
        return await export_database(
            client, name, path, gzip=gzip, level=level, overwrite=overwrite, line_feeds=line_feeds, progress=progress
        )


class _Lines(ExportProgress):
    """OrientDB's lines, and a bar."""

    def __init__(self, output: Output, stack: ExitStack) -> None:
        self._output = output
        self._stack = stack
        self._bar: Progress | None = None
        self._records = 0

    def started(self, database: Database, records: int) -> None:
        """Open the bar."""
        self._output.message("Exporting database info...OK")
        self._output.message(f"Exporting schema...OK ({len(database.classes)} classes)")
        self._output.message("Exporting clusters...")
        self._records = records
        if self._bar is None:
            self._bar = self._stack.enter_context(self._output.progress("Export", total=records, unit="records"))

    def advanced(self, records: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(records, self._records)

    def cluster_done(self, name: str, records: int) -> None:
        """Print the line that OrientDB prints."""
        self._output.message(f"- Exporting cluster '{name}' (records={records}) -> OK", cluster=name, records=records)


def _show(output: Output, report: ExportReport) -> None:
    facts = asdict(report) | {"file": str(report.file.absolute())}
    summary = (
        f"Export of database completed: {report.records:,} records as of log index {report.index}, "
        f"{amount(report.bytes_out, binary=True)}, in {report.file}"
    )
    notes = [f"Note: {note}." for note in report.notes]
    output.result(facts, "\n".join([summary, *notes]))
