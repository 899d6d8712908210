"""The subcommands of `quiesce nodes` that change who belongs to the cluster."""

from __future__ import annotations

import shlex
import time
from typing import Any

import click

from quiesce.cli.options import DURATION, cluster_option
from quiesce.cli.output import Output, pass_output
from quiesce.client import Client
from quiesce.client.addresses import split_addresses
from quiesce.errors import MembershipChangeRefused, QuiesceError
from quiesce.v1.node_pb2 import MembersResponse

# Leadership may have to move first, and the new leader to hear from the others.
_CHANGE_TIMEOUT_S = 15.0
_LOOK_S = 0.5


class _NodeAt(click.ParamType[tuple[int, str]]):
    """`4=host:port`, a node's id and where it is reached."""

    name = "node=host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, str]:
        """Return id and address."""
        if isinstance(value, tuple):
            return value
        node, equals, address = str(value).partition("=")
        if not equals or not node.isascii() or not node.isdigit() or not int(node):
            self.fail(f"`{value}` is not a node's id and its address, like 4=10.0.0.4:7101", param, ctx)
        try:
            [one] = split_addresses([address])
        except QuiesceError as error:
            self.fail(error.fields["detail"], param, ctx)
        return int(node), one


_NODE_ID = click.argument("node_id", type=click.IntRange(min=1))


@click.command()
@click.argument("node", type=_NodeAt(), metavar="ID=HOST:PORT")
@click.option("--promote", is_flag=True, help="Wait until it has caught up, and give it its vote.")
@click.option("--wait", "wait_ms", type=DURATION, default="1h", show_default=True, help="How long --promote waits.")
@cluster_option
@pass_output
def add(output: Output, node: tuple[int, str], promote: bool, wait_ms: int, cluster: str) -> None:
    """Add a node under a new id: it gets the log, serves reads, and has no vote before it is promoted.

    Start it before or after, with --join. Asked again, or interrupted while it waits, it is added and stays so.
    """
    node_id, address = node
    with Client(cluster, timeout_s=_CHANGE_TIMEOUT_S) as client:
        answer = client.admin.add_node(node_id, address)
        start = _start(node_id, address, answer)
        facts = {"node_id": node_id, "address": address, "start": start}
        added = f"Node {node_id} is added at {address}. Start it there, with a data directory that is empty:\n  {start}"
        if not promote:
            output.result(
                {**facts, "learner": True}, f"{added}\nIt has no vote before: quiesce nodes promote {node_id}"
            )
            return
        output.message(added, **facts)
        _promote_when_caught_up(output, client, node_id, time.monotonic() + wait_ms / 1000)
    output.result({**facts, "learner": False}, f"Node {node_id} has caught up and votes.")


def _start(node_id: int, address: str, members: MembersResponse) -> str:
    """Return the command that starts a new node."""
    others = ",".join(member.address for member in members.members if member.node_id != node_id)
    words = ["--node-id", str(node_id), "--data", f"node-{node_id}", "--listen", address, "--join", others]
    return shlex.join(["quiesce", "node", *words])


def _promote_when_caught_up(output: Output, client: Client, node_id: int, until_s: float) -> None:
    with output.progress(f"Node {node_id} catches up", unit="entries") as progress:
        while True:
            try:
                client.admin.promote_node(node_id)
            except MembershipChangeRefused as error:
                # Only what passes by itself says how far the node is.
                if "match_index" not in error.fields or time.monotonic() >= until_s:
                    raise
                progress.update(int(error.fields["match_index"]), int(error.fields["last_index"]))
            else:
                return
            time.sleep(_LOOK_S)


@click.command()
@_NODE_ID
@cluster_option
@pass_output
def promote(output: Output, node_id: int, cluster: str) -> None:
    """Give a node that was added its vote; refused until it has caught up."""
    with Client(cluster, timeout_s=_CHANGE_TIMEOUT_S) as client:
        client.admin.promote_node(node_id)
    output.result({"node_id": node_id, "learner": False}, f"Node {node_id} votes.")


@click.command()
@_NODE_ID
@cluster_option
@pass_output
def remove(output: Output, node_id: int, cluster: str) -> None:
    """Take a node out of the cluster for good; its id is never used again.

    A leader hands leadership on first. Refused where those that remain, and answer, would be no majority.
    """
    with Client(cluster, timeout_s=_CHANGE_TIMEOUT_S) as client:
        answer = client.admin.remove_node(node_id)
    left = sorted(member.node_id for member in answer.members)
    output.result(
        {"node_id": node_id, "members": left, "removed": list(answer.removed_node_ids)},
        f"Node {node_id} is removed; {', '.join(map(str, left))} remain. If it runs, it ends by itself. Its data "
        "directory is of no more use.",
    )


@click.command()
@click.argument("node", type=_NodeAt(), metavar="ID=HOST:PORT")
@cluster_option
@pass_output
def address(output: Output, node: tuple[int, str], cluster: str) -> None:
    """Say where a node is reached from now on, after it was moved."""
    node_id, there = node
    with Client(cluster, timeout_s=_CHANGE_TIMEOUT_S) as client:
        client.admin.change_node_address(node_id, there)
    output.result({"node_id": node_id, "address": there}, f"Node {node_id} is reached at {there}.")
