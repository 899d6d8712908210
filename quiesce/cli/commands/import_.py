"""quiesce import."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import click

from quiesce.cli.options import cluster_option
from quiesce.cli.output import Output, pass_output
from quiesce.cli.progress import Progress
from quiesce.client import AsyncClient
from quiesce.orientdb import ImportProgress, ImportReport, Survey, import_export

# A cluster may be electing a leader meanwhile; a whole import should not end for that.
TIMEOUT_S = 30.0
SHOWN = 10


@click.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--database", required=True, metavar="NAME", help="The new database.")
@click.option("--discard-unfinished", is_flag=True, help="First drop what an interrupted import of that name left.")
@cluster_option
@pass_output
def command(output: Output, file: Path, database: str, discard_unfinished: bool, cluster: str) -> None:
    """Import a database from OrientDB's export format.

    FILE is what OrientDB's EXPORT DATABASE wrote, gzip or plain. The database appears when all of it is in and checked,
    or not at all. Record ids, versions and values stay as they are.
    """
    with ExitStack() as stack:
        lines = _Lines(output, stack, file)
        report = asyncio.run(_import(cluster, file, database, discard_unfinished, lines))
    _show(output, report)


async def _import(
    cluster: str, file: Path, database: str, discard_unfinished: bool, progress: ImportProgress
) -> ImportReport:
    async with AsyncClient(cluster, timeout_s=TIMEOUT_S) as client:
        return await import_export(client, file, database, discard_unfinished=discard_unfinished, progress=progress)


class _Lines(ImportProgress):
    """OrientDB's lines, and a bar."""

    def __init__(self, output: Output, stack: ExitStack, file: Path) -> None:
        self._output = output
        self._file = file
        self._size = 0
        self._stack = stack
        self._bar: Progress | None = None

    def surveying(self, part: float) -> None:
        """Show how far the file is read."""
        if self._bar is None:
            self._output.message("Checking the file...")
            self._size = self._file.stat().st_size
            self._bar = self._stack.enter_context(
                self._output.progress("Check", total=self._size, unit="bytes", binary=True)
            )
        self._bar.update(round(part * self._size))

    def surveyed(self, survey: Survey) -> None:
        """Go on to the records."""
        self._stack.close()
        engine = f" by OrientDB {survey.info.engine_version}" if survey.info.engine_version else ""
        self._output.message(
            f"The file is whole: {survey.records:,} records, {len(survey.schema.classes)} classes, "
            f"{len(survey.indexes)} indexes, exported{engine}."
        )
        self._output.message("Importing records...")
        self._bar = self._stack.enter_context(self._output.progress("Import", total=survey.records, unit="records"))

    def written(self, records: int, total: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(records, total)

    def cluster_done(self, name: str, records: int) -> None:
        """Print the line that OrientDB prints."""
        self._output.message(
            f"- Imported records into the cluster '{name}': {records} records", cluster=name, records=records
        )


def _show(output: Output, report: ImportReport) -> None:
    facts = asdict(report)
    facts["dangling_listed"] = [str(one) for one in report.dangling_listed]
    summary = (
        f"Database `{report.database}` is imported: {report.records:,} records in {len(report.clusters)} clusters, "
        f"{report.classes} classes, {report.indexes} indexes. {report.links:,} links lead to records."
    )
    lines = [summary]
    if report.dangling:
        lines.append(f"{report.dangling:,} links lead to records that the file does not hold; they are kept:")
        lines += [f"  {one}" for one in report.dangling_listed[:SHOWN]]
        if report.dangling > SHOWN:
            lines.append(f"  ... ({len(report.dangling_listed):,} of them with --output json)")
    if report.unmaintained_indexes:
        lines.append(f"Kept as definitions only: {', '.join(report.unmaintained_indexes)}.")
    lines += [f"Note: {note}." for note in report.notes]
    output.result(facts, "\n".join(lines))
