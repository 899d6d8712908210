"""Asks the other members of a cluster whether it is really lost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from quiesce.client.direct import call
from quiesce.client.discovery import CLUSTER_KEY
from quiesce.errors import ClusterAlive, QuiesceError
from quiesce.rpc import open_channel
from quiesce.v1.node_pb2 import NodeStatus, StatusRequest
from quiesce.v1.node_pb2_grpc import NodeStub

_ASK_S = 2.0


def ask_peers(cluster_id: str, members: Mapping[int, str]) -> dict[int, NodeStatus | QuiesceError]:
    """Return what each member says of itself, or why it says nothing.

    Raises:
        ClusterAlive: one of them has a leader.
    """
    answers = asyncio.run(_ask_all(cluster_id, members))
    for node_id, answer in answers.items():
        if isinstance(answer, NodeStatus) and answer.cluster_id == cluster_id and answer.leader_id:
            address, leader = members[node_id], answer.leader_id
            raise ClusterAlive(cluster_id=cluster_id, node_id=node_id, address=address, leader_id=leader)
    return answers


async def _ask_all(cluster_id: str, members: Mapping[int, str]) -> dict[int, NodeStatus | QuiesceError]:
    answers = await asyncio.gather(*(_ask(cluster_id, address) for address in members.values()))
    return dict(zip(members, answers, strict=True))


async def _ask(cluster_id: str, address: str) -> NodeStatus | QuiesceError:
    async with open_channel(address) as channel:
        try:
            return await call(
                NodeStub(channel).Status,
                StatusRequest(),
                address=address,
                operation="asking whether it runs",
                timeout_s=_ASK_S,
                metadata=((CLUSTER_KEY, cluster_id),),
            )
        except QuiesceError as error:
            return error
