"""quiesce nodes: the nodes of a cluster and their rotation."""

from __future__ import annotations

import getpass
import socket
from typing import Any

import click

from quiesce.cli import membership
from quiesce.cli.options import DURATION, TIMEOUT_S, cluster_option
from quiesce.cli.output import Output, pass_output
from quiesce.cli.units import amount
from quiesce.client import Client
from quiesce.errors import InvalidRequest, QuiesceError
from quiesce.v1.node_pb2 import Member, NodeRole, NodeStatus, RotationLease, ServingState


@click.group(name="nodes", invoke_without_command=True)
@cluster_option
@click.pass_context
def command(ctx: click.Context, cluster: str) -> None:
    """Show the nodes; add and remove them; take them out of rotation and back. Without a subcommand: list."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_nodes, cluster=cluster)


@command.command(name="list")
@cluster_option
@pass_output
def list_nodes(output: Output, cluster: str) -> None:
    """List the nodes: role, serving state, and how many entries each has still to apply."""
    with Client(cluster, timeout_s=TIMEOUT_S) as client:
        statuses, removed = client.admin.statuses(), list(client.admin.members().removed_node_ids)
    answers = [status for _, status in statuses if isinstance(status, NodeStatus)]
    commit = max((status.commit_index for status in answers), default=0)
    facts = [_facts(member, status, commit) for member, status in statuses]
    columns = ("id", "address", "role", "serving", ">lag", "version")
    rows = [[fact.get(column.lstrip(">"), "-") for column in columns] for fact in facts]
    leases = {status.lease.epoch: status.lease for status in answers if status.HasField("lease")}
    output.table(columns, rows, {"cluster_id": client.cluster_id, "nodes": facts, "removed": removed})
    if not output.json:
        for lease in leases.values():
            output.message(f"Node {lease.node_id} is out of rotation for {lease.owner}: {lease.reason}")
        for member, status in statuses:
            if isinstance(status, QuiesceError):
                output.message(f"Node {member.node_id} at {member.address} does not answer: {status}")
            elif status.disk.full:
                free, kept = (amount(size, binary=True) for size in (status.disk.free_bytes, status.disk.reserve_bytes))
                output.message(f"Node {member.node_id} has a full disk: {free} left, and {kept} are kept free.")


def _facts(member: Member, status: NodeStatus | QuiesceError, commit: int) -> dict[str, Any]:
    facts: dict[str, Any] = {"id": member.node_id, "address": member.address, "learner": member.learner}
    if isinstance(status, QuiesceError):
        return facts | {"role": "?", "serving": "unreachable", "error": status.reason()}
    role = NodeRole.Name(status.role).removeprefix("NODE_ROLE_").lower()
    return facts | {
        "role": "learner" if member.learner else role,
        "serving": ServingState.Name(status.serving).removeprefix("SERVING_STATE_").lower().replace("_", " "),
        # The answers are not of one moment: a node asked later may be ahead of what the others knew.
        "lag": max(commit - status.applied_index, 0),
        "applied_index": status.applied_index,
        "term": status.term,
        "log_bytes": status.log_bytes,
        "disk_free_bytes": status.disk.free_bytes,
        "disk_full": status.disk.full,
        "version": status.version or "-",
    }


@command.command()
@click.argument("node_id", type=click.IntRange(min=1))
@click.option("--for", "ttl_ms", type=DURATION, required=True, help="How long at most, like 10m; it ends by itself.")
@click.option("--reason", default="maintenance", show_default=True, help="Shown to everyone who looks.")
@cluster_option
@pass_output
def drain(output: Output, node_id: int, ttl_ms: int, reason: str, cluster: str) -> None:
    """Take a node out of rotation for a while; it still stores and votes."""
    owner = f"{getpass.getuser()}@{socket.gethostname()}"
    with Client(cluster, timeout_s=TIMEOUT_S) as client:
        lease = client.admin.drain(node_id, owner, reason, ttl_ms)
    facts = {"node_id": node_id, "epoch": lease.epoch, "ttl_ms": ttl_ms, "owner": owner, "reason": reason}
    seconds = ttl_ms / 1000
    output.result(
        facts,
        f"Node {node_id} is out of rotation for at most {seconds:g} s (epoch {lease.epoch}).\n"
        f"Back earlier: quiesce nodes undrain {node_id}",
    )


@command.command()
@click.argument("node_id", type=click.IntRange(min=1))
@cluster_option
@pass_output
def undrain(output: Output, node_id: int, cluster: str) -> None:
    """Put a node back into rotation."""
    with Client(cluster, timeout_s=TIMEOUT_S) as client:
        lease = _lease_of(client, node_id)
        if lease is not None:
            client.admin.undrain(lease.epoch, fence=lease.fence)
    if lease is None:
        output.result({"node_id": node_id, "epoch": None}, f"Node {node_id} is in rotation already.")
    else:
        output.result({"node_id": node_id, "epoch": lease.epoch}, f"Node {node_id} is back in rotation.")


def _lease_of(client: Client, node_id: int) -> RotationLease | None:
    """Return the lease that holds a node; the leader knows the latest."""
    client.admin.members()
    for _, status in client.admin.statuses():
        if isinstance(status, NodeStatus) and status.role == NodeRole.NODE_ROLE_LEADER:
            held = status.HasField("lease") and status.lease.node_id == node_id
            return status.lease if held else None
    raise InvalidRequest(detail="the cluster has no leader at the moment, and only it can end a lease")


@command.command(name="transfer-leader")
@click.argument("node_id", type=click.IntRange(min=0), default=0)
@cluster_option
@pass_output
def transfer_leader(output: Output, node_id: int, cluster: str) -> None:
    """Make a node the leader; without NODE_ID the follower that is furthest."""
    with Client(cluster, timeout_s=TIMEOUT_S) as client:
        leader = client.admin.transfer_leadership(node_id)
    output.result({"leader_id": leader}, f"Node {leader} leads.")


for subcommand in (membership.add, membership.promote, membership.remove, membership.address):
    command.add_command(subcommand)
