"""What the configuration's `members` mean beside the replicated membership."""

import pytest

from nodes.identity import Identity
from nodes.membership.addresses import founders, news, still_news, strangers
from quiesce.errors import InvalidConfiguration
from quiesce.v1.peer_pb2 import Membership

MEMBERS = {1: "a:1", 2: "b:2", 3: "c:3"}
IDENTITY = Identity(2, "x", MEMBERS, MEMBERS)


def held(**addresses: str) -> Membership:
    nodes = [Membership.Node(node_id=int(name[1:]), address=address) for name, address in addresses.items()]
    return Membership(nodes=nodes)


def test_before_anything_is_replicated_the_configuration_moves_the_founders() -> None:
    assert founders(IDENTITY, {}) == MEMBERS
    assert founders(IDENTITY, MEMBERS) == MEMBERS
    moved = {**MEMBERS, 3: "d:3"}
    assert founders(IDENTITY, moved) == moved


@pytest.mark.parametrize("configured", [{1: "a:1", 2: "b:2"}, {1: "a:1", 2: "b:2", 4: "c:3"}])
def test_but_makes_no_other_founders(configured: dict[int, str]) -> None:
    with pytest.raises(InvalidConfiguration, match="members"):
        founders(IDENTITY, configured)


def test_a_configuration_that_says_what_it_always_said_is_no_news() -> None:
    replicated = held(n1="moved:1", n2="b:2", n4="d:4")
    assert news(IDENTITY, MEMBERS, replicated) == {}
    assert news(IDENTITY, {}, replicated) == {}


def test_what_it_says_anew_of_members_is() -> None:
    replicated = held(n1="a:1", n2="b:2", n4="d:4")
    configured = {1: "a:1", 2: "new:2", 4: "d:4", 9: "i:9"}
    assert news(IDENTITY, configured, replicated) == {2: "new:2"}
    assert strangers(configured, replicated) == [9]


def test_news_end_when_the_address_changes_to_whatever_it_may_be_or_the_node_goes() -> None:
    start, told = held(n1="a:1", n2="b:2", n3="c:3"), {1: "x:1", 2: "y:2", 3: "z:3"}
    assert still_news(told, start, start) == told
    assert still_news(told, start, held(n1="x:1", n2="other:2")) == {}
    assert still_news(told, start, held(n1="a:1", n2="y:2", n3="c:3")) == {1: "x:1", 3: "z:3"}
