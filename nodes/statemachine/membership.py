"""Who belongs to the cluster: what a command makes of the replicated membership. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from nodes.members import parse_address
from quiesce.errors import InvalidConfiguration, InvalidRequest, MembershipChangeRefused, NodeIdTaken, UnknownNode
from quiesce.v1.peer_pb2 import Membership, MembershipChange

MOST_VOTERS = 7
# Learners among them.
MOST_NODES = 9
_GREATEST_ID = (1 << 63) - 1
_LONGEST_ADDRESS = 300


def voters(membership: Membership) -> list[int]:
    """Return the ids of the nodes that vote, ascending."""
    return [node.node_id for node in membership.nodes if not node.learner]


def learners(membership: Membership) -> list[int]:
    """Return the ids of the nodes that have no vote yet, ascending."""
    return [node.node_id for node in membership.nodes if node.learner]


def adopted(held: Membership | None, founders: Membership) -> Membership:
    """Return what is held, or where nothing is, the founders, who all vote.

    Raises:
        InvalidRequest: there are none, too many, or what they say of themselves cannot be.
    """
    if held is not None:
        return held
    nodes = [_node(node.node_id, node.address) for node in founders.nodes]
    ids = {node.node_id for node in nodes}
    if not 0 < len(nodes) == len(ids) <= MOST_NODES:
        raise InvalidRequest(detail=f"{len(nodes)} founders, of which {len(ids)} differ, are not 1 to {MOST_NODES}")
    return _membership(nodes, ())


def changed(held: Membership | None, change: MembershipChange) -> Membership:
    """Return the membership after one change.

    Raises:
        InvalidRequest: it says nothing, or what cannot be.
        NodeIdTaken, UnknownNode, MembershipChangeRefused: it does not fit the members that there are.
    """
    held = _known(held)
    kind = change.WhichOneof("change")
    if kind == "add":
        return _added(held, change.add)
    if kind == "promote":
        return _promoted(held, change.promote)
    if kind == "remove":
        return _removed(held, change.remove)
    raise InvalidRequest(detail="the change of the members is empty")


def readdressed(held: Membership | None, request: Membership) -> Membership:
    """Return the membership with the addresses of a request; all count or none.

    Raises:
        InvalidRequest: an address is none, or there is nothing to change.
        UnknownNode, MembershipChangeRefused: a node is no member, or two would have the same address.
    """
    held = _known(held)
    if not request.nodes:
        raise InvalidRequest(detail="no address is given")
    addresses = {node.node_id: node.address for node in held.nodes}
    for node in request.nodes:
        _member(held, node.node_id)
        addresses[node.node_id] = _node(node.node_id, node.address).address
    return _membership(
        (
            Membership.Node(node_id=node.node_id, address=addresses[node.node_id], learner=node.learner)
            for node in held.nodes
        ),
        held.removed,
    )


def unknown_node(held: Membership, node_id: int) -> UnknownNode:
    """Return the error for an id that no member has."""
    return UnknownNode(node_id=node_id, known=", ".join(str(node.node_id) for node in held.nodes))


def _added(held: Membership, new: Membership.Node) -> Membership:
    node = _node(new.node_id, new.address)
    node.learner = True
    if node.node_id in held.removed:
        raise NodeIdTaken(node_id=node.node_id, detail="a node of this id was removed")
    for other in held.nodes:
        if other.node_id == node.node_id:
            raise NodeIdTaken(node_id=node.node_id, detail=f"it is the member at {other.address}")
    if len(held.nodes) >= MOST_NODES:
        raise MembershipChangeRefused(
            detail=f"a cluster has {MOST_NODES} nodes at most, learners among them, and this one has {len(held.nodes)}"
        )
    return _membership((*held.nodes, node), held.removed)


def _promoted(held: Membership, node_id: int) -> Membership:
    member = _member(held, node_id)
    if not member.learner:
        raise MembershipChangeRefused(detail=f"node {node_id} has its vote already")
    voting = len(voters(held))
    if voting >= MOST_VOTERS:
        raise MembershipChangeRefused(
            detail=f"a cluster has {MOST_VOTERS} voting nodes at most, and this one has {voting}; "
            f"node {node_id} stays a learner"
        )
    promoted = Membership.Node(node_id=node_id, address=member.address)
    return _membership((promoted if node.node_id == node_id else node for node in held.nodes), held.removed)


def _removed(held: Membership, node_id: int) -> Membership:
    _member(held, node_id)
    if voters(held) == [node_id]:
        raise MembershipChangeRefused(detail=f"node {node_id} is the only one that votes")
    return _membership((node for node in held.nodes if node.node_id != node_id), (*held.removed, node_id))


def _known(held: Membership | None) -> Membership:
    if held is None:
        raise MembershipChangeRefused(detail="the cluster has not yet written down who founded it; ask again")
    return held


def _member(held: Membership, node_id: int) -> Membership.Node:
    for node in held.nodes:
        if node.node_id == node_id:
            return node
    raise unknown_node(held, node_id)


def _node(node_id: int, address: str) -> Membership.Node:
    if not 1 <= node_id <= _GREATEST_ID:
        raise InvalidRequest(detail=f"{node_id} is not a node id, a whole number from 1")
    if len(address) > _LONGEST_ADDRESS:
        raise InvalidRequest(detail=f"an address of {len(address)} characters is over {_LONGEST_ADDRESS}")
    try:
        parsed = parse_address(f"node {node_id}", address)
    except InvalidConfiguration as error:
        raise InvalidRequest(detail=error.fields["detail"]) from error
    if not int(parsed.rpartition(":")[2]):
        raise InvalidRequest(detail=f"node {node_id}: nobody is reached at port 0")
    return Membership.Node(node_id=node_id, address=parsed)


def _membership(nodes: Iterable[Membership.Node], removed: Iterable[int]) -> Membership:
    """Return a membership in order, once no two have the same address."""
    by_address: dict[str, int] = {}
    ordered = sorted(nodes, key=lambda node: node.node_id)
    for node in ordered:
        other = by_address.setdefault(node.address, node.node_id)
        if other != node.node_id:
            raise MembershipChangeRefused(
                detail=f"nodes {other} and {node.node_id} would have the same address, {node.address}"
            )
    return Membership(nodes=ordered, removed=sorted(removed))
