"""Restores a snapshot into the directories of a whole new cluster, without any daemon running."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from nodes.data_directory import DataDirectory
from nodes.identity import fsync_directory
from nodes.restore.node import RestoreReport, become_member, restore_into
from quiesce.cli.up.layout import CLUSTER_FILE, LOCK_FILE, Layout, locked, write_layout
from quiesce.errors import DirectoryNotEmpty, disk_failed
from quiesce.repository import Repository
from quiesce.v1.node_pb2 import RestoreProgress

# There from before the first node until after the cluster file: what it stands beside is of no use to anybody.
_UNFINISHED = "restore.unfinished"
_HARMLESS = frozenset(("lost+found", LOCK_FILE))


def restore_cluster(
    directory: Path,
    repository: Repository,
    snapshot_id: str,
    layout: Layout,
    progress: Callable[[RestoreProgress], None] | None = None,
) -> RestoreReport:
    """Make `directory` that of a new cluster: `node-<id>` for each member, and last the file that `quiesce up` reads.

    The snapshot is loaded and proven once, and its store copied to the other nodes: a copy takes a fraction of the
    time of a load, and equal files are equal content. Copies, not hard links: one bad sector must cost one replica.

    Raises:
        DirectoryNotEmpty: there is something in the directory that no unfinished restore has left.
        DirectoryInUse: another process restores into it, or runs it.
        Everything that `nodes.restore.restore_into` raises; then nothing is left of the restore.
    """
    existed = directory.exists()
    with locked(directory):
        _begin(directory)
        try:
            report = _restore_nodes(directory, repository, snapshot_id, layout, progress)
            write_layout(directory, layout)
            (directory / _UNFINISHED).unlink()
            fsync_directory(directory)
        except BaseException as error:
            _remove_begun(directory)
            if not existed:
                shutil.rmtree(directory)
            if isinstance(error, OSError):
                raise disk_failed("restore", directory, error) from error
            raise
    return report


def _restore_nodes(
    directory: Path,
    repository: Repository,
    snapshot_id: str,
    layout: Layout,
    progress: Callable[[RestoreProgress], None] | None,
) -> RestoreReport:
    members, (first, *others) = layout.members, sorted(layout.members)
    loaded = DataDirectory(directory / f"node-{first}")
    report = restore_into(loaded.path, repository, snapshot_id, first, layout.cluster_id, members, progress)
    for node_id in others:
        data = DataDirectory(directory / f"node-{node_id}")
        data.path.mkdir()
        data.begin()
        copy_durably(loaded.store, data.store)
        become_member(data, report.manifest, node_id, layout.cluster_id, members)
    return report


def _begin(directory: Path) -> None:
    names = {entry.name for entry in directory.iterdir()} - _HARMLESS
    # With the cluster file the nodes are whole, even where the marker could not be removed any more.
    if names and (_UNFINISHED not in names or CLUSTER_FILE in names):
        raise DirectoryNotEmpty(path=directory)
    (directory / _UNFINISHED).touch()
    fsync_directory(directory)
    _remove_nodes(directory)


def _remove_begun(directory: Path) -> None:
    # The cluster file first: without it, and with the marker, whoever comes next throws the rest away.
    (directory / CLUSTER_FILE).unlink(missing_ok=True)
    _remove_nodes(directory)
    (directory / _UNFINISHED).unlink(missing_ok=True)
    fsync_directory(directory)


def _remove_nodes(directory: Path) -> None:
    for begun in directory.glob("node-*"):
        shutil.rmtree(begun)


def copy_durably(source: Path, target: Path) -> None:
    """Copy a directory of files, and bring the copy to disk; raises OSError."""
    for directory, _, files in os.walk(source):
        there = target / Path(directory).relative_to(source)
        there.mkdir()
        for name in files:
            shutil.copyfile(Path(directory) / name, there / name)
            descriptor = os.open(there / name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        fsync_directory(there)
    fsync_directory(target.parent)
