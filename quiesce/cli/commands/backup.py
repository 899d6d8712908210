"""quiesce backup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import click

from quiesce.cli.jobs import Follower, job_facts, node_list
from quiesce.cli.options import BUDGET, DURATION, SIZE, coordinator_option, repository_there
from quiesce.cli.output import Output, pass_output
from quiesce.cli.snapshot_text import details, summary_facts
from quiesce.client import BlockingBackups
from quiesce.errors import NodesDiverged, Unavailable
from quiesce.v1.backup_pb2 import BackupCandidate, JobProgress


@click.command(name="backup")
@click.option("--repository", default="", metavar="DIR", help="Where to; otherwise the coordinator's own.")
@click.option("--node", "node_id", type=click.IntRange(min=1), help="Which replica; otherwise the coordinator chooses.")
@click.option("--database", "databases", multiple=True, metavar="NAME", help="Only this one; may be given again.")
@click.option("--lease", type=DURATION, help="How long the replica may stay out should everything die, like 60s.")
@click.option("--rate-limit", type=SIZE, help="The most bytes read a second, like 50M.")
@click.option("--latency-budget", type=BUDGET, help="What clients may wait, in 99 calls of 100, like 50ms.")
@click.option("--dry-run", is_flag=True, help="Only say which replica would be taken, and why.")
@click.option("--detach", is_flag=True, help="Do not wait for the end; see it with `quiesce jobs watch`.")
@coordinator_option
@pass_output
def command(
    output: Output,
    repository: str,
    node_id: int | None,
    databases: tuple[str, ...],
    lease: int | None,
    rate_limit: int | None,
    latency_budget: int | None,
    dry_run: bool,
    detach: bool,
    coordinator: str,
) -> None:
    """Take a snapshot of one replica while the others serve.

    The replica leaves rotation, is backed up as of one mark in the log, and comes back. Ctrl-C leaves the backup
    running; `quiesce jobs` shows it.
    """
    with BlockingBackups(coordinator) as backups:
        if dry_run:
            preview(output, backups, databases, node_id or 0)
            return
        answers = backups.create(
            repository=repository_there(repository),
            databases=databases,
            node_id=node_id or 0,
            lease_ms=lease or 0,
            rate_limit=rate_limit or 0,
            latency_budget_ms=latency_budget or 0,
        )
        if detach:
            job = next(answers).job
            output.result(job_facts(job), f"Backup {job.id} is running. Follow it with: quiesce jobs watch {job.id}")
            return
        follow(output, backups, answers)


def preview(output: Output, backups: BlockingBackups, databases: Sequence[str], node_id: int) -> None:
    """Show which replica would be taken, and why."""
    found = backups.preview(databases=databases, node_id=node_id)
    rows = [(one.node_id, "taken" if number == 0 else _place(one), one.why) for number, one in enumerate(found)]
    facts = [{"node_id": one.node_id, "eligible": one.eligible, "leads": one.leads, "why": one.why} for one in found]
    output.table([">node", "would be", "because it"], rows, {"node_id": found[0].node_id, "candidates": facts})


def _place(candidate: BackupCandidate) -> str:
    return "next" if candidate.eligible else "left out"


def follow(output: Output, backups: BlockingBackups, answers: Iterator[JobProgress]) -> None:
    """Show a job until its end, and then its snapshot.

    Raises:
        NodesDiverged: the snapshot is published, and a node did not hold what it holds.
    """
    follower = Follower(output)
    try:
        with ExitStack() as stack:
            for answer in answers:
                follower.show(answer, stack)
    except KeyboardInterrupt:
        if follower.job.id:
            output.message(f"The backup goes on. Follow it with: quiesce jobs watch {follower.job.id}")
        raise
    except Unavailable:
        if follower.job.id:
            output.message(f"The coordinator has gone. See, when it is back: quiesce jobs watch {follower.job.id}")
        raise
    job = follower.job
    found = backups.show(job.snapshot_id, repository=job.repository)
    output.result({**job_facts(job), "snapshot": summary_facts(found.summary)}, details(found.summary))
    if job.diverged_nodes:
        raise NodesDiverged(snapshot_id=job.snapshot_id, nodes=node_list(job))
