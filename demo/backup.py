"""One backup through the coordinator's gRPC service, with its progress on the terminal."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from demo.running import Cluster
from quiesce import AsyncClient, Backups
from quiesce.v1 import backup_pb2, node_pb2


@dataclass(frozen=True)
class Backup:
    """What is known of a backup that succeeded; times in Unix seconds."""

    snapshot_id: str
    content_id: str
    node_id: int
    leader_id: int
    mark_term: int
    mark_index: int
    started: float
    ended: float


def clock(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]


async def take_backup(cluster: Cluster, console: Console, *, node_id: int) -> Backup:
    """Take a backup of `node_id`, 0 for whichever the coordinator chooses, and show how it goes."""
    started = time.time()
    async with (
        Backups(cluster.coordinator) as backups,
        AsyncClient(cluster.addresses.split(",")) as client,
    ):
        job = await _follow(backups, node_id, console)
        status = await _back_in_rotation(client, job.node_id)
        ended = time.time()
        leader = (await client.admin.members()).leader_id
        details = await backups.show(job.snapshot_id)
    for change in status.history:
        if change.at_ms >= started * 1000:
            name = node_pb2.ServingState.Name(change.state).removeprefix("SERVING_STATE_").lower()
            console.print(f"  {clock(change.at_ms)}  node {job.node_id} {name:<12} {change.reason}")
    summary = details.summary
    console.print(
        f"  snapshot {summary.id} of node {job.node_id}: {summary.records} records, {summary.pages} pages,"
        f" {summary.pages_uploaded} uploaded, {summary.bytes_uploaded / 1e6:.1f} MB; content {summary.content_id[:16]}"
    )
    return Backup(
        summary.id, summary.content_id, job.node_id, leader, summary.mark.term, summary.mark.index, started, ended
    )


async def _follow(backups: Backups, node_id: int, console: Console) -> backup_pb2.Job:
    job = backup_pb2.Job()
    columns = (
        TextColumn("  {task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("pages"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("backup", total=None)
        async for update in backups.create(node_id=node_id):
            job = update.job
            progress.update(bar, description=f"node {job.node_id}: {job.step}")
            if update.HasField("snapshot"):
                done = update.snapshot
                progress.update(bar, total=done.pages_total, completed=done.pages_done)
    return job


async def _back_in_rotation(client: AsyncClient, node_id: int) -> node_pb2.NodeStatus:
    deadline = time.monotonic() + 30
    while True:
        status = await client.admin.status(node_id)
        if status.serving == node_pb2.SERVING_STATE_SERVING or time.monotonic() > deadline:
            return status
        await asyncio.sleep(0.05)
