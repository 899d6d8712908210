"""quiesce jobs."""

from __future__ import annotations

import click

from quiesce.cli.commands.backup import follow
from quiesce.cli.jobs import job_facts, job_text, state_name, trouble
from quiesce.cli.options import TIMEOUT_S, coordinator_option
from quiesce.cli.output import Output, pass_output
from quiesce.cli.units import time_text
from quiesce.client import BlockingBackups


@click.group(name="jobs", invoke_without_command=True)
@coordinator_option
@click.pass_context
def command(ctx: click.Context, coordinator: str) -> None:
    """List, show, watch and cancel backups. Without a subcommand: list."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_jobs, coordinator=coordinator, limit=20)


@command.command(name="list")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="The most that are shown.")
@coordinator_option
@pass_output
def list_jobs(output: Output, limit: int, coordinator: str) -> None:
    """List the backups, the latest first."""
    with BlockingBackups(coordinator, timeout_s=TIMEOUT_S) as backups:
        jobs = backups.jobs(limit=limit)
    rows = [
        [job.id, state_name(job), job.step, job.node_id or "-", time_text(job.started_ms), trouble(job) or "-"]
        for job in jobs
    ]
    columns = ("id", "state", "step", "node", "started", "error")
    output.table(columns, rows, {"jobs": [job_facts(job) for job in jobs]})


@command.command()
@click.argument("job_id")
@coordinator_option
@pass_output
def show(output: Output, job_id: str, coordinator: str) -> None:
    """Show a backup: how it stands, and each of its steps with its time."""
    with BlockingBackups(coordinator, timeout_s=TIMEOUT_S) as backups:
        job = backups.show_job(job_id)
    output.result(job_facts(job), job_text(job))


@command.command()
@click.argument("job_id")
@coordinator_option
@pass_output
def watch(output: Output, job_id: str, coordinator: str) -> None:
    """Follow a backup to its end."""
    with BlockingBackups(coordinator, timeout_s=TIMEOUT_S) as backups:
        follow(output, backups, backups.watch(job_id))


@command.command()
@click.argument("job_id")
@coordinator_option
@pass_output
def cancel(output: Output, job_id: str, coordinator: str) -> None:
    """Stop a backup; its replica goes back into rotation."""
    with BlockingBackups(coordinator) as backups:
        job = backups.cancel(job_id)
    output.result(job_facts(job), f"Backup {job.id}: {state_name(job)}.")
