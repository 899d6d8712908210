"""What a node shows to whoever watches it."""

from __future__ import annotations

from prometheus_client import Metric

from quiesce.daemon.metrics import gauge, single
from quiesce.v1.node_pb2 import NODE_ROLE_LEADER, SERVING_STATE_SERVING, NodeStatus, ServingState


def node_metrics(status: NodeStatus) -> list[Metric]:
    """Return a node's status as metrics."""
    disk = status.disk
    out = status.HasField("lease") and status.lease.node_id == status.node_id
    shown = [
        gauge("build_info", "1; the version is a label.", [((status.version,), 1)], ["version"]),
        single("node_serving", "Whether it answers clients.", status.serving == SERVING_STATE_SERVING),
        gauge(
            "node_state",
            "1 for the state it is in.",
            [
                ((name.removeprefix("SERVING_STATE_").lower(),), status.serving == state)
                for name, state in ServingState.items()
                if state
            ],
            ["state"],
        ),
        single("node_out_of_rotation", "Whether a lease keeps it out of rotation.", out),
        single("raft_leads", "Whether it leads.", status.role == NODE_ROLE_LEADER),
        single("raft_has_leader", "Whether it knows a leader.", status.leader_id != 0),
        single("raft_term", "The term it is in.", status.term),
        single("raft_commit_index", "The last entry it knows to be committed.", status.commit_index),
        single("raft_applied_index", "The last entry whose effects it shows.", status.applied_index),
        single("raft_log_bytes", "The size of its log on the disk.", status.log_bytes),
        single("node_checkpoints", "Checkpoints that backups hold on it.", len(status.checkpoints)),
        single("disk_free_bytes", "What is free on the disk of its data.", disk.free_bytes),
        single("disk_reserve_bytes", "What it keeps free.", disk.reserve_bytes),
        single("disk_full", "Whether it takes no writes for want of room.", disk.full),
    ]
    # What only the leader knows: how far each of the others is.
    behind = [((str(member.node_id),), max(0, status.commit_index - member.match_index)) for member in status.members]
    if status.role == NODE_ROLE_LEADER:
        shown.append(
            gauge("raft_member_lag_entries", "Committed entries a member's disk lacks.", behind, ["node"]),
        )
    return [*shown]
