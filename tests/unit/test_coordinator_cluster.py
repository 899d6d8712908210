"""What the coordinator sees of a cluster."""

import asyncio
from typing import cast

from coordinator.cluster import Nodes, survey
from quiesce.v1.node_pb2 import NODE_ROLE_FOLLOWER, NODE_ROLE_LEADER, SERVING_STATE_SERVING, Member, NodeStatus


class Three:
    """A leader, a follower and a learner that lags, as the leader knows them at the moment."""

    members = (
        Member(node_id=1, address="n:1", match_index=9, active=True),
        Member(node_id=2, address="n:2", match_index=9, active=True),
        Member(node_id=3, address="n:3", match_index=1, active=False, learner=True),
    )

    async def statuses(self, *, timeout_s: float = 2.0) -> list[tuple[Member, NodeStatus]]:
        return [
            (
                member,
                NodeStatus(
                    node_id=member.node_id,
                    role=NODE_ROLE_LEADER if member.node_id == 1 else NODE_ROLE_FOLLOWER,
                    serving=SERVING_STATE_SERVING,
                    members=self.members,
                ),
            )
            for member in self.members
        ]


def test_a_learner_is_no_replica_that_a_backup_could_take_or_wait_for() -> None:
    found = asyncio.run(survey(cast("Nodes", Three())))
    assert [replica.node_id for replica in found.replicas] == [1, 2]
