"""Restores a snapshot into the nodes of a new cluster, all of them at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from quiesce.errors import InvalidRequest, NotAwaitingRestore, QuiesceError
from quiesce.v1.node_pb2 import (
    SERVING_STATE_AWAITING_RESTORE,
    Member,
    NodeStatus,
    RestoreNodeRequest,
    RestoreProgress,
)

STATUS_S = 5.0


class NewNodes(Protocol):
    """The part of `quiesce.client.Admin` that a restore needs."""

    async def status(self, node: int | str, *, timeout_s: float | None = None) -> NodeStatus:
        """See `Admin.status`."""
        ...

    def restore_node(
        self, address: str, request: RestoreNodeRequest, *, idle_s: float = ...
    ) -> AsyncIterator[RestoreProgress]:
        """See `Admin.restore_node`."""
        ...


def check_members(members: Sequence[Member]) -> None:
    """Check who is to form the new cluster.

    Raises:
        InvalidRequest: nobody, or someone twice.
    """
    if not members:
        raise InvalidRequest(detail="a restore needs at least one member: the id and the address of a new node")
    for what, values in (("id", [m.node_id for m in members]), ("address", [m.address for m in members])):
        if len(set(values)) < len(values) or not all(values):
            raise InvalidRequest(detail=f"each member needs an {what} of its own, not {values}")


async def check_awaiting(nodes: NewNodes, members: Sequence[Member]) -> None:
    """See that every member waits for a restore, before the first one is touched.

    Raises:
        NotAwaitingRestore: one holds data.
        InvalidRequest: one has another id than it was given here.
        Unavailable: one does not answer.
    """

    async def check(member: Member) -> None:
        status = await nodes.status(member.address, timeout_s=STATUS_S)
        if status.serving != SERVING_STATE_AWAITING_RESTORE:
            raise NotAwaitingRestore(node_id=status.node_id, address=member.address)
        if status.node_id != member.node_id:
            detail = f"the node at {member.address} has the id {status.node_id}, not {member.node_id}"
            raise InvalidRequest(detail=detail)

    await asyncio.gather(*(check(member) for member in members))


async def restore(nodes: NewNodes, request: RestoreNodeRequest, *, idle_s: float) -> AsyncIterator[RestoreProgress]:
    """Have all members load the snapshot, and yield how far each is; the last of each is `done`.

    A slow reader misses what lies between, never the last. Leaving the iteration stops all; so does the first failure,
    which is raised.
    """
    latest: dict[int, RestoreProgress] = {}
    changed = asyncio.Event()

    async def load(member: Member) -> None:
        done = False
        answers = nodes.restore_node(member.address, request, idle_s=idle_s)
        async with contextlib.aclosing(answers):  # type: ignore[type-var]
            async for progress in answers:
                progress.node_id = member.node_id
                done = progress.done
                latest[member.node_id] = progress
                changed.set()
        if not done:
            raise QuiesceError(detail=f"node {member.node_id} ended the restore without finishing it")

    tasks = [asyncio.create_task(load(member)) for member in request.members]
    for task in tasks:
        task.add_done_callback(lambda _: changed.set())
    try:
        while True:
            # Looked at first: what is told after this is seen in the next round.
            changed.clear()
            running = [task for task in tasks if not task.done()]
            for task in tasks:
                if task.done():
                    task.result()
            for node_id in sorted(latest):
                yield latest.pop(node_id)
            if not running:
                return
            await changed.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
