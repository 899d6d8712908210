"""Whom a founding node has met, and what that proves about its directory."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable
from pathlib import Path

from nodes.identity import fsync_directory
from quiesce.errors import DamagedStore, DirectoryLost, disk_failed
from quiesce.snapshot import MalformedObject
from quiesce.snapshot.sealed import seal, unseal

FILE_NAME = "founding"


def begin_meeting(directory: Path) -> None:
    """Mark a new directory as that of a node that has met nobody and promised nothing yet; raises DiskFailed."""
    _write(directory, ())


class Meeting:
    """One founding node's view: it may take part when it has heard from every other founder.

    A founder takes part only when all others have answered it, and who answers first writes down for whom. So another
    that takes part already, and is not written down here, was answered from a directory that is no more.
    """

    def __init__(self, directory: Path, *, node_id: int, cluster_id: str, founders: Collection[int]) -> None:
        self._directory = directory
        self._node_id = node_id
        self._cluster_id = cluster_id
        self._answered = set(_read(directory))
        self._ended = False
        # Answers are written by the threads of calls; one after the end must not bring the file back.
        self._lock = threading.Lock()
        # Who has not been heard from since this process began.
        self.missing = set(founders) - {node_id}

    def answer(self, asking: int) -> bool:
        """Note, durably, that `asking` is answered, and return the answer: whether this node takes part. Any thread.

        Raises:
            DiskFailed: it could not be brought to disk; no answer must leave.
        """
        with self._lock:
            if not self._ended and asking not in self._answered:
                _write(self._directory, self._answered | {asking})
                self._answered.add(asking)
            return self._ended

    def hear(self, founder: int, *, founded: bool) -> None:
        """Take the answer of another founder, and whether it takes part already.

        Raises:
            DirectoryLost: then this node must have taken part as well, with another directory.
        """
        if founded and founder not in self._answered:
            raise DirectoryLost(
                node_id=self._node_id, cluster_id=self._cluster_id, witness=founder, path=self._directory
            )
        self.missing.discard(founder)

    def end(self) -> None:
        """Note that this node has met all of them: from here on its directory counts. Raises DiskFailed."""
        with self._lock:
            try:
                (self._directory / FILE_NAME).unlink()
                fsync_directory(self._directory)
            except OSError as error:
                raise disk_failed("remove", self._directory / FILE_NAME, error) from error
            self._ended = True


def is_founding(directory: Path) -> bool:
    """Return whether the node of a directory has yet to meet the others."""
    return (directory / FILE_NAME).exists()


def check_meeting(directory: Path) -> None:
    """Check what is written down of the meeting, if the node has yet to meet the others; raises as reading it."""
    if is_founding(directory):
        _read(directory)


def _read(directory: Path) -> list[int]:
    path = directory / FILE_NAME
    try:
        return [int(node) for node in unseal(path.read_bytes())["answered"]]
    except OSError as error:
        raise disk_failed("read", path, error) from error
    except (MalformedObject, ValueError, KeyError, TypeError) as error:
        raise DamagedStore(path=path, detail=f"{type(error).__name__}: {error}") from error


def _write(directory: Path, answered: Iterable[int]) -> None:
    path, part = directory / FILE_NAME, directory / f"{FILE_NAME}.part"
    try:
        with part.open("wb") as file:
            file.write(seal({"answered": sorted(answered)}))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        fsync_directory(directory)
    except OSError as error:
        raise disk_failed("write", path, error) from error
