"""quiesce orientdb diff."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from quiesce.cli.output import Output, pass_output
from quiesce.errors import ExportsDiffer
from quiesce.orientdb import Difference, Differences, compare_exports


@click.command()
@click.argument("left", type=click.Path(path_type=Path))
@click.argument("right", type=click.Path(path_type=Path))
@click.option("--ignore-versions", is_flag=True, help="Versions of records may differ; OrientDB's import changes them.")
@click.option(
    "--limit", type=click.IntRange(min=0), default=100, show_default=True, help="Show so many differences; 0: all."
)
@pass_output
def diff(output: Output, left: Path, right: Path, ignore_versions: bool, limit: int) -> None:
    """Compare two export files, record by record and definition by definition.

    Order of fields and of sets does not count; types, digits of numbers and everything else does. The files may be
    of any size, from any engine. What the engine keeps for itself in its own clusters is left out.
    """
    shown = 0

    def show(difference: Difference) -> None:
        nonlocal shown
        if limit == 0 or shown < limit:
            shown += 1
            output.item("difference", asdict(difference), str(difference))

    found = compare_exports(left, right, versions=not ignore_versions, found=Differences(each=show))
    facts = {"equal_records": found.equal_records, "differences": found.count, "by_what": found.by_what}
    text = f"{found.equal_records:,} records are equal; {found.count:,} differences"
    if found.count > shown:
        text += f", of which {shown:,} are shown"
    output.result(facts, f"{text}.")
    if found:
        raise ExportsDiffer(left=left, right=right, count=found.count)
