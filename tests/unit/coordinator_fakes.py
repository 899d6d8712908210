"""A cluster in memory, for the coordinator's tests: leases, checkpoints, a database, and failures on demand."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from coordinator_fake_documents import FakeDocuments

from coordinator.job import Policy
from coordinator.jobs import Identifiers
from quiesce import errors
from quiesce.latency import Latencies
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
from quiesce.v1 import node_pb2
from quiesce.v1.attest_pb2 import AttestProgress, AttestRequest
from quiesce.v1.latency_pb2 import ClientLatencyResponse
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


class FakeCluster(FakeDocuments):
    """Three nodes; the first leads. `fail[name]` holds errors that calls of that name raise, one after another."""

    def __init__(self) -> None:
        super().__init__()
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
        # Workers that fail, counted from 1.
        self.fail_at: dict[int, errors.QuiesceError] = {}
        # The worker's pace: a snapshot waits for it before its last answer.
        self.worker_may_end = asyncio.Event()
        self.worker_may_end.set()
        self.worker_stopped = 0
        # While it waits it reads all the time.
        self.worker_reads_on = False
        # By node: the content id of what it holds, where it is not that of nothing.
        self.held: dict[int, str] = {}
        self.attester_fails: dict[int, errors.QuiesceError] = {}
        self.attester_may_end = {node: asyncio.Event() for node in (1, 2, 3)}
        for event in self.attester_may_end.values():
            event.set()
        # What clients wait on any node for a write, in microseconds, as many times a second; the latter 0: none.
        self.write_us, self.writes = 1_000, 0
        # What workers were told, by node: the epoch, the fence and the rate.
        self.rates: dict[int, list[tuple[int, int, int]]] = {node: [] for node in (1, 2, 3)}

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
        self.rates[node_id].append((request.epoch, 0, request.rate_limit))
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
        self.rates[node_id].append((request.epoch, request.fence, request.rate_limit))
        try:
            for done in range(3):
                yield node_pb2.SnapshotProgress(phase=node_pb2.SnapshotProgress.PHASE_UPLOADING, pages_done=done)
            for read in itertools.count():
                if not self.worker_reads_on or self.worker_may_end.is_set():
                    break
                yield node_pb2.SnapshotProgress(pages_done=3, bytes_read=read * 10**9)
                await asyncio.sleep(0.005)
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

    async def client_latency(self, node_id: int, *, since: int = 0, timeout_s: float = 2.0) -> ClientLatencyResponse:
        self._called("client_latency")
        second = since + 1
        writes = Latencies({self.write_us: self.writes} if self.writes else {})
        return ClientLatencyResponse(second=second, seconds=1, writes=writes.message())

    async def set_worker_rate(
        self, node_id: int, epoch: int, rate_limit: int, *, fence: int = 0, timeout_s: float = 2.0
    ) -> int:
        self._called("set_worker_rate")
        self._held_by(epoch, fence)
        self.rates[node_id].append((epoch, fence, rate_limit))
        return 1

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


async def until(condition: Callable[[], Any], seconds: float = 8.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 — any condition, with nobody to set an event
            await asyncio.sleep(0.01)


def new_repository(path: Path) -> str:
    return open_repository(path / "repository", create=True).location
