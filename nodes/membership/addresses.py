"""What the configuration's `members` mean beside the replicated membership. Pure.

The replicated one counts. The configuration goes before it only where it says something new, which is what somebody has
to do who moved machines while the cluster was down: until the cluster has written the new addresses down, the nodes
that were told of them reach each other there.
"""

from __future__ import annotations

from collections.abc import Mapping

from nodes.identity import Identity
from nodes.members import format_members
from quiesce.errors import InvalidConfiguration
from quiesce.v1.peer_pb2 import Membership

Addresses = Mapping[int, str]


def founders(identity: Identity, configured: Addresses) -> dict[int, str]:
    """Return where the nodes are reached as long as no membership is replicated.

    Raises:
        InvalidConfiguration: the configuration names other nodes.
    """
    if not configured or configured == identity.configured:
        return dict(identity.members)
    if configured.keys() != identity.members.keys():
        raise InvalidConfiguration(
            detail=f"members: they are {format_members(configured)}, and those that founded the cluster are "
            f"{format_members(identity.members)}; only their addresses may change here"
        )
    return dict(configured)


def news(identity: Identity, configured: Addresses, held: Membership) -> dict[int, str]:
    """Return the members' addresses that the configuration gives anew, where they differ from the replicated ones."""
    if configured == identity.configured:
        return {}
    known = {node.node_id: node.address for node in held.nodes}
    return {node: address for node, address in configured.items() if known.get(node, address) != address}


def strangers(configured: Addresses, held: Membership) -> list[int]:
    """Return the ids that the configuration names and that are no members: it cannot make them so."""
    return sorted(configured.keys() - {node.node_id for node in held.nodes})


def still_news(told: Addresses, at_start: Membership, held: Membership) -> dict[int, str]:
    """Return what of the news the cluster has not written down yet: an address that changed since goes before it."""
    before = {node.node_id: node.address for node in at_start.nodes}
    now = {node.node_id: node.address for node in held.nodes}
    return {node: address for node, address in told.items() if node in now and now[node] == before.get(node)}
