"""What the leader looks at before a change of the members begins."""

import pytest

from nodes.membership.admission import MOST_LAG, check_caught_up, check_majority
from nodes.rotation.admission import Voter
from quiesce.errors import MembershipChangeRefused


def test_a_vote_only_for_who_has_caught_up() -> None:
    check_caught_up(4, Voter(5_000 - MOST_LAG, True), 5_000)
    with pytest.raises(MembershipChangeRefused) as refused:
        check_caught_up(4, Voter(7, True), 5_000)
    # By these the command line knows that it may wait, and shows how far it is.
    assert (refused.value.fields["match_index"], refused.value.fields["last_index"]) == ("7", "5000")
    with pytest.raises(MembershipChangeRefused, match=f"{MOST_LAG + 1} entries"):
        check_caught_up(4, Voter(4_999 - MOST_LAG, True), 5_000)
    with pytest.raises(MembershipChangeRefused, match="a copy of the store"):
        check_caught_up(4, Voter(0, True), 7)
    for silent in (None, Voter(5_000, False)):
        with pytest.raises(MembershipChangeRefused, match="does not answer"):
            check_caught_up(4, silent, 5_000)


@pytest.mark.parametrize(
    ("after", "answering", "enough"),
    [
        ([1], [1], True),
        ([1, 2], [1], False),
        ([1, 2], [1, 2], True),
        ([1, 2, 3], [1, 2], True),
        ([1, 2, 3, 4], [1, 2], False),
        ([1, 2, 3, 4], [1, 2, 4], True),
        ([1, 2, 3, 4, 5], [1, 3, 5], True),
    ],
)
def test_a_majority_of_those_who_will_vote_must_answer(after: list[int], answering: list[int], enough: bool) -> None:
    seen = {node: Voter(9, node in answering) for node in after[:-1]} | {node: Voter(9, True) for node in answering}
    if enough:
        check_majority(after, seen)
        return
    with pytest.raises(MembershipChangeRefused, match="do not answer"):
        check_majority(after, seen)
