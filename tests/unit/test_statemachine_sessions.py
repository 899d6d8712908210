"""Exactly once: a write that is sent again gets its first answer, and is not applied a second time."""

from pathlib import Path

import pytest
from state_entries import Replica, command, content, create, new_class, new_database, write
from state_entries import alter as alter_schema

from nodes.statemachine import sessions
from nodes.store import keys
from nodes.store.engine import META
from quiesce.v1 import record_pb2

HOUR = 3_600_000


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    replica = Replica(tmp_path)
    replica.ok(new_database(), alter_schema(new_class("Person")))
    return replica


def open_session(replica: Replica, time_ms: int = 0) -> int:
    [outcome] = replica.ok(command(time_ms, open_session=record_pb2.OpenSessionRequest(client="test")))
    return outcome.open_session.session_id


def kept(replica: Replica) -> int:
    return sum(1 for _ in replica.state.store.engine.scan(META, b"o", b"p"))


def test_second_time_gets_the_first_answer(replica: Replica) -> None:
    session = open_session(replica)
    ada = write(create("Person", name="Ada"), session_id=session, sequence=1)
    [first] = replica.ok(ada)
    [again] = replica.ok(ada)
    assert again == first
    # Within one entry, and after a restart.
    assert replica.ok(ada, ada) == [first, first]
    replica.reopen()
    assert replica.ok(ada) == [first]
    assert len(replica.bodies(6)) == 1


def test_a_failure_is_an_answer_too(replica: Replica) -> None:
    session = open_session(replica)
    bad = write(create("Robot"), session_id=session, sequence=1)
    [first] = replica(bad)
    assert first.failure.reason == "UNKNOWN_CLASS"
    replica.ok(alter_schema(new_class("Robot")))
    assert replica(bad) == [first]


def test_any_order_of_sequences(replica: Replica) -> None:
    session = open_session(replica)
    for sequence in (3, 1, 2, 3, 1):
        replica.ok(write(create("Person", n=sequence), session_id=session, sequence=sequence))
    assert len(replica.bodies(6)) == 3


def test_acknowledged_outcomes_are_forgotten_but_never_applied_again(replica: Replica) -> None:
    session = open_session(replica)
    first = write(create("Person"), session_id=session, sequence=1)
    replica.ok(first)
    replica.ok(write(create("Person"), session_id=session, sequence=2, acknowledged_through=1))
    assert kept(replica) == 1
    for _ in range(2):
        assert replica(first)[0].failure.reason == "OUTCOME_UNKNOWN"
        replica.reopen()
    assert len(replica.bodies(6)) == 2


def test_an_acknowledgement_does_not_reach_beyond_its_own_write(replica: Replica) -> None:
    session = open_session(replica)
    one = write(create("Person"), session_id=session, sequence=5, acknowledged_through=1 << 62)
    assert replica.ok(one) == replica.ok(one)
    assert replica(write(create("Person"), session_id=session, sequence=4))[0].HasField("failure")


def test_kept_outcomes_are_bounded(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_OUTCOMES", 3)
    session = open_session(replica)
    writes = [write(create("Person"), session_id=session, sequence=n) for n in (1, 2, 3, 4)]
    replica.ok(*writes)
    assert kept(replica) == 3
    assert replica(writes[0])[0].failure.reason == "OUTCOME_UNKNOWN"
    assert replica(writes[1])[0].HasField("write")


def test_sessions_expire_in_log_time(replica: Replica) -> None:
    idle, used = open_session(replica, 1000), open_session(replica, 1000)
    replica.ok(write(create("Person"), session_id=idle, sequence=1))
    replica.ok(write(create("Person"), session_id=used, sequence=1, time_ms=2000))
    before = write(create("Person"), session_id=idle, sequence=2, time_ms=1000 + HOUR)
    assert replica(before)[0].failure.reason == "SESSION_EXPIRED"
    assert replica.write(create("Person"), session_id=used, sequence=2).HasField("write")
    replica.reopen()
    assert replica.write(create("Person"), session_id=idle, sequence=1).failure.reason == "SESSION_EXPIRED"
    assert kept(replica) == 2


def test_sessions_of_one_entry_differ(replica: Replica) -> None:
    request = command(open_session=record_pb2.OpenSessionRequest())
    outcomes = replica.ok(request, request, request)
    assert len({outcome.open_session.session_id for outcome in outcomes}) == 3


def test_sessions_are_bounded(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 2)
    opened = [open_session(replica) for _ in range(3)]
    found = [keys.session_of(key) for key, _ in replica.state.store.engine.scan(META, b"s", b"t")]
    assert found == opened[1:]


def test_the_session_that_gives_way_is_the_same_after_a_restart(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All at one log time: the order of use is in memory only.
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 2)
    first, second = open_session(replica), open_session(replica)
    replica.write(create("Person"), session_id=first, sequence=1)
    third = open_session(replica)
    found = [keys.session_of(key) for key, _ in replica.state.store.engine.scan(META, b"s", b"t")]
    assert found == [second, third]


@pytest.mark.parametrize(("name", "bound"), [("OUTCOMES", 5), ("OUTCOMES_BYTES", 80)])
def test_outcomes_of_all_sessions_are_bounded(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, name: str, bound: int
) -> None:
    monkeypatch.setattr(sessions, name, bound)
    opened = [open_session(replica, 1000 + n) for n in range(4)]
    for sequence in (1, 2):
        for n, session in enumerate(opened):
            if sequence == 1 or n:
                replica.write(create("Person"), session_id=session, sequence=sequence, time_ms=2000 + 10 * sequence + n)
        replica.reopen()
    # The one unused for longest gave way, and nothing is left of it.
    held = [len(value) for _, value in replica.state.store.engine.scan(META, b"o", b"p")]
    assert 0 < (len(held) if name == "OUTCOMES" else sum(held)) <= bound
    found = [keys.session_of(key) for key, _ in replica.state.store.engine.scan(META, b"s", b"t")]
    assert opened[0] not in found
    assert found == opened[-len(found) :]
    again = write(create("Person"), session_id=opened[3], sequence=2)
    assert replica(again)[0].HasField("write")
    assert len(replica.bodies(6)) == 7


def test_one_session_alone_keeps_to_the_bound_of_all(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "OUTCOMES", 3)
    session = open_session(replica)
    writes = [write(create("Person"), session_id=session, sequence=n) for n in (1, 2, 3, 4, 5)]
    replica.ok(*writes)
    replica.reopen()
    assert kept(replica) == 3
    assert [outcome.failure.reason for outcome in replica(*writes)] == ["OUTCOME_UNKNOWN"] * 2 + [""] * 3
    assert len(replica.bodies(6)) == 5


def test_sessions_come_with_a_checkpoint(replica: Replica, tmp_path: Path) -> None:
    session = open_session(replica)
    ada = write(create("Person", name="Ada"), session_id=session, sequence=1)
    first = replica.ok(ada)
    replica.state.checkpoint(tmp_path / "sent")
    behind = Replica(tmp_path / "behind", node_id=2)
    behind.state.install(tmp_path / "sent")
    assert behind.ok(ada) == first
    assert len(behind.bodies(6)) == 1


def test_a_sequence_is_needed(replica: Replica) -> None:
    session = open_session(replica)
    before = content(replica.state.store)
    assert replica.write(create("Person"), session_id=session).failure.reason == "INVALID_REQUEST"
    assert replica.write(create("Person"), session_id=12345, sequence=1).failure.reason == "SESSION_EXPIRED"
    assert content(replica.state.store) == before
