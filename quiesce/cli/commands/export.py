"""quiesce export."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from quiesce.cli.options import cluster_option
from quiesce.cli.output import Output, pass_output
from quiesce.cli.progress import Progress
from quiesce.cli.units import amount
from quiesce.client import AsyncClient
from quiesce.errors import InvalidExportOption
from quiesce.orientdb import ExportOptions, ExportPlan, ExportProgress, ExportReport, export_database, export_path
from quiesce.orientdb.engine_versions import DEFAULT_ENGINE, ENGINES, engine
from quiesce.orientdb.export_options import (
    BUFFER_BYTES,
    DEFAULT_BUFFER_BYTES,
    DEFAULT_LEVEL,
    LEVELS,
    names_of,
    parse_export_options,
)
from quiesce.orientdb.progress_lines import ExportLines, Wording

TIMEOUT_S = 30.0
Command = TypeVar("Command", bound=Callable[..., Any])

_SECTIONS = ("info", "clusters", "schema", "records", "indexes", "manual-indexes")


def _options(command: Command) -> Command:
    """Add the options that choose what goes into a file, and how."""
    for option in reversed(
        [
            click.option(
                "--only", metavar="SECTIONS", help=f"Only these sections, with commas: {', '.join(_SECTIONS)}."
            ),
            click.option("--without", metavar="SECTIONS", help="All sections but these."),
            click.option("--include-class", multiple=True, metavar="NAME", help="Only records of this class; repeat."),
            click.option("--exclude-class", multiple=True, metavar="NAME", help="No records of this class; repeat."),
            click.option("--include-cluster", multiple=True, metavar="NAME", help="Only records of this cluster."),
            click.option("--exclude-cluster", multiple=True, metavar="NAME", help="No records of this cluster."),
            click.option(
                "--security/--no-security", default=None,
                help="With or without users, roles and policies; otherwise as the database has them.",
            ),
            click.option(
                "--orientdb-version", type=click.Choice(list(ENGINES)), default=None,
                help=f"Write what this version imports, and speak as it does.  [default: {DEFAULT_ENGINE.version}]",
            ),
            click.option("--plain", is_flag=True, help="Do not compress."),
            click.option(
                "--level", type=click.IntRange(LEVELS[0], LEVELS[-1]), default=DEFAULT_LEVEL, show_default=True,
                help="How hard to compress.",
            ),
            click.option(
                "--buffer", type=click.IntRange(BUFFER_BYTES[0], BUFFER_BYTES[-1]), default=DEFAULT_BUFFER_BYTES,
                show_default=True, metavar="BYTES", help="How much is written to the disk at once.",
            ),
            click.option("--line-feeds", is_flag=True, help="Each record on a line of its own."),
            click.option(
                "--options", "spelt", default="", metavar="TEXT",
                help="Options as OrientDB spells them, such as \'-excludeAll -includeSchema=true\'.",
            ),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


@click.command(name="export")
@click.argument("name")
@click.argument("file", required=False, default="")
@_options
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
@cluster_option
@pass_output
def command(output: Output, name: str, file: str, overwrite: bool, cluster: str, plain: bool, **chosen: Any) -> None:
    """Export a database in OrientDB's export format.

    The file holds the database NAME as it was at one moment, and OrientDB imports it; nobody waits meanwhile. As in
    OrientDB, `.json` is added to a name without dot and then `.gz`. Without FILE: NAME.json.gz.
    """
    options = chosen_options(**chosen)
    path = export_path(file, name, gzip=not plain)
    wording = Wording.ENGINE if chosen["orientdb_version"] else Wording.MANUAL
    with ExitStack() as stack:
        output.message(f"Exporting database `{name}` to: {path}...")
        lines = Lines(output, stack, wording)
        report = asyncio.run(_export(cluster, name, path, options, not plain, overwrite, lines))
        lines.finished()
    _show(output, report)


def chosen_options(
    *,
    only: str | None = None,
    without: str | None = None,
    include_class: tuple[str, ...] = (),
    exclude_class: tuple[str, ...] = (),
    include_cluster: tuple[str, ...] = (),
    exclude_cluster: tuple[str, ...] = (),
    security: bool | None = None,
    orientdb_version: str | None = None,
    level: int = DEFAULT_LEVEL,
    buffer: int = DEFAULT_BUFFER_BYTES,
    line_feeds: bool = False,
    spelt: str = "",
) -> ExportOptions:
    """Return the options of a command line; those in OrientDB's spelling come on top.

    Raises:
        InvalidExportOption: one of them is none.
    """
    sections = dict.fromkeys(_SECTIONS, True)
    if only is not None:
        sections = {name: name in _sections("--only", only) for name in _SECTIONS}
    if without is not None:
        sections |= dict.fromkeys(_sections("--without", without), False)
    options = ExportOptions(
        **{name.replace("-", "_"): value for name, value in sections.items()},
        security=security,
        include_classes=_lower(include_class) or None,
        exclude_classes=_lower(exclude_class),
        include_clusters=_lower(include_cluster) or None,
        exclude_clusters=_lower(exclude_cluster),
        level=level,
        buffer_bytes=buffer,
        line_feeds=line_feeds,
    )
    if orientdb_version:
        options = replace(options, engine=engine(orientdb_version))
    return parse_export_options(spelt, options)


def _sections(option: str, text: str) -> frozenset[str]:
    try:
        names = names_of(text)
    except ValueError as error:
        raise InvalidExportOption(option=option, detail=error) from None
    if unknown := sorted(names - set(_SECTIONS)):
        raise InvalidExportOption(option=option, detail=f"there is no section {unknown[0]}")
    return names


def _lower(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


async def _export(
    cluster: str,
    name: str,
    path: Path,
    options: ExportOptions,
    gzip: bool,
    overwrite: bool,
    progress: ExportProgress,
) -> ExportReport:
    async with AsyncClient(cluster, timeout_s=TIMEOUT_S) as client:
        return await export_database(
            client, name, path, options=options, gzip=gzip, overwrite=overwrite, progress=progress
        )


class Lines(ExportProgress):
    """OrientDB's lines, and a bar."""

    def __init__(self, output: Output, stack: ExitStack, wording: Wording = Wording.MANUAL) -> None:
        self._output = output
        self._stack = stack
        self._lines = ExportLines(wording)
        self._bar: Progress | None = None
        self._records = 0
        self._began = time.monotonic()

    def started(self, plan: ExportPlan) -> None:
        """Open the bar."""
        self._say(self._lines.started(plan))
        self._records = plan.records
        if self._bar is None:
            self._bar = self._stack.enter_context(self._output.progress("Export", total=plan.records, unit="records"))

    def advanced(self, records: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(records, self._records)

    def cluster_done(self, cluster: int, name: str, records: int) -> None:
        """Print the line that OrientDB prints."""
        self._say(self._lines.cluster_done(cluster, name, records), cluster=name, records=records)

    def records_done(self) -> None:
        """Print what OrientDB says of the indexes."""
        self._say(self._lines.records_done())

    def finished(self) -> None:
        """Print OrientDB's last line."""
        self._say(self._lines.finished(round((time.monotonic() - self._began) * 1000)))

    def _say(self, lines: list[str], **facts: object) -> None:
        for line in lines:
            # Empty lines are for people.
            if line or not self._output.json:
                self._output.message(line, **facts)


def _show(output: Output, report: ExportReport) -> None:
    facts = asdict(report) | {"file": str(report.file.absolute())}
    summary = (
        f"{report.records:,} records as of log index {report.index}, "
        f"{amount(report.bytes_out, binary=True)}, in {report.file}"
    )
    notes = [f"Note: {note}." for note in report.notes]
    output.result(facts, "\n".join([summary, *notes]))
