"""What a coordinator does at its start with the jobs that one before it has left running."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import structlog

from coordinator import cluster
from coordinator.cluster import Nodes
from coordinator.documents import Entry
from coordinator.job import Failure, Verdict, owner_of
from coordinator.journal import Journal
from coordinator.record import JobRecord
from coordinator.snapshots import Snapshots
from quiesce.errors import BackupFailed, QuiesceError, StaleVersion, UnknownRecord

log = structlog.get_logger()

# A repository that hangs must not hold up the start for ever.
REPOSITORY_S = 15.0
CHECKPOINT_S = 2.0
_RESTARTED = (
    "the coordinator was restarted while the job ran; its replica is back in rotation. "
    "Nothing was published: run the backup again, and it uploads only what is missing"
)
_UNCERTAIN = (
    "the coordinator was restarted while the job ran, and the repository cannot be asked ({why}). "
    "`quiesce snapshots` shows whether the snapshot was published; if not, run the backup again"
)


async def recover(
    journal: Journal, nodes: Nodes, snapshots: Snapshots, entries: Sequence[Entry[JobRecord]], now_ms: Callable[[], int]
) -> None:
    """Bring every job that is still called running to its end: give its lease back, and say what became of it.

    Raises:
        QuiesceError: the cluster cannot be reached; to be called again.
    """
    left = [entry for entry in entries if entry.value.running]
    if not left:
        return
    held = await cluster.lease_held(nodes)
    for entry in left:
        record = entry.value
        if held is not None and held.owner == owner_of(record.id):
            await nodes.undrain(held.epoch)
            with contextlib.suppress(QuiesceError, TimeoutError):
                async with asyncio.timeout(CHECKPOINT_S):
                    await nodes.drop_checkpoint(held.node_id, held.epoch)
        ended = await _ended(record, snapshots, now_ms())
        log.warning("a job was left by an earlier coordinator", job=record.id, step=record.step, state=ended.state)
        try:
            await journal.advance(entry, ended)
        except (StaleVersion, UnknownRecord):
            # Another coordinator was faster.
            continue


async def _ended(record: JobRecord, snapshots: Snapshots, now_ms: int) -> JobRecord:
    now_ms = max(now_ms, record.started_ms)
    try:
        async with asyncio.timeout(REPOSITORY_S):
            published = bool(record.snapshot_id) and await snapshots.exists(record.repository, record.snapshot_id)
    except (QuiesceError, TimeoutError) as error:
        why = error.message() if isinstance(error, QuiesceError) else f"it did not answer within {REPOSITORY_S:g} s"
        return _failed(record, now_ms, _UNCERTAIN.format(why=why))
    if published:
        text = f"the coordinator was restarted after snapshot {record.snapshot_id} was published"
        return record.ended(Verdict.SUCCEEDED, None, now_ms, text)
    return _failed(record, now_ms, _RESTARTED)


def _failed(record: JobRecord, now_ms: int, detail: str) -> JobRecord:
    failure = Failure.of(BackupFailed(step=record.step, detail=detail))
    return record.ended(Verdict.FAILED, failure, now_ms, detail)
