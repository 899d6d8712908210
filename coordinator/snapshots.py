"""Repositories as the coordinator uses them: each call on a thread of its own, since file systems may hang."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog

from coordinator.threads import RepositoryThreads
from quiesce.errors import (
    DamagedObject,
    InvalidRequest,
    LeaseLost,
    QuiesceError,
    RepositoryFull,
    RepositoryUnusable,
    UnknownSnapshot,
)
from quiesce.repository import Repository, VerifyStep, open_repository, verify_snapshot
from quiesce.repository.drills import DrillRecord, put_drill
from quiesce.repository.pins import held
from quiesce.repository.summary import summarise, summarise_all
from quiesce.snapshot import Manifest, decode_manifest
from quiesce.snapshot.malformed import MalformedObject
from quiesce.v1 import backup_pb2

log = structlog.get_logger()
Result = TypeVar("Result")
# A manifest and a little more: a repository with less room is not worth draining a node for.
PROBE_BYTES = 1 << 20


class Snapshots:
    """What lies in repositories."""

    def __init__(self, threads: RepositoryThreads) -> None:
        self._threads = threads

    async def check_writable(self, location: str) -> None:
        """See that a repository takes writes; it is made where there is none.

        Raises:
            RepositoryUnusable, RepositoryFull: it does not.
        """
        await self._threads.run(location, lambda: _probe(open_repository(repository_path(location), create=True)))

    async def publish(
        self,
        location: str,
        draft: bytes,
        epoch: int,
        impact: Mapping[str, Any],
        attestations: Mapping[int, str],
        policy: str = "",
    ) -> None:
        """Put the manifest into the repository, made from a worker's draft; `policy` is whose run it was.

        Raises:
            LeaseLost: the draft was made under another epoch.
            SnapshotExists, SnapshotObjectGone, RepositoryFull, RepositoryUnusable: it was not published.
        """

        def publish() -> None:
            manifest = _drafted(draft)
            if manifest.mark.epoch != epoch:
                raise LeaseLost(epoch=manifest.mark.epoch)
            said = {str(node): content_id for node, content_id in attestations.items()}
            open_repository(repository_path(location)).publish_manifest(
                msgspec.structs.replace(manifest, impact=dict(impact), attestations=said or None, policy=policy)
            )

        await self._threads.run(location, publish)

    async def withdraw(self, location: str, snapshot_id: str, why: str) -> bool:
        """See to it that a snapshot is never published any more; return False where it is already.

        Raises:
            RepositoryFull, RepositoryUnusable: neither is known.
        """
        return await self._read(location, lambda repository: repository.withdraw(snapshot_id, why))

    async def exists(self, location: str, snapshot_id: str) -> bool:
        """Return whether a snapshot is published."""
        try:
            await self._read(location, lambda repository: repository.read_manifest(snapshot_id))
        except UnknownSnapshot:
            return False
        return True

    async def list(self, location: str) -> list[backup_pb2.SnapshotSummary]:
        """Return the snapshots, the oldest first."""

        def warn(damage: DamagedObject) -> None:
            log.warning("a drill's record cannot be read", error=damage.message())

        return await self._read(location, lambda repository: summarise_all(repository, on_damaged_drill=warn))

    async def show(self, location: str, snapshot_id: str) -> backup_pb2.SnapshotDetails:
        """Return a snapshot with its manifest; `latest` is the newest one."""

        def show(repository: Repository) -> backup_pb2.SnapshotDetails:
            found = repository.find(snapshot_id).snapshot_id
            manifest, data = repository.read_manifest_bytes(found)
            [summary] = summarise(repository, [manifest])
            return backup_pb2.SnapshotDetails(summary=summary, manifest=data)

        return await self._read(location, show)

    async def manifest(self, location: str, snapshot_id: str) -> Manifest:
        """Return the manifest of a snapshot; `latest` is the newest one."""
        return await self._read(location, lambda repository: repository.find(snapshot_id))

    async def put_drill(self, location: str, record: DrillRecord) -> None:
        """Put what a drill has found beside its snapshot.

        Raises:
            RepositoryFull, RepositoryUnusable: it was not written.
        """
        await self._read(location, lambda repository: put_drill(repository, record))

    async def verify(self, location: str, snapshot_id: str, progress: Callable[[VerifyStep], None]) -> None:
        """Check every object of a snapshot; `progress` is called on the working thread and may raise to stop.

        Raises:
            DamagedObject: the first one that is not as it was written.
        """

        def verify(repository: Repository) -> None:
            found = repository.find(snapshot_id).snapshot_id
            with held(repository, found, "it is being checked", unprotected=_unprotected):
                verify_snapshot(repository, found, progress)

        await self._read(location, verify)

    @contextlib.asynccontextmanager
    async def held(self, location: str, snapshot_id: str, reason: str) -> AsyncIterator[None]:
        """Keep a snapshot from being removed while the block runs.

        Raises:
            UnknownSnapshot, SnapshotBeingRemoved: it cannot be kept.
        """
        pin = contextlib.ExitStack()
        entering = asyncio.ensure_future(
            self._read(
                location,
                lambda repository: pin.enter_context(held(repository, snapshot_id, reason, unprotected=_unprotected)),
            )
        )
        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError:
            # It will be there nevertheless, and must not stay.
            entering.add_done_callback(lambda _: threading.Thread(target=pin.close, daemon=True).start())
            raise
        try:
            yield
        finally:
            await self._threads.run(location, pin.close)

    async def _read(self, location: str, call: Callable[[Repository], Result]) -> Result:
        return await self._threads.run(location, lambda: call(open_repository(repository_path(location))))


def content_id_of(draft: bytes) -> str:
    """Return the content id in a worker's draft of a manifest; QuiesceError where it is not one."""
    return _drafted(draft).content_id


def _drafted(draft: bytes) -> Manifest:
    try:
        return decode_manifest(draft)
    except MalformedObject as error:
        raise QuiesceError(detail=f"the worker's draft of the manifest is not one: {error}") from error


def repository_path(location: str) -> Path:
    """Return where a repository lies; InvalidRequest where that means nothing to the nodes."""
    if not Path(location).is_absolute():
        raise InvalidRequest(detail=f"the repository {location} is not an absolute path, and nodes run elsewhere")
    return Path(location)


def _unprotected(error: QuiesceError) -> None:
    log.warning("a snapshot is read without a pin", error=error.message())


def named(snapshot_id: str) -> str:
    """Return the id in a request; InvalidRequest where there is none."""
    if not snapshot_id:
        raise InvalidRequest(detail="no snapshot is named; `latest` is the newest")
    return snapshot_id


def _probe(repository: Repository) -> None:
    # Named like the store's own parts, so that one that is left behind is cleaned up with them.
    try:
        with tempfile.NamedTemporaryFile(dir=repository.location, prefix=".probe-", suffix=".part") as file:
            file.write(b"\0" * PROBE_BYTES)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        detail = f"a trial write failed: {error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RepositoryFull(repository=repository.location, detail=detail) from error
        raise RepositoryUnusable(repository=repository.location, detail=detail) from error
