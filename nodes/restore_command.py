"""`quiesce restore`: a snapshot becomes a new cluster, in directories of this machine or in nodes that wait for it."""

from __future__ import annotations

from pathlib import Path

import click

from nodes.members import format_members, parse_members
from quiesce.cli.options import TIMEOUT_S
from quiesce.cli.output import Output, Progress, pass_output
from quiesce.errors import InvalidConfiguration
from quiesce.v1.node_pb2 import RestoreProgress


@click.command()
@click.argument("snapshot_id", metavar="SNAPSHOT")
@click.option("--repository", metavar="DIR", help="Where the snapshot is. Default: the coordinator's.")
@click.option("--data", type=click.Path(path_type=Path), help="New directory; `quiesce up --data` starts it.")
@click.option("--nodes", "count", type=click.IntRange(1, 9), default=3, show_default=True, help="With --data.")
@click.option("--host", default="127.0.0.1", show_default=True, help="With --data: where the nodes will listen.")
@click.option(
    "--first-port",
    type=click.IntRange(1, 65_525),
    default=7100,
    show_default=True,
    help="With --data: the coordinator's port; the nodes' follow it.",
)
@click.option("--coordinator", metavar="HOST:PORT", envvar="QUIESCE_COORDINATOR", help="With --member.")
@click.option("--member", "members", multiple=True, metavar="ID=HOST:PORT", help="A node started to be restored.")
@pass_output
def restore(
    output: Output,
    snapshot_id: str,
    repository: str | None,
    data: Path | None,
    count: int,
    host: str,
    first_port: int,
    coordinator: str | None,
    members: tuple[str, ...],
) -> None:
    """Restore SNAPSHOT, or the `latest` one, into a new cluster.

    Either into directories here, with --repository and --data; `quiesce up` then starts them. Or into nodes that
    were started with --await-restore, with --member for each of them; the coordinator then has them load it.
    """
    if bool(data) == bool(members):
        raise click.UsageError("give either --data, or --member for each node that waits to be restored")
    if data is not None:
        if repository is None:
            raise click.UsageError("--data needs --repository: no coordinator is asked")
        _restore_here(output, snapshot_id, repository, data.expanduser().absolute(), count, host, first_port)
    else:
        if coordinator is None:
            raise click.UsageError("--member needs --coordinator")
        _restore_there(output, snapshot_id, repository or "", coordinator, _members(members))


def _members(members: tuple[str, ...]) -> dict[int, str]:
    try:
        return parse_members("--member", ",".join(members))
    except InvalidConfiguration as error:
        raise click.UsageError(error.fields["detail"]) from error


def _restore_here(
    output: Output, snapshot_id: str, repository: str, data: Path, count: int, host: str, first_port: int
) -> None:
    from nodes.restore import restore_cluster
    from quiesce.cli.up.layout import new_layout
    from quiesce.repository import open_repository

    opened = open_repository(repository)
    # Its own snapshots go to a repository of its own: what is restored may be the last good copy.
    layout = new_layout(data, host=host, first_port=first_port, nodes=count, repository="")
    with output.progress("Restore", unit="pages") as bar:

        def advance(progress: RestoreProgress) -> None:
            bar.update(progress.pages_done, progress.pages_total, records=progress.records)

        report = restore_cluster(data, opened, snapshot_id, layout, advance)
    facts = {
        "snapshot_id": report.manifest.snapshot_id,
        "content_id": report.manifest.content_id,
        "cluster_id": layout.cluster_id,
        "index": report.index,
        "term": report.term,
        "records": report.records,
        "data": str(data),
        "members": {str(node): address for node, address in layout.members.items()},
        "coordinator": layout.coordinator,
    }
    text = (
        f"Restored snapshot {report.manifest.snapshot_id}: {report.records:,} records, read back and equal to it.\n"
        f"Cluster {layout.cluster_id} of {count} nodes lies in {data}. Start it: quiesce up --data {data}"
    )
    output.result(facts, text)


def _restore_there(
    output: Output, snapshot_id: str, repository: str, coordinator: str, members: dict[int, str]
) -> None:
    from quiesce.client import BlockingBackups

    latest: dict[int, RestoreProgress] = {}
    with (
        output.progress("Restore", unit="pages") as bar,
        BlockingBackups(coordinator, timeout_s=TIMEOUT_S) as backups,
    ):
        for progress in backups.restore(snapshot_id, members, repository=repository):
            latest[progress.node_id] = progress
            _advance(bar, latest, len(members))
    records = max((progress.records for progress in latest.values()), default=0)
    facts = {"snapshot_id": snapshot_id, "records": records, "members": {str(n): a for n, a in members.items()}}
    text = f"Restored snapshot {snapshot_id}: {records:,} records on each of {format_members(members)}."
    output.result(facts, text)


def _advance(bar: Progress, latest: dict[int, RestoreProgress], count: int) -> None:
    done = sum(progress.pages_done for progress in latest.values())
    # Those that have not begun have as much before them as the others.
    total = max(progress.pages_total for progress in latest.values()) * count
    bar.update(done, total, records=min(progress.records for progress in latest.values()))
