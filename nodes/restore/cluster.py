"""Restores a snapshot into the directories of a whole new cluster, without any daemon running."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from nodes.data_directory import DataDirectory
from nodes.identity import fsync_directory
from nodes.restore.node import RestoreReport, become_member, restore_into
from quiesce.errors import DirectoryInUse, DirectoryNotEmpty, DiskFailed
from quiesce.repository import Repository
from quiesce.v1.node_pb2 import RestoreProgress

# What `quiesce up` reads; its presence says that all nodes are whole.
CLUSTER_FILE = "cluster.json"
_UNFINISHED = "restore.unfinished"
_HARMLESS = frozenset(("lost+found",))


def restore_cluster(
    directory: Path,
    repository: Repository,
    snapshot_id: str,
    cluster_id: str,
    members: Mapping[int, str],
    coordinator: str,
    progress: Callable[[RestoreProgress], None] | None = None,
) -> RestoreReport:
    """Make `directory` that of a new cluster: `node-<id>` for each member, and last the file that `quiesce up` reads.

    The snapshot is loaded and proven once, and its store copied to the other nodes: a copy takes a fraction of the
    time of a load, and equal files are equal content. Copies, not hard links: one bad sector must cost one replica.

    Raises:
        DirectoryNotEmpty: there is something in the directory that no unfinished restore has left.
        Everything that `nodes.restore.restore_into` raises; then nothing is left of the restore.
    """
    existed = directory.exists()
    lock = _begin(directory)
    try:
        first, *others = sorted(members)
        report = restore_into(_node(directory, first), repository, snapshot_id, first, cluster_id, members, progress)
        for node_id in others:
            data = DataDirectory(_node(directory, node_id))
            data.path.mkdir()
            data.begin()
            copy_durably(_node(directory, first) / "store", data.store)
            become_member(data, report.manifest, node_id, cluster_id, members)
        _write_cluster_file(directory, cluster_id, members, coordinator)
    except BaseException:
        _remove_begun(directory)
        if not existed:
            directory.rmdir()
        raise
    finally:
        os.close(lock)
    return report


def _node(directory: Path, node_id: int) -> Path:
    return directory / f"node-{node_id}"


def _begin(directory: Path) -> int:
    """Mark the directory as being restored into; return the lock, which is held until it is closed."""
    marker = directory / _UNFINISHED
    try:
        directory.mkdir(parents=True, exist_ok=True)
        names = {entry.name for entry in directory.iterdir()} - _HARMLESS
        # With the cluster file the nodes are whole, even where the marker could not be removed any more.
        if names and (marker.name not in names or CLUSTER_FILE in names):
            raise DirectoryNotEmpty(path=directory)
        lock = os.open(marker, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise DiskFailed(operation="create", path=directory, detail=error.strerror or error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise DirectoryInUse(path=directory, lock=marker) from error
    fsync_directory(directory)
    _remove_nodes(directory)
    return lock


def _remove_begun(directory: Path) -> None:
    _remove_nodes(directory)
    (directory / _UNFINISHED).unlink(missing_ok=True)
    fsync_directory(directory)


def _remove_nodes(directory: Path) -> None:
    for begun in directory.glob("node-*"):
        shutil.rmtree(begun)
    (directory / f"{CLUSTER_FILE}.part").unlink(missing_ok=True)


def copy_durably(source: Path, target: Path) -> None:
    """Copy a directory of files, and bring the copy to disk.

    Raises:
        DiskFailed: the disk refused.
    """
    try:
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
    except OSError as error:
        raise DiskFailed(operation="copy the store to", path=target, detail=error.strerror or error) from error


def _write_cluster_file(directory: Path, cluster_id: str, members: Mapping[int, str], coordinator: str) -> None:
    path, part = directory / CLUSTER_FILE, directory / f"{CLUSTER_FILE}.part"
    content = {
        "cluster_id": cluster_id,
        "members": {str(node): address for node, address in sorted(members.items())},
        "coordinator": coordinator,
    }
    try:
        with part.open("wb") as file:
            file.write(json.dumps(content, indent=2).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        (directory / _UNFINISHED).unlink()
        fsync_directory(directory)
    except OSError as error:
        raise DiskFailed(operation="write", path=path, detail=error.strerror or error) from error
