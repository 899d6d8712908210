"""A cluster in memory, for the coordinator's tests: leases, checkpoints, a database, and failures on demand."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from coordinator.job import Policy
from coordinator.jobs import Identifiers
from quiesce import errors
from quiesce.records import RID, Record
from quiesce.repository import open_repository
from quiesce.snapshot import (
    Manifest,
    ManifestMark,
    PageTable,
    TableSummary,
    Totals,
    content_id,
    encode_manifest,
    new_snapshot_id,
)
from quiesce.v1 import node_pb2, record_pb2
from quiesce.v1.attest_pb2 import AttestProgress, AttestRequest
from quiesce.v1.database_pb2 import ClassDefinition, Database, SchemaChange
from quiesce.v1.node_pb2 import Mark, Member, NodeStatus, RestoreNodeRequest, RestoreProgress, RotationLease

POLICY = Policy(
    lease_ms=3_000, drain_ms=2_000, checkpoint_ms=2_000, stall_ms=2_000, recover_ms=1_500, poll_ms=50, return_ms=500
)


NOTHING = content_id(PageTable([], [], []))


def draft(repository: str, snapshot_id: str, node_id: int, epoch: int, content: str = NOTHING) -> bytes:
    """The draft of a manifest with nothing in it, whose table is in the repository."""
    table = PageTable([], [], [])
    digest, size = open_repository(repository).put_table(table)
    return encode_manifest(
        Manifest(
            snapshot_id=snapshot_id,
            cluster_id="fake",
            node_id=node_id,
            mark=ManifestMark(1, 50, 5, epoch),
            content_id=content,
            complete=True,
            databases=[],
            table=TableSummary(digest, size, 0),
            packs=[],
            totals=Totals(0, 0, 0, 0, 0, 0, 0, 0, 0),
            base=None,
            started_ms=1,
            ended_ms=2,
        )
    )


def identifiers(name: str = "one") -> Identifiers:
    numbers = itertools.count(1)
    seed = sum(name.encode()) << 12
    return Identifiers(
        job=lambda: f"job-{name}-{next(numbers)}",
        snapshot=lambda: new_snapshot_id(1_795_000_000_000, seed + next(numbers)),
    )


class FakeCluster:
    """Three nodes; the first leads. `fail[name]` holds errors that calls of that name raise, one after another."""

    def __init__(self) -> None:
        self.leader = 1
        self.down: set[int] = set()
        # They answer, but the leader has not heard of them; as often as they are asked for.
        self.unheard: set[int] = set()
        self.unheard_for = 0
        self.lease: RotationLease | None = None
        self.epoch = 100
        self.checkpoints: dict[int, set[int]] = {}
        # So many marks find that the node died between them and the checkpoint.
        self.dies_at_mark = 0
        self.drained: list[int] = []
        self.fail: dict[str, list[errors.QuiesceError]] = {}
        # Workers that fail, counted from 1.
        self.fail_at: dict[int, errors.QuiesceError] = {}
        self.calls: list[str] = []
        # The worker's pace: a snapshot waits for it before its last answer.
        self.worker_may_end = asyncio.Event()
        self.worker_may_end.set()
        self.worker_stopped = 0
        # By node: the content id of what it holds, where it is not that of nothing.
        self.held: dict[int, str] = {}
        self.attester_fails: dict[int, errors.QuiesceError] = {}
        self.attester_may_end = {node: asyncio.Event() for node in (1, 2, 3)}
        for event in self.attester_may_end.values():
            event.set()
        self.databases: dict[str, Database] = {}
        self.documents: dict[RID, Record] = {}
        self.positions = 0
        # By class: the field whose values are unique.
        self.unique: dict[str, str] = {}

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.fail.get(name):
            raise self.fail[name].pop(0)

    def _held(self) -> RotationLease | None:
        if self.lease is not None and self.lease.expires_ms <= self.log_time():
            self.lease = None
        return self.lease

    @staticmethod
    def log_time() -> int:
        return int(time.monotonic() * 1000)

    # --- nodes

    def _status(self, node_id: int) -> NodeStatus:
        held = self._held()
        out = held is not None and held.node_id == node_id
        status = NodeStatus(
            node_id=node_id,
            cluster_id="fake",
            role=node_pb2.NODE_ROLE_LEADER if node_id == self.leader else node_pb2.NODE_ROLE_FOLLOWER,
            serving=node_pb2.SERVING_STATE_DRAINED if out else node_pb2.SERVING_STATE_SERVING,
            leader_id=self.leader,
            commit_index=1_000,
            applied_index=1_000,
            log_time_ms=self.log_time(),
            lease=held,
            members=self._members(),
            checkpoints=[e for e, nodes in self.checkpoints.items() if node_id in nodes],
            history=[node_pb2.StateChange(state=node_pb2.SERVING_STATE_SERVING, at_ms=1, reason="caught up")],
        )
        if out:
            status.history.add(
                state=node_pb2.SERVING_STATE_DRAINED,
                at_ms=time.time_ns() // 1_000_000,
                reason=held.owner if held else "",
            )
        return status

    def _members(self) -> list[Member]:
        return [
            Member(node_id=n, address=f"n:{n}", match_index=1_000, active=n not in self.down | self.unheard)
            for n in (1, 2, 3)
        ]

    async def status(self, node: int | str, *, timeout_s: float | None = None) -> NodeStatus:
        self._called("status")
        if node in self.down:
            raise errors.Unavailable(addresses=f"n:{node}", seconds=timeout_s, detail="down")
        return self._status(int(node))

    async def statuses(self, *, timeout_s: float = 2.0) -> list[tuple[Member, NodeStatus | errors.QuiesceError]]:
        self._called("statuses")
        self.unheard_for -= 1
        if self.unheard_for < 0:
            self.unheard = set()
        down = errors.Unavailable(addresses="n", seconds=1, detail="down")
        return [(m, down if m.node_id in self.down else self._status(m.node_id)) for m in self._members()]

    async def drain(self, node_id: int, owner: str, reason: str, ttl_ms: int) -> RotationLease:
        self._called("drain")
        if held := self._held():
            raise errors.RotationHeld(node_id=held.node_id, owner=held.owner, reason=held.reason, expires="soon")
        self.epoch += 1
        now = self.log_time()
        self.lease = RotationLease(
            node_id=node_id, owner=owner, reason=reason, acquired_ms=now, expires_ms=now + ttl_ms, epoch=self.epoch
        )
        self.drained.append(node_id)
        return self.lease

    def _held_by(self, epoch: int, fence: int) -> RotationLease:
        held = self._held()
        if held is None or held.epoch != epoch or (fence or epoch) != (held.fence or epoch):
            raise errors.LeaseLost(epoch=epoch)
        return held

    async def renew_drain(self, epoch: int, ttl_ms: int, *, fence: int = 0) -> RotationLease:
        self._called("renew_drain")
        held = self._held_by(epoch, fence)
        held.expires_ms = self.log_time() + ttl_ms
        return held

    async def move_drain(self, epoch: int, node_id: int, ttl_ms: int, *, fence: int = 0) -> RotationLease:
        self._called("move_drain")
        held = self._held_by(epoch, fence)
        held.node_id, held.expires_ms = node_id, self.log_time() + ttl_ms
        self.drained.append(node_id)
        return held

    async def prepare_mark(self, node_id: int) -> None:
        self._called("prepare_mark")

    async def attest(
        self, node_id: int, request: AttestRequest, *, idle_s: float = 60.0
    ) -> AsyncIterator[AttestProgress]:
        self._called("attest")
        for done in range(3):
            yield AttestProgress(pages_done=done, pages_total=3)
        await self.attester_may_end[node_id].wait()
        if error := self.attester_fails.get(node_id):
            raise error
        yield AttestProgress(pages_done=3, pages_total=3, content_id=self.held.get(node_id, NOTHING))

    async def take_over_drain(self, epoch: int, ttl_ms: int, owner: str) -> RotationLease:
        self._called("take_over_drain")
        held = self._held()
        if held is None or held.epoch != epoch:
            raise errors.LeaseLost(epoch=epoch)
        self.epoch += 1
        held.owner, held.fence, held.expires_ms = owner, self.epoch, self.log_time() + ttl_ms
        return held

    async def undrain(self, epoch: int, *, fence: int = 0) -> None:
        self._called("undrain")
        if self.lease is not None and self.lease.epoch == epoch:
            self._held_by(epoch, fence)
            self.lease = None

    async def checkpoint(self, epoch: int, *, fence: int = 0, attest: bool = False) -> Mark:
        self._called("checkpoint")
        held = self._held_by(epoch, fence)
        keep = {1, 2, 3} if attest else {held.node_id}
        if self.dies_at_mark:
            self.dies_at_mark -= 1
            keep.discard(held.node_id)
        self.checkpoints[epoch] = keep
        return Mark(term=1, index=50, time_ms=5, epoch=epoch)

    async def take_snapshot(
        self, node_id: int, request: node_pb2.TakeSnapshotRequest, *, idle_s: float = 60.0
    ) -> AsyncIterator[node_pb2.SnapshotProgress]:
        self._called("take_snapshot")
        try:
            for done in range(3):
                yield node_pb2.SnapshotProgress(phase=node_pb2.SnapshotProgress.PHASE_UPLOADING, pages_done=done)
            await self.worker_may_end.wait()
            self._called("worker")
            if error := self.fail_at.get(self.calls.count("worker")):
                raise error
            content = self.held.get(node_id, NOTHING)
            manifest = draft(request.repository, request.snapshot_id, node_id, request.epoch, content)
            yield node_pb2.SnapshotProgress(phase=node_pb2.SnapshotProgress.PHASE_DONE, manifest_draft=manifest)
        finally:
            self.worker_stopped += 1

    async def drop_checkpoint(self, node_id: int, epoch: int, *, fence: int = 0) -> None:
        self._called("drop_checkpoint")
        self.checkpoints.pop(epoch, None)

    async def transfer_leadership(self, to_node_id: int = 0) -> int:
        self._called("transfer_leadership")
        self.leader = to_node_id or next(n for n in (1, 2, 3) if n != self.leader)
        self.unheard, self.unheard_for = {1, 2, 3} - {self.leader}, 2
        return self.leader

    async def restore_node(
        self, address: str, request: RestoreNodeRequest, *, idle_s: float = 60.0
    ) -> AsyncIterator[RestoreProgress]:
        raise NotImplementedError
        yield RestoreProgress()

    # --- documents

    async def database(self, name: str) -> Database:
        self._called("database")
        if name not in self.databases:
            raise errors.UnknownDatabase(database=name)
        return self.databases[name]

    async def create_database(self, name: str, *, importing: bool = False) -> Database:
        self._called("create_database")
        if name in self.databases:
            raise errors.DatabaseExists(database=name)
        self.databases[name] = Database(name=name)
        return self.databases[name]

    async def alter_schema(self, name: str, changes: Sequence[SchemaChange]) -> Database:
        self._called("alter_schema")
        database = self.databases[name]
        for change in changes:
            if change.HasField("create_class"):
                if any(known.name == change.create_class.name for known in database.classes):
                    raise errors.InvalidSchemaChange(database=name, detail="the class exists")
                database.classes.append(ClassDefinition(name=change.create_class.name))
            elif change.HasField("create_index"):
                self.unique[change.create_index.class_name] = change.create_index.fields[0].name
        return database

    async def write(
        self, database: str, operations: Sequence[record_pb2.Operation], *, timeout_s: float | None = None
    ) -> record_pb2.WriteResponse:
        self._called("write")
        if database not in self.databases:
            raise errors.UnknownDatabase(database=database)
        before = dict(self.documents)
        try:
            written = [self._write(operation) for operation in operations]
        except errors.QuiesceError:
            self.documents = before
            raise
        self._called("write_answer")
        return record_pb2.WriteResponse(index=1, written=written)

    def _write(self, operation: record_pb2.Operation) -> record_pb2.Record:
        match operation.WhichOneof("operation"):
            case "create":
                self._check_unique(operation.create)
                rid, version, body = RID(9, self.positions), 1, operation.create.body
                self.positions += 1
            case "update":
                rid, body = RID(operation.update.cluster, operation.update.position), operation.update.body
                version = self._expect(rid, operation.update) + 1
            case _:
                rid = RID(operation.delete.cluster, operation.delete.position)
                version, body = self._expect(rid, operation.delete), b""
        message = record_pb2.Record(
            cluster=rid.cluster, position=rid.position, version=version, kind=record_pb2.RECORD_KIND_DOCUMENT, body=body
        )
        if body:
            self.documents[rid] = Record.of(message)
        else:
            del self.documents[rid]
        return message

    def _check_unique(self, create: record_pb2.Create) -> None:
        key = self.unique.get(create.class_name)
        if key is None:
            return
        value = json.loads(create.body)[key]
        for rid, record in self.documents.items():
            known = record.document()
            if known.get("@class") == create.class_name and known.get(key) == value:
                raise errors.DuplicateKey(index=f"{create.class_name}.{key}", key=value, rid=rid, other=rid)

    def _expect(self, rid: RID, change: record_pb2.Update | record_pb2.Delete) -> int:
        if rid not in self.documents:
            raise errors.UnknownRecord(rid=rid)
        version = self.documents[rid].version
        if change.HasField("expected_version") and version != change.expected_version:
            raise errors.StaleVersion(rid=rid, actual=version, expected=change.expected_version)
        return version

    async def get(
        self, database: str, ids: Iterable[RID], *, stale: bool = False, timeout_s: float | None = None
    ) -> dict[RID, Record]:
        self._called("get")
        return {rid: self.documents[rid] for rid in ids if rid in self.documents}

    async def scan(self, database: str, *, class_name: str | None = None) -> AsyncIterator[record_pb2.ScanResponse]:
        self._called("scan")
        found = [
            record_pb2.Record(
                cluster=rid.cluster, position=rid.position, version=r.version, kind=int(r.kind), body=r.body
            )
            for rid, r in self.documents.items()
            if class_name is None or r.document().get("@class") == class_name
        ]
        yield record_pb2.ScanResponse(index=1, records=found)


async def until(condition: Callable[[], Any], seconds: float = 8.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 — any condition, with nobody to set an event
            await asyncio.sleep(0.01)


def new_repository(path: Path) -> str:
    return open_repository(path / "repository", create=True).location
