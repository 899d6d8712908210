"""Which node a call goes to: scripted events."""

from random import Random

import pytest

from quiesce.client.routing import (
    BLOCK_S,
    Answered,
    Event,
    Failed,
    MembersSeen,
    NotServing,
    NotTheLeader,
    Routing,
    To,
)

A, B, C = "a:1", "b:1", "c:1"
MEMBERS = ((1, A), (2, B), (3, C))


@pytest.fixture
def routing() -> Routing:
    routing = Routing([A], Random(1))
    routing.step(MembersSeen(MEMBERS, 1), 0.0)
    return routing


def chosen(routing: Routing, to: To, now_s: float = 0.0, rounds: int = 30) -> set[str | None]:
    return {routing.choose(to, now_s) for _ in range(rounds)}


def test_seeds_are_used_until_members_are_known() -> None:
    routing = Routing([A, B], Random(1))
    assert chosen(routing, To.SERVING) == {A, B}
    routing.step(MembersSeen(((3, C),), 0), 0.0)
    assert chosen(routing, To.SERVING) == {C}
    assert routing.members == {3: C}


def test_an_answer_without_members_leaves_them() -> None:
    routing = Routing([A, B], Random(1))
    routing.step(MembersSeen(((1, ""),), 1), 0.0)
    assert routing.addresses == [A, B]


def test_reads_are_spread_evenly(routing: Routing) -> None:
    asked = [routing.choose(To.SERVING, 0.0) for _ in range(30)]
    assert {asked.count(address) for address in (A, B, C)} == {10}


def test_writes_go_to_the_leader(routing: Routing) -> None:
    assert chosen(routing, To.LEADER) == {A}


def test_without_a_known_leader_each_is_asked_once(routing: Routing) -> None:
    routing.step(NotTheLeader(A, ""), 0.0)
    tried: set[str] = set()
    while (address := routing.choose(To.LEADER, 0.0, tried)) is not None:
        assert address not in tried
        tried.add(address)
    assert tried == {A, B, C}


def test_a_refusal_that_names_the_leader_is_followed(routing: Routing) -> None:
    routing.step(NotTheLeader(A, C), 0.0)
    assert routing.choose(To.LEADER, 0.0, {A}) == C


def test_two_that_name_each_other_are_not_asked_for_ever(routing: Routing) -> None:
    routing.step(NotTheLeader(A, B), 0.0)
    routing.step(NotTheLeader(B, A), 0.0)
    assert routing.choose(To.LEADER, 0.0, {A, B}) is None


def test_a_leader_that_is_no_member_is_not_believed(routing: Routing) -> None:
    routing.step(NotTheLeader(A, "elsewhere:1"), 0.0)
    assert chosen(routing, To.LEADER) == {A, B, C}
    # But it may have joined since, so the members are to be asked for.
    assert routing.doubtful
    routing.step(MembersSeen((*MEMBERS, (4, "elsewhere:1")), 4), 0.0)
    assert not routing.doubtful
    assert chosen(routing, To.LEADER) == {"elsewhere:1"}


def test_a_refusal_without_a_name_says_nothing_of_the_members(routing: Routing) -> None:
    routing.step(NotTheLeader(A, ""), 0.0)
    routing.step(NotTheLeader(B, C), 0.0)
    assert not routing.doubtful


def test_who_knows_less_of_the_removed_is_behind_and_not_believed(routing: Routing) -> None:
    now = ((2, B), (4, "d:1"))
    routing.step(MembersSeen(now, 4, frozenset({1, 3})), 0.0)
    for behind in (frozenset({1}), frozenset[int]()):
        routing.step(MembersSeen(MEMBERS, 1, behind), 0.0)
        assert routing.members == dict(now)
        assert chosen(routing, To.LEADER) == {"d:1"}


@pytest.mark.parametrize("event", [Failed(B), NotServing(B)])
def test_reads_leave_a_node_that_failed_or_is_out_of_rotation(routing: Routing, event: Event) -> None:
    routing.step(event, 0.0)
    assert chosen(routing, To.SERVING) == {A, C}
    assert routing.blocked(0.0) == [B]
    assert chosen(routing, To.SERVING, BLOCK_S) == {A, B, C}


def test_a_probe_puts_it_back(routing: Routing) -> None:
    routing.step(NotServing(B), 0.0)
    routing.step(Failed(B), 0.0)
    routing.serves(B)
    assert chosen(routing, To.SERVING) == {A, B, C}


def test_an_answer_ends_a_failure_but_not_being_out_of_rotation(routing: Routing) -> None:
    routing.step(Failed(A), 0.0)
    routing.step(NotServing(B), 0.0)
    routing.step(Answered(A), 0.0)
    routing.step(Answered(B), 0.0)
    assert chosen(routing, To.SERVING) == {A, C}


def test_a_failed_leader_is_forgotten_and_not_asked_though_others_name_it(routing: Routing) -> None:
    routing.step(Failed(A), 0.0)
    routing.step(NotTheLeader(B, A), 0.0)
    assert chosen(routing, To.LEADER) == {B, C}


def test_a_leader_out_of_rotation_still_takes_writes(routing: Routing) -> None:
    routing.step(NotServing(A), 0.0)
    assert chosen(routing, To.LEADER) == {A}
    assert chosen(routing, To.SERVING) == {B, C}


def test_when_all_have_failed_the_one_that_did_so_first_is_asked(routing: Routing) -> None:
    for moment, address in enumerate((C, A, B)):
        routing.step(Failed(address), float(moment))
    assert routing.choose(To.SERVING, 3.0) == C
    assert routing.choose(To.SERVING, 3.0, {C}) == A
    assert routing.choose(To.SERVING, 3.0, {A, B, C}) is None


def test_what_is_known_of_a_node_survives_news_of_the_members(routing: Routing) -> None:
    routing.step(Failed(B), 0.0)
    routing.step(MembersSeen(((2, B), (3, C)), 3), 0.0)
    assert chosen(routing, To.SERVING) == {C}
    assert chosen(routing, To.LEADER) == {C}
    routing.step(Failed(A), 0.0)
    assert routing.addresses == [B, C]
