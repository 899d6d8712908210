"""Definitions of databases are bounded: each of them, and all together, travel in one message."""

from pathlib import Path

import pytest
from state_entries import Replica, command, new_class, new_database
from state_entries import alter as alter_schema

from nodes.statemachine import databases
from quiesce.rpc.limits import DEFINITION_BYTES, DEFINITIONS_BYTES, MESSAGE_BYTES
from quiesce.v1 import database_pb2 as db

TOO_LARGE = "DEFINITION_TOO_LARGE"


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    replica = Replica(tmp_path)
    replica.ok(new_database())
    return replica


def preserve(size: int, section: str = "functions", database: str = "people") -> object:
    change = db.SchemaChange(preserve=db.PreserveSection(section=section, json=bytes(size)))
    return alter_schema(change, database=database)


def test_a_definition_that_no_message_would_hold(replica: Replica) -> None:
    replica.ok(preserve(DEFINITION_BYTES - 10_000))
    reason, fields = replica.refused(preserve(20_000, "more"))
    assert reason == TOO_LARGE
    assert (fields["database"], fields["limit"]) == ("people", str(DEFINITION_BYTES))
    assert replica.refused(alter_schema(new_class("Person", custom_fields={"x": "y" * 20_000})))[0] == TOO_LARGE
    # Small changes still go, and it may become less.
    replica.ok(alter_schema(new_class("Person")))
    replica.ok(preserve(10))


def test_a_definition_grows_in_many_steps(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "DEFINITION_BYTES", 5_000)
    outcomes = [replica(alter_schema(new_class(f"Class{number}")))[0] for number in range(200)]
    failed = [outcome.failure.reason for outcome in outcomes if outcome.HasField("failure")]
    assert set(failed) == {TOO_LARGE}
    [found] = replica.state.store.state.databases.values()
    assert 4_800 < found.size <= 5_000


def test_all_definitions_fit_one_answer(replica: Replica) -> None:
    for name in ("one", "two"):
        replica.ok(new_database(name))
    replica.ok(preserve(DEFINITION_BYTES - 10_000))
    replica.ok(preserve(DEFINITION_BYTES - 10_000, database="one"))
    reason, fields = replica.refused(preserve(30_000, database="two"))
    assert (reason, fields["limit"]) == (TOO_LARGE, str(DEFINITIONS_BYTES))
    with replica.state.store.view() as view:
        assert sum(found.ByteSize() for found in view.databases()) < MESSAGE_BYTES
    # A database that goes makes room.
    replica.ok(command(drop_database=db.DropDatabaseRequest(name="one")))
    replica.ok(preserve(30_000, database="two"))


def test_databases_are_bounded(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "DATABASES", 3)
    replica.ok(new_database("one"), new_database("two"))
    reason, fields = replica.refused(new_database("three"))
    assert (reason, fields["unit"], fields["limit"]) == (TOO_LARGE, "databases", "3")
