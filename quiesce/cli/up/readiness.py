"""Waits until a cluster answers."""

from __future__ import annotations

import asyncio
import contextlib

from quiesce.cli.up.layout import Layout
from quiesce.client import AsyncClient, Backups
from quiesce.errors import PeersUnreachable, QuiesceError
from quiesce.v1.node_pb2 import NodeRole, NodeStatus, ServingState

READY_WITHIN_S = 60.0
_POLL_S = 0.2


async def wait_ready(layout: Layout, *, within_s: float = READY_WITHIN_S) -> int:
    """Wait until every node serves that was not removed, and the coordinator answers; return the leader's id.

    Raises:
        PeersUnreachable: that took too long.
    """
    try:
        async with asyncio.timeout(within_s):
            leader = await _nodes_ready(layout)
            await _coordinator_ready(layout)
    except TimeoutError:
        raise PeersUnreachable(members=", ".join(layout.addresses), seconds=f"{within_s:g}") from None
    return leader


async def _nodes_ready(layout: Layout) -> int:
    async with AsyncClient(list(layout.members.values()), timeout_s=_POLL_S * 10, name="quiesce up") as client:
        while True:
            with contextlib.suppress(QuiesceError):
                statuses = [status for _, status in await client.admin.statuses()]
                serving = {s.node_id: s for s in statuses if isinstance(s, NodeStatus) and _serves(s)}
                leaders = [node for node, status in serving.items() if status.role == NodeRole.NODE_ROLE_LEADER]
                # Nodes come and go: some of those that this machine began with may have been removed since.
                gone = (await client.admin.members()).removed_node_ids
                if leaders and layout.members.keys() - set(gone) <= serving.keys():
                    return leaders[0]
            await asyncio.sleep(_POLL_S)


def _serves(status: NodeStatus) -> bool:
    # A replica may come up out of rotation, with a lease of before: then it is for its owner to end.
    return status.serving == ServingState.SERVING_STATE_SERVING or status.HasField("lease")


async def _coordinator_ready(layout: Layout) -> None:
    async with Backups(layout.coordinator, timeout_s=_POLL_S * 10) as backups:
        while True:
            with contextlib.suppress(QuiesceError):
                await backups.jobs(limit=1)
                return
            await asyncio.sleep(_POLL_S)
