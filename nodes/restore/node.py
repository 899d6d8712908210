"""Restores a snapshot into the data directory of one node."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from nodes.consensus import INDEX_STEP, initialise_log
from nodes.data_directory import DataDirectory
from nodes.identity import Identity, write_identity
from nodes.restore.load import SnapshotLoad
from nodes.restore.proof import content_id_of
from nodes.store import CheckpointReader, Store, StoreLoader
from quiesce.errors import DamagedStore, QuiesceError, disk_failed
from quiesce.repository import Repository, open_repository
from quiesce.repository.pins import held
from quiesce.snapshot import Manifest
from quiesce.v1.node_pb2 import RestoreProgress

_log = structlog.get_logger("restore")


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What was restored, and from where the new cluster's log goes on."""

    manifest: Manifest
    index: int
    term: int
    records: int
    index_entries: int
    bytes_read: int


def restore_into(
    data_directory: Path,
    repository: Repository | str | Path,
    snapshot_id: str,
    node_id: int,
    cluster_id: str,
    members: Mapping[int, str],
    progress: Callable[[RestoreProgress], None] | None = None,
) -> RestoreReport:
    """Make `data_directory` that of node `node_id` of a new cluster which holds exactly the snapshot.

    The caller holds the lock of the directory. `snapshot_id` may be `latest`. `progress` is told after every segment
    and may raise to stop. Until the end a crash leaves a directory that no daemon takes for a node; a failure
    leaves an empty one.

    Raises:
        DirectoryNotEmpty: there is something in the directory.
        UnknownSnapshot, RepositoryUnusable: there is no such snapshot.
        DamagedObject: a byte of the snapshot was changed.
        DamagedStore: what was written does not read back as the snapshot.
        DiskFailed: the node's disk refused.
    """
    opened = repository if isinstance(repository, Repository) else open_repository(repository)
    manifest = opened.find(snapshot_id)
    data = DataDirectory(data_directory)
    try:
        data_directory.mkdir(parents=True, exist_ok=True)
        data.begin()
        try:
            with held(opened, manifest.snapshot_id, f"node {node_id} loads it", unprotected=_unprotected):
                report = load_store(data, opened, manifest, node_id, progress)
            become_member(data, manifest, node_id, cluster_id, members)
        except BaseException:
            # As it was: nothing in it, and not marked as begun.
            data.begin()
            data.finished()
            raise
    except OSError as error:
        raise disk_failed("restore", data_directory, error) from error
    return report


def _unprotected(error: QuiesceError) -> None:
    _log.warning("the snapshot is read without a pin", error=error.message())


def load_store(
    data: DataDirectory,
    repository: Repository,
    manifest: Manifest,
    node_id: int,
    progress: Callable[[RestoreProgress], None] | None,
) -> RestoreReport:
    """Build the store of a snapshot in a new directory, read it back, and compare. Raises what restore_into does."""
    index, term = manifest.mark.index + INDEX_STEP, manifest.mark.term + 1
    load = SnapshotLoad(repository, manifest, progress)
    load.progress.node_id = node_id
    loader = StoreLoader(data.store)
    try:
        load.run(loader)
        load.index_entries(loader.finish(index, term, load.index_entries))
    except BaseException as error:
        # The loader lets go of its files once nobody holds it any more; the frames of a traceback would.
        del loader
        traceback.clear_frames(error.__traceback__)
        raise
    found = _content_id(data)
    if found != manifest.content_id:
        raise DamagedStore(
            path=data.store, detail=f"its content id is {found}, the snapshot's is {manifest.content_id}"
        )
    load.progress.done = True
    if progress is not None:
        progress(load.progress)
    done = load.progress
    return RestoreReport(manifest, index, term, done.records, done.index_entries, done.bytes_read)


def _content_id(data: DataDirectory) -> str:
    """Read a store as a backup of it would, and return its content id."""
    checkpoint = data.checkpoints / "proof"
    data.checkpoints.mkdir()
    store = Store(data.store)
    try:
        store.checkpoint(checkpoint)
    finally:
        store.close()
    with CheckpointReader(checkpoint) as reader:
        found = content_id_of(reader)
    shutil.rmtree(data.checkpoints)
    return found


def become_member(
    data: DataDirectory, manifest: Manifest, node_id: int, cluster_id: str, members: Mapping[int, str]
) -> None:
    """Give a loaded store its log and, last, its identity: only then it is a node."""
    initialise_log(data.raft, index=manifest.mark.index + INDEX_STEP, term=manifest.mark.term + 1, voters=list(members))
    write_identity(data.path, Identity(node_id, cluster_id, members, members))
    data.finished()
