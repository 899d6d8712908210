"""quiesce snapshots: through the coordinator, or in a repository alone."""

from __future__ import annotations

import click
import msgspec

from quiesce.cli.commands import keeping
from quiesce.cli.commands.keeping import source_options
from quiesce.cli.impact_text import impact_lines
from quiesce.cli.options import TIMEOUT_S
from quiesce.cli.output import Output, Progress, pass_output
from quiesce.cli.snapshot_text import COLUMNS, attestation_line, details, row, summary_facts
from quiesce.client import BlockingBackups
from quiesce.errors import DamagedObject
from quiesce.repository import Repository, VerifyStep, open_repository, verify_snapshot
from quiesce.repository.pins import held
from quiesce.repository.summary import summarise, summarise_all


@click.group(name="snapshots", invoke_without_command=True)
@source_options
@click.pass_context
def command(ctx: click.Context, repository: str | None, coordinator: str) -> None:
    """List, show, verify, keep and remove snapshots. Without a subcommand: list."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_snapshots, repository=repository, coordinator=coordinator)
    elif repository is not None:
        raise click.UsageError(f"--repository belongs behind the subcommand: snapshots {ctx.invoked_subcommand} …")


@command.command(name="list")
@source_options
@pass_output
def list_snapshots(output: Output, repository: str | None, coordinator: str) -> None:
    """List the snapshots, the oldest first."""
    damages: list[DamagedObject] = []
    if repository is not None:
        summaries = summarise_all(open_repository(repository), damages.append, damages.append)
    else:
        with BlockingBackups(coordinator, timeout_s=TIMEOUT_S) as backups:
            summaries = backups.list()
    output.table(COLUMNS, map(row, summaries), {"snapshots": [summary_facts(summary) for summary in summaries]})
    # What is damaged is said after what is whole, and makes the command fail.
    for damage in damages[1:]:
        output.error(damage)
    if damages:
        raise damages[0]


@command.command()
@click.argument("snapshot_id")
@source_options
@pass_output
def show(output: Output, snapshot_id: str, repository: str | None, coordinator: str) -> None:
    """Show one snapshot; `latest` is the newest."""
    if repository is not None:
        opened = open_repository(repository)
        manifest = opened.find(snapshot_id)
        [summary], facts = summarise(opened, [manifest]), msgspec.to_builtins(manifest)
    else:
        with BlockingBackups(coordinator, timeout_s=TIMEOUT_S) as backups:
            found = backups.show(snapshot_id)
        summary, facts = found.summary, msgspec.json.decode(found.manifest)
    # Where an older version wrote it, there are none.
    clients = impact_lines((facts["impact"] or {}).get("clients"))
    lines = [f"{f'{name.capitalize()}:':<12}{text}" for name, text in clients.items()]
    text = "\n".join([details(summary), attestation_line(summary.content_id, facts["attestations"]), *lines])
    output.result({**summary_facts(summary), "manifest": facts}, text)


@command.command()
@click.argument("snapshot_id")
@source_options
@pass_output
def verify(output: Output, snapshot_id: str, repository: str | None, coordinator: str) -> None:
    """Read every object of a snapshot and check it; `latest` is the newest."""
    with output.progress("Verify", unit="pages") as bar:
        if repository is not None:
            pages, read = _verify_here(open_repository(repository), snapshot_id, bar)
        else:
            pages, read = _verify_there(coordinator, snapshot_id, bar)
    facts = {"id": snapshot_id, "pages": pages, "bytes_read": read, "whole": True}
    output.result(facts, f"Snapshot {snapshot_id} is whole: {pages:,} pages checked, {read:,} bytes read.")


for _further in keeping.COMMANDS:
    command.add_command(_further)


def _verify_here(repository: Repository, snapshot_id: str, bar: Progress) -> tuple[int, int]:
    def advance(step: VerifyStep) -> None:
        bar.update(step.pages_done, step.pages_total)

    found = repository.find(snapshot_id).snapshot_id
    # A copy that takes no writes can be checked all the same.
    with held(repository, found, "it is being checked", unprotected=lambda _: None):
        report = verify_snapshot(repository, found, advance)
    return report.segments, report.bytes_read


def _verify_there(coordinator: str, snapshot_id: str, bar: Progress) -> tuple[int, int]:
    pages = read = 0
    with BlockingBackups(coordinator, timeout_s=TIMEOUT_S) as backups:
        for step in backups.verify(snapshot_id):
            bar.update(step.pages_done, step.pages_total)
            pages, read = step.pages_total, step.bytes_read
    return pages, read
