"""The rotation lease in the replicated state: one at a time, ended by log time, fenced by its epoch."""

from pathlib import Path

import pytest
from state_entries import Replica, drain, mark, renew, tick, undrain


def test_one_lease_at_a_time(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    told: list[int | None] = []
    replica.state.on_lease_changed = lambda lease: told.append(lease and lease.epoch)
    [outcome] = replica.ok(drain(2, ttl_ms=1000, time_ms=5000))
    lease = outcome.lease
    assert (lease.node_id, lease.epoch, lease.acquired_ms, lease.expires_ms) == (2, 1, 5000, 6000)
    reason, fields = replica.refused(drain(3))
    assert reason == "ROTATION_HELD"
    assert (fields["node_id"], fields["owner"]) == ("2", "o")
    [renewed] = replica.ok(renew(1, 1000, time_ms=5500))
    assert renewed.lease.expires_ms == 6500
    assert replica(renew(9, 1))[0].failure.reason == "LEASE_LOST"
    replica.ok(undrain(9))
    assert replica.state.store.state.lease == renewed.lease
    replica.ok(undrain(1))
    assert replica.ok(drain(3))[0].lease.epoch == replica.state.applied[0]
    assert told == [1, 1, None, replica.state.applied[0]]


def test_who_was_taken_over_from_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    replica.ok(drain(2, time_ms=5000))
    [outcome] = replica.ok(renew(1, 2000, take_over_as="another"))
    lease, fence = outcome.lease, replica.state.applied[0]
    assert (lease.owner, lease.epoch, lease.fence, lease.expires_ms) == ("another", 1, fence, 7000)
    for late in (0, 1, fence + 1):
        for command in (renew(1, 9000, fence=late), mark(1, late), undrain(1, late)):
            assert replica.refused(command)[0] == "LEASE_LOST"
    assert replica.state.store.state.lease == lease
    # Two in one entry could not be told apart.
    first, second = replica(renew(1, 2000, take_over_as="b"), renew(1, 2000, take_over_as="c"))
    assert (first.lease.owner, second.failure.reason) == ("b", "LEASE_LOST")
    assert replica.ok(mark(1, first.lease.fence))[0].mark.epoch == 1
    replica.ok(undrain(1, first.lease.fence))
    assert replica.refused(renew(1, 2000, take_over_as="d"))[0] == "LEASE_LOST"


def test_a_lease_moves_to_another_node_and_stays_what_it_is(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    replica.ok(drain(2, time_ms=5000))
    assert replica.ok(mark(1))[0].mark.epoch == 1
    [outcome] = replica.ok(renew(1, 2000, move_to=3))
    lease = outcome.lease
    assert (lease.node_id, lease.owner, lease.epoch, lease.fence, lease.expires_ms) == (3, "o", 1, 1, 7000)
    assert replica.refused(drain(2))[0] == "ROTATION_HELD", "one node at a time"
    [taken] = replica.ok(renew(1, 2000, take_over_as="another"))
    for late in (renew(1, 9000, move_to=2), renew(1, 9000, fence=1, move_to=2), renew(7, 9000, move_to=2)):
        assert replica.refused(late)[0] == "LEASE_LOST"
    assert replica.refused(renew(1, 9000, take_over_as="b", move_to=2))[0] == "INVALID_REQUEST"
    assert replica.state.store.state.lease == taken.lease
    replica.ok(renew(1, 2000, fence=taken.lease.fence, move_to=2))
    replica.ok(undrain(1, taken.lease.fence))
    assert replica.refused(renew(1, 2000, move_to=3))[0] == "LEASE_LOST"


def test_lease_ends_in_log_time_whoever_asks(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    replica.ok(drain(2, ttl_ms=1000, time_ms=5000))
    replica.ok(tick(5999))
    assert replica.state.store.state.lease is not None
    replica.reopen()
    assert replica.state.store.state.lease is not None
    # A clock behind the log's does not turn it back.
    replica.ok(tick(1))
    with replica.state.store.view() as view:
        assert view.log_time_ms() == 5999
    late = renew(1, 1000, time_ms=6000)
    assert replica(late)[0].failure.reason == "LEASE_LOST"
    assert replica.state.store.state.lease is None
    assert replica(mark(1))[0].failure.reason == "LEASE_LOST"


def test_an_entry_grants_one_lease(tmp_path: Path) -> None:
    first, _, second = Replica(tmp_path)(drain(1), undrain(1), drain(1))
    assert first.HasField("lease")
    assert second.failure.reason == "ROTATION_HELD"


@pytest.mark.parametrize("ttl_ms", [0, 1 << 60])
def test_lease_time_is_bounded(tmp_path: Path, ttl_ms: int) -> None:
    assert Replica(tmp_path)(drain(1, ttl_ms=ttl_ms))[0].failure.reason == "INVALID_REQUEST"
