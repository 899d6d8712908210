from pathlib import Path

from nodes.consensus.options import ConsensusOptions
from nodes.consensus.retention import Retention

OPTIONS = ConsensusOptions(keep_bytes=10, hold_bytes=100)


def limits(retention: Retention, *, durable: int = 90, first: int = 21, **followers: int) -> dict[int, int]:
    """Return up to which index entries may go, by the bytes that must be left."""
    heard = {int(name[1:]): match for name, match in followers.items()}
    return {keep: index for index, keep in retention.limits(durable=durable, first=first, followers=heard)}


def test_without_anybody_behind_only_the_store_needs_the_log():
    assert limits(Retention(OPTIONS)) == {10: 90, 75: 90, 100: 90}
    assert limits(Retention(OPTIONS), n2=95, n3=90) == {10: 90, 75: 90, 100: 90}


def test_a_checkpoint_under_way_holds_three_quarters_of_what_may_be_held():
    retention = Retention(OPTIONS)
    retention.made(40)
    retention.made(30)
    assert limits(retention) == {10: 30, 75: 90, 100: 90}
    retention.gone(30)
    assert limits(retention) == {10: 40, 75: 90, 100: 90}


def test_a_follower_that_catches_up_holds_all_of_it():
    assert limits(Retention(OPTIONS), n2=50, n3=80) == {10: 50, 75: 50, 100: 90}


def test_a_follower_behind_the_log_holds_nothing():
    assert limits(Retention(OPTIONS), n2=19) == {10: 90, 75: 90, 100: 90}
    assert limits(Retention(OPTIONS), n2=20) == {10: 20, 75: 20, 100: 90}


def test_what_a_follower_has_installed_is_held_for_it_until_it_says_so():
    retention = Retention(OPTIONS)
    retention.made(40)
    retention.sent(2, 40)
    retention.arrived(2)
    retention.gone(40)
    assert limits(retention, n2=0) == {10: 40, 75: 40, 100: 90}
    assert limits(retention, n2=45) == {10: 45, 75: 45, 100: 90}
    assert limits(retention, n2=0) == {10: 90, 75: 90, 100: 90}


def test_nothing_is_held_for_a_follower_that_died_with_what_it_installed():
    retention = Retention(OPTIONS)
    retention.sent(2, 40)
    retention.arrived(2)
    assert limits(retention) == {10: 90, 75: 90, 100: 90}


def test_a_checkpoint_that_the_log_has_passed_is_of_no_use():
    retention = Retention(OPTIONS)
    for index in (30, 40, 50):
        retention.made(index)
    assert retention.passed(40) == {30}


def test_the_bounds_are_those_that_the_documents_name():
    options = ConsensusOptions()
    text = (Path(__file__).resolve().parents[2] / "docs" / "limits.md").read_text()
    for size in (
        options.compact_bytes,
        options.checkpoint_hold_bytes,
        options.hold_bytes,
        options.memory_bytes,
        options.most_log_bytes,
    ):
        assert f"{size >> 20} MiB" in text
