"""A cluster of one that lives for one drill: a real node in a child process, in a directory of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol, TypeVar

from coordinator.child import Child, free_port
from coordinator.drills.model import Checked, Request, Restored, Step, Subject
from coordinator.drills.scratch import Scratch
from coordinator.restore import check_awaiting, restore
from quiesce.cli.units import amount
from quiesce.client import AsyncClient
from quiesce.client.direct import never_sent
from quiesce.errors import (
    AddressInUse,
    DamagedLog,
    DamagedStore,
    DeadlineExceeded,
    DrillFailed,
    NoRoomForDrill,
    Unavailable,
)
from quiesce.v1.node_pb2 import Member, RestoreNodeRequest, RestoreProgress

Result = TypeVar("Result")
# Done and in all, of what the step counts.
Advance = Callable[[int, int], None]

SYSTEM = "system"
# What is kept free for others on the disk, and what a node takes that holds nothing.
RESERVE_BYTES = 64 << 20
_EMPTY_NODE_BYTES = 64 << 20
# A store holds each record once, and beside it what its indexes make of it.
_STORE_TIMES = 2
_NODE_ID = 1
_POLL_S = 0.1
_PORTS_TRIED = 3
_LAST_MOMENT_S = 1.0
_EXAMINED = (0, DamagedLog.exit_code, DamagedStore.exit_code)


class Cluster(Protocol):
    """What a drill does to its throw-away cluster, step by step; each raises QuiesceError."""

    async def start(self, subject: Subject) -> None:
        """Start a node that waits for a snapshot.

        Raises:
            NoRoomForDrill: the snapshot would not fit.
        """

    async def restore(self, subject: Subject, advance: Advance) -> Restored:
        """Have it load the snapshot; DamagedObject where a byte of that was changed."""

    async def count(self) -> dict[str, int]:
        """Wait until it serves, and return its records by database."""

    async def stop(self) -> None:
        """Have it end in good order."""

    async def check(self, advance: Advance) -> Checked:
        """Examine its directory."""

    async def clean(self) -> None:
        """Leave nothing of it, whatever it was about; may be called at any time, and again."""


class ThrowawayCluster:
    """See Cluster. `idle_s` is the longest silence of the node while it restores."""

    def __init__(self, request: Request, scratch: Scratch, *, idle_s: float) -> None:
        self._request = request
        self._scratch = scratch
        self._idle_s = idle_s
        self._directory: Path | None = None
        self._address = ""
        self._children: list[Child] = []
        self._subject: Subject | None = None
        self._unfinished: set[asyncio.Task[Any]] = set()

    async def start(self, subject: Subject) -> None:
        """See Cluster."""
        self._subject = subject
        needed = subject.bytes_raw * _STORE_TIMES + _EMPTY_NODE_BYTES + RESERVE_BYTES
        free = await asyncio.to_thread(self._scratch.free)
        if free < needed:
            raise NoRoomForDrill(
                snapshot_id=subject.snapshot_id,
                path=self._scratch.path,
                needed=amount(needed, binary=True),
                free=amount(free, binary=True),
            )
        await self._to_its_end(asyncio.to_thread(self._new_directory))
        for left in reversed(range(_PORTS_TRIED)):
            self._address = f"127.0.0.1:{free_port()}"
            node = await self._start(
                Step.START,
                *("node", "--await-restore", "--node-id", str(_NODE_ID), "--listen", self._address),
                *("--data", str(self._data), "--disk-reserve", str(RESERVE_BYTES), "--log-format", "json"),
            )
            code = await self._until_awaiting(node)
            if code is None:
                return
            if code != AddressInUse.exit_code or not left:
                raise self._ended(Step.START, node, code)
            self._children.remove(node)

    async def restore(self, subject: Subject, advance: Advance) -> Restored:
        """See Cluster."""
        wanted = RestoreNodeRequest(
            repository=self._request.repository,
            snapshot_id=subject.snapshot_id,
            cluster_id=uuid.uuid4().hex,
            members=[Member(node_id=_NODE_ID, address=self._address)],
        )

        async def load() -> Restored:
            last = RestoreProgress()
            async with (
                AsyncClient([self._address]) as client,
                contextlib.aclosing(restore(client.admin, wanted, idle_s=self._idle_s)) as progresses,  # type: ignore[type-var]
            ):
                async for last in progresses:
                    advance(last.pages_done, last.pages_total)
            return Restored(records=last.records, index_entries=last.index_entries)

        async def load_once_connected() -> Restored:
            while True:
                try:
                    return await load()
                except Unavailable as error:
                    # gRPC remembers attempts from before the node listened; the step has its own deadline.
                    if not never_sent(error):
                        raise
                await asyncio.sleep(_POLL_S)

        return await self._while_alive(Step.RESTORE, load_once_connected())

    async def count(self) -> dict[str, int]:
        """See Cluster."""

        async def ask() -> dict[str, int]:
            # It has to start anew with what it has loaded, and to elect itself; the step has its own deadline.
            async with AsyncClient([self._address], timeout_s=self._idle_s) as client:
                databases = await client.list_databases(all=True)
            return {
                database.name: sum(cluster.records for cluster in database.clusters)
                for database in databases
                if database.name != SYSTEM
            }

        return await self._while_alive(Step.COUNT, ask())

    async def stop(self) -> None:
        """See Cluster."""
        node = self._children[-1]
        node.terminate()
        code = await node.wait()
        if code != 0:
            raise self._ended(Step.STOP, node, code)

    async def check(self, advance: Advance) -> Checked:
        """See Cluster."""
        child = await self._start(Step.CHECK, "check", str(self._data), "--extent", "--output", "json", read=True)
        facts: dict[str, Any] = {}
        async for line in child.lines():
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                if said.get("type") == "progress":
                    advance(said["done"], said["total"] or 0)
                elif said.get("type") == "result":
                    facts = said
        code = await child.wait()
        if code not in _EXAMINED or not facts:
            raise self._ended(Step.CHECK, child, code)
        return _checked(facts)

    async def clean(self) -> None:
        """See Cluster."""
        await asyncio.gather(*self._unfinished, return_exceptions=True)
        for child in self._children:
            with contextlib.suppress(TimeoutError):
                await child.kill()
        if self._directory is not None:
            await asyncio.to_thread(self._scratch.remove, self._directory)

    def _new_directory(self) -> None:
        self._directory = self._scratch.new()

    @property
    def _data(self) -> Path:
        assert self._directory is not None, "not started"  # noqa: S101
        return self._directory / "node"

    async def _start(self, step: Step, *arguments: str, read: bool = False) -> Child:
        assert self._directory is not None, "not started"  # noqa: S101
        log = self._directory / f"{arguments[0]}.log"

        async def start() -> Child:
            assert self._directory is not None, "not started"  # noqa: S101
            child = await Child.start(arguments, directory=self._directory, log=log, read=read)
            self._children.append(child)
            return child

        try:
            return await self._to_its_end(start())
        except OSError as error:
            raise self._failed(step, f"{arguments[0]} cannot be started: {error}") from error

    async def _to_its_end(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Wait for what is not cancelled in the middle: a directory or a process that nobody knows of would stay."""
        task = asyncio.ensure_future(work)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        return await asyncio.shield(task)

    async def _until_awaiting(self, node: Child) -> int | None:
        """Wait until a node awaits a snapshot; return its exit code where it ended instead."""
        ended = asyncio.ensure_future(node.wait())
        try:
            async with AsyncClient([self._address]) as client:
                while not ended.done():
                    with contextlib.suppress(Unavailable, DeadlineExceeded):
                        await check_awaiting(client.admin, [Member(node_id=_NODE_ID, address=self._address)])
                        return None
                    await asyncio.wait([ended], timeout=_POLL_S)
            return ended.result()
        finally:
            ended.cancel()

    async def _while_alive(self, step: Step, work: Coroutine[Any, Any, Result]) -> Result:
        """Return what `work` returns, unless the node ends before."""
        node = self._children[-1]
        ended, working = asyncio.ensure_future(node.wait()), asyncio.ensure_future(work)
        try:
            await asyncio.wait([ended, working], return_when=asyncio.FIRST_COMPLETED)
            if working.done() and isinstance(working.exception(), Unavailable):
                # The connection ends a moment before the process is known to have.
                await asyncio.wait([ended], timeout=_LAST_MOMENT_S)
            if ended.done() and (not working.done() or working.exception() is not None):
                raise self._ended(step, node, ended.result())
            return working.result()
        finally:
            for task in (ended, working):
                task.cancel()
            await asyncio.gather(ended, working, return_exceptions=True)

    def _ended(self, step: Step, child: Child, code: int) -> DrillFailed:
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        return self._failed(step, f"its process {how}; its last words: {child.last_words()}")

    def _failed(self, step: Step, detail: str) -> DrillFailed:
        return DrillFailed(
            drill_id=self._request.drill_id,
            snapshot_id=self._subject.snapshot_id if self._subject else self._request.snapshot_id,
            repository=self._request.repository,
            step=step.value,
            detail=detail.rstrip("."),
        )


def _checked(facts: dict[str, Any]) -> Checked:
    extent = facts["extent"] or {"content_id": "", "databases": []}
    first = next(iter(facts["findings"]), None)
    return Checked(
        content_id=extent["content_id"],
        records={one["name"]: one["records"] for one in extent["databases"]},
        links=sum(one["links"] for one in extent["databases"]),
        dangling_links=sum(one["dangling_links"] for one in extent["databases"]),
        finding=f"{first['where']}: {first['detail']}" if first else "",
        findings=facts["findings_count"],
    )
