"""What the coordinator sees of a cluster, and waits for in it, through the client library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from coordinator.job.choosing import Held, Replica, Survey
from quiesce.errors import NoCheckpoint, NoLeader, QuiesceError
from quiesce.v1.attest_pb2 import AttestProgress, AttestRequest
from quiesce.v1.latency_pb2 import ClientLatencyResponse
from quiesce.v1.node_pb2 import (
    NODE_ROLE_LEADER,
    SERVING_STATE_CATCHING_UP,
    SERVING_STATE_DRAINED,
    SERVING_STATE_SERVING,
    Mark,
    Member,
    NodeStatus,
    RotationLease,
    ServingState,
    SnapshotProgress,
    TakeSnapshotRequest,
)

POLL_S = 0.1
# A node may be out of reach for a moment without being gone.
PATIENCE_S = 3.0


class Nodes(Protocol):
    """The part of `quiesce.client.Admin` that a backup needs."""

    async def status(self, node: int | str, *, timeout_s: float | None = None) -> NodeStatus:
        """See `Admin.status`."""
        ...

    async def statuses(self, *, timeout_s: float = 2.0) -> list[tuple[Member, NodeStatus | QuiesceError]]:
        """See `Admin.statuses`."""
        ...

    async def drain(self, node_id: int, owner: str, reason: str, ttl_ms: int) -> RotationLease:
        """See `Admin.drain`."""
        ...

    async def renew_drain(self, epoch: int, ttl_ms: int, *, fence: int = 0) -> RotationLease:
        """See `Admin.renew_drain`."""
        ...

    async def move_drain(self, epoch: int, node_id: int, ttl_ms: int, *, fence: int = 0) -> RotationLease:
        """See `Admin.move_drain`."""
        ...

    async def take_over_drain(self, epoch: int, ttl_ms: int, owner: str) -> RotationLease:
        """See `Admin.take_over_drain`."""
        ...

    async def undrain(self, epoch: int, *, fence: int = 0) -> None:
        """See `Admin.undrain`."""
        ...

    async def prepare_mark(self, node_id: int) -> None:
        """See `Admin.prepare_mark`."""
        ...

    async def checkpoint(self, epoch: int, *, fence: int = 0, attest: bool = ...) -> Mark:
        """See `Admin.checkpoint`."""
        ...

    def attest(self, node_id: int, request: AttestRequest, *, idle_s: float = ...) -> AsyncIterator[AttestProgress]:
        """See `Admin.attest`."""
        ...

    def take_snapshot(
        self, node_id: int, request: TakeSnapshotRequest, *, idle_s: float = ...
    ) -> AsyncIterator[SnapshotProgress]:
        """See `Admin.take_snapshot`."""
        ...

    async def drop_checkpoint(self, node_id: int, epoch: int, *, fence: int = 0) -> None:
        """See `Admin.drop_checkpoint`."""
        ...

    async def client_latency(self, node_id: int, *, since: int = 0, timeout_s: float = ...) -> ClientLatencyResponse:
        """See `Admin.client_latency`."""
        ...

    async def set_worker_rate(
        self, node_id: int, epoch: int, rate_limit: int, *, fence: int = 0, timeout_s: float = ...
    ) -> int:
        """See `Admin.set_worker_rate`."""
        ...

    async def transfer_leadership(self, to_node_id: int = 0) -> int:
        """See `Admin.transfer_leadership`."""
        ...


async def survey(nodes: Nodes) -> Survey:
    """Look at every node.

    Raises:
        Unavailable: no node answers.
        NoLeader: none of those that answer leads.
    """
    answers = await nodes.statuses()
    statuses = {member.node_id: answer for member, answer in answers}
    leader = leader_of(answers)
    # A learner is never taken out of rotation, and may lag as far as it likes.
    voters = [member for member in leader.members if not member.learner]
    replicas = tuple(_replica(member, statuses.get(member.node_id), leader) for member in voters)
    return Survey(leader.cluster_id, leader.node_id, replicas, held(leader))


def leader_of(answers: list[tuple[Member, NodeStatus | QuiesceError]]) -> NodeStatus:
    """Return the state of the node that leads; of two that think so, the one of the later term does."""
    found = [answer for _, answer in answers if isinstance(answer, NodeStatus) and answer.role == NODE_ROLE_LEADER]
    if found:
        return max(found, key=lambda status: status.term)
    errors = [answer for _, answer in answers if isinstance(answer, QuiesceError)]
    if errors and len(errors) == len(answers):
        raise errors[0]
    raise NoLeader


def _replica(member: Member, answer: NodeStatus | QuiesceError | None, leader: NodeStatus) -> Replica:
    leads = member.node_id == leader.node_id
    healthy = serving = passing = False
    if not isinstance(answer, NodeStatus):
        detail = f"does not answer ({answer.fields.get('detail', answer.reason())})" if answer else "is not known yet"
    elif not leads and member.HasField("active") and not member.active:
        detail, passing = "answers, but the leader does not hear of it", True
    else:
        healthy, serving = True, answer.serving == SERVING_STATE_SERVING
        passing = answer.serving == SERVING_STATE_CATCHING_UP
        detail = f"is {ServingState.Name(answer.serving).removeprefix('SERVING_STATE_')}"
    match_index = leader.commit_index if leads or not member.HasField("match_index") else member.match_index
    tags = _tags(answer)
    return Replica(member.node_id, healthy, serving, match_index, tags.backup_priority, tags.nobackup, passing, detail)


def _tags(answer: NodeStatus | QuiesceError | None) -> Member:
    # Each node knows its own only.
    members = answer.members if isinstance(answer, NodeStatus) else ()
    return next((m for m in members if isinstance(answer, NodeStatus) and m.node_id == answer.node_id), Member())


def held(status: NodeStatus) -> Held | None:
    """Return the lease that a node knows of, unless its time is over."""
    lease = status.lease
    if not status.HasField("lease") or lease.expires_ms <= status.log_time_ms:
        return None
    return Held(lease.node_id, lease.owner, lease.reason, lease.expires_ms, lease.epoch, lease.fence)


async def lease_held(nodes: Nodes) -> Held | None:
    """Return the lease as the leader knows it."""
    return held(leader_of(await nodes.statuses()))


async def await_drained(nodes: Nodes, node_id: int, epoch: int) -> NodeStatus:
    """Wait until a node answers no client any more, under the lease of `epoch`."""

    def drained(status: NodeStatus) -> bool:
        return status.serving == SERVING_STATE_DRAINED and status.lease.epoch == epoch

    return await _await_status(nodes, node_id, drained)


async def await_checkpoint(nodes: Nodes, node_id: int, epoch: int, index: int) -> NodeStatus:
    """Wait until a node has the checkpoint of an epoch, whose mark is at `index`.

    Raises:
        NoCheckpoint: it has applied the mark and took none: it died in between, or got a later state from another.
    """

    def taken(status: NodeStatus) -> bool:
        if epoch in status.checkpoints:
            return True
        if status.applied_index >= index:
            raise NoCheckpoint(node_id=node_id, epoch=epoch)
        return False

    return await _await_status(nodes, node_id, taken)


async def await_serving(nodes: Nodes, node_id: int) -> NodeStatus:
    """Wait until a node answers clients again."""
    return await _await_status(nodes, node_id, lambda status: status.serving == SERVING_STATE_SERVING)


async def _await_status(nodes: Nodes, node_id: int, reached: Callable[[NodeStatus], bool]) -> NodeStatus:
    loop = asyncio.get_running_loop()
    answered_at = loop.time()
    # Whoever waits sets the deadline, by cancelling; and renews the lease, which shows when that has ended.
    while True:
        try:
            status = await nodes.status(node_id, timeout_s=PATIENCE_S)
        except QuiesceError as error:
            if (not error.retryable and error.exit_code >= 18) or loop.time() - answered_at >= PATIENCE_S:
                raise
        else:
            answered_at = loop.time()
            if reached(status):
                return status
        await asyncio.sleep(POLL_S)
