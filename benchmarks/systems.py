"""The two systems behind one face: start three members, load, read, snapshot, restore."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from benchmarks.etcd.client import EtcdClient
from benchmarks.etcd.cluster import EtcdCluster
from benchmarks.records import CLASS, DATABASE, body, key
from quiesce import RID, AsyncClient, Backups
from quiesce.records import create, update
from quiesce.v1 import database_pb2
from quiesce.v1.backup_pb2 import SnapshotSummary
from tests.scenarios.cluster import Cluster

BATCH = 100
TIMEOUT_S = 30.0


class System(Protocol):
    """A running cluster with an open client."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def write_batch(self, numbers: Sequence[int]) -> None:
        """Write these records as one transaction."""

    async def write(self, number: int) -> None:
        """Write one record."""

    async def read(self, number: int) -> None:
        """Read one record that was written by `write_batch`, linearizably."""

    async def snapshot(self) -> int:
        """Take a snapshot to disk; return the bytes that it wrote."""

    def leader_pid(self) -> int | None:
        """Return the process of the leader, for a profiler; None where it is not Python."""

    def server_pids(self) -> Sequence[int]:
        """Return the processes of the cluster."""


class QuiesceSystem:
    """Three nodes and a coordinator."""

    def __init__(self, directory: Path) -> None:
        self.cluster = Cluster(directory)
        self._stack = AsyncExitStack()
        self._rids: dict[int, RID] = {}

    async def __aenter__(self) -> Self:
        try:
            return await self._open()
        except BaseException:
            await self._stack.aclose()
            raise

    async def _open(self) -> Self:
        self._stack.callback(self.cluster.stop)
        await asyncio.to_thread(self.cluster.start)
        self.client = await self._stack.enter_async_context(AsyncClient(self.cluster.addresses, timeout_s=TIMEOUT_S))
        self.backups = await self._stack.enter_async_context(Backups(self.cluster.coordinator_address))
        await self.client.create_database(DATABASE)
        await self.client.alter_schema(
            DATABASE, [database_pb2.SchemaChange(create_class=database_pb2.ClassDefinition(name=CLASS))]
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def write_batch(self, numbers: Sequence[int]) -> None:
        operations = [create(body(number), class_name=CLASS) for number in numbers]
        answer = await self.client.write(DATABASE, operations)
        for number, record in zip(numbers, answer.written, strict=True):
            self._rids[number] = RID(record.cluster, record.position)

    async def write(self, number: int) -> None:
        await self.client.write(DATABASE, [create(body(number), class_name=CLASS)])

    async def change(self, numbers: Sequence[int], salt: int) -> None:
        """Give records another content, in batches."""
        for start in range(0, len(numbers), BATCH):
            some = numbers[start : start + BATCH]
            await self.client.write(DATABASE, [update(self._rids[number], body(number, salt)) for number in some])

    async def read(self, number: int) -> None:
        found = await self.client.get(DATABASE, [self._rids[number]])
        assert len(found) == 1

    def rid(self, number: int) -> RID:
        """Return the id of a record that was written in a batch."""
        return self._rids[number]

    async def take_snapshot(self) -> SnapshotSummary:
        """Take a snapshot; return what the repository says of it."""
        snapshot_id = ""
        async for progress in self.backups.create():
            snapshot_id = progress.job.snapshot_id or snapshot_id
        return (await self.backups.show(snapshot_id)).summary

    async def snapshot(self) -> int:
        return (await self.take_snapshot()).bytes_uploaded

    def leader_pid(self) -> int | None:
        return self.cluster.nodes[self.cluster.leader()].pid

    def server_pids(self) -> Sequence[int]:
        return [daemon.pid for daemon in [*self.cluster.nodes.values(), self.cluster.coordinator]]


class EtcdSystem:
    """Three members."""

    def __init__(self, directory: Path) -> None:
        self.cluster = EtcdCluster(directory)
        self._directory = directory
        self._stack = AsyncExitStack()

    @property
    def snapshot_path(self) -> Path:
        return self._directory / "snapshot.db"

    async def __aenter__(self) -> Self:
        self._stack.enter_context(self.cluster)
        client = EtcdClient(self.cluster.addresses, self.cluster.leader_address())
        self.client = await self._stack.enter_async_context(client)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def write_batch(self, numbers: Sequence[int]) -> None:
        await self.client.put_all([(key(number), body(number)) for number in numbers])

    async def write(self, number: int) -> None:
        await self.client.put(key(number), body(number))

    async def read(self, number: int) -> None:
        await self.client.get(key(number), number)

    async def snapshot(self) -> int:
        return await self.client.save_snapshot(self.snapshot_path)

    def leader_pid(self) -> int | None:
        return None

    def server_pids(self) -> Sequence[int]:
        return self.cluster.pids


SYSTEMS: dict[str, type[QuiesceSystem] | type[EtcdSystem]] = {"quiesce": QuiesceSystem, "etcd": EtcdSystem}
