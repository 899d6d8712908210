"""Records of an import come in as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from state_entries import (
    BLOB,
    Replica,
    alter,
    body,
    command,
    content,
    create,
    create_in,
    delete,
    fill,
    new_class,
    new_database,
    new_index,
    write,
)

from nodes.store.engine import PAGES
from quiesce.v1 import database_pb2 as db
from quiesce.v1 import record_pb2

PERSON, BYTES = 14, 15
PUBLISH = command(publish_database=db.PublishDatabaseRequest(name="people"))


def person(position: int, name: str, version: int = 1) -> tuple[int, int, bytes]:
    return position, version, body("Person", name=name)


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    replica = Replica(tmp_path)
    clusters = [db.Cluster(id=PERSON, name="person"), db.Cluster(id=BYTES, name="bytes")]
    replica.ok(new_database(importing=True), alter(*(db.SchemaChange(create_cluster=one) for one in clusters)))
    replica.ok(alter(new_class("Person", cluster_ids=[PERSON]), new_index("Person", "name")))
    return replica


def records(replica: Replica, cluster: int) -> list[tuple[int, int, bytes]]:
    with replica.state.store.view() as view:
        return [(r.position, r.version, r.body) for batch in view.scan_cluster("people", cluster) for r in batch]


def test_positions_and_versions_are_taken(replica: Replica) -> None:
    given = [person(5, "Ada", 4), person(9, "Bob"), person(2_000, "Eve", 2**31 - 1)]
    [written] = replica.write(fill(PERSON, *given)).write.written
    assert (written.cluster, written.position, written.version) == (PERSON, 2_000, 2**31 - 1)
    replica.write(fill(BYTES, (0, 1, b"\xff"), kind=BLOB))
    assert len(content(replica.state.store)[PAGES]) == 3
    replica.ok(PUBLISH)
    assert records(replica, PERSON) == given
    assert records(replica, BYTES) == [(0, 1, b"\xff")]
    with replica.state.store.view() as view:
        found = {one.id: (one.records, one.next_position) for one in view.database("people").clusters}
        [match] = view.lookup("people", "Person.name", [b'["Bob"]'], 0)
    assert found == {PERSON: (3, 2_001), BYTES: (1, 1)}
    assert [one.position for one in match.records] == [9]
    assert replica.write(create("Person", name="Joe")).write.written[0].position == 2_001


def test_they_come_in_any_order_and_more_than_once(replica: Replica) -> None:
    replica.write(fill(PERSON, person(8, "Ada"), person(9, "Bob")))
    replica.write(fill(PERSON, person(1, "Eve"), person(8, "Ada"), person(12, "Joe")))
    before = content(replica.state.store)
    replica.write(fill(PERSON, person(8, "Ada"), person(9, "Bob")), fill(PERSON, person(9, "Bob")))
    assert content(replica.state.store) == before
    replica.ok(PUBLISH)
    assert [position for position, _, _ in records(replica, PERSON)] == [1, 8, 9, 12]
    with replica.state.store.view() as view:
        assert next(one.records for one in view.database("people").clusters if one.id == PERSON) == 4


def test_two_fills_of_a_batch_see_each_other(replica: Replica) -> None:
    both = fill(PERSON, person(8, "Ada")), fill(PERSON, person(3, "Bob"), person(8, "Ada"))
    replica.write(*both)
    replica.ok(PUBLISH)
    assert [position for position, _, _ in records(replica, PERSON)] == [3, 8]


def test_what_is_refused_leaves_nothing(replica: Replica) -> None:
    replica.write(fill(PERSON, person(9, "Ada")))
    before = content(replica.state.store)
    uneven = fill(PERSON, person(3, "Bob"))
    uneven.fill.versions.append(1)

    def refused(*operations: record_pb2.Operation) -> Any:
        reason = replica.refused(write(*operations))[0]
        assert content(replica.state.store) == before
        return reason

    assert refused(fill(PERSON, person(3, "Bob"), (9, 1, b'{"other":1}'))) == "INVALID_REQUEST"
    assert refused(fill(PERSON, person(3, "Bob"), person(4, "Ada"))) == "DUPLICATE_KEY"
    assert refused(fill(PERSON, person(3, "Bob"), person(4, "Bob"))) == "DUPLICATE_KEY"
    assert refused(fill(PERSON, person(3, "Bob"), (4, 1, b"[]"))) == "INVALID_DOCUMENT"
    assert refused(fill(PERSON, person(3, "Bob")), fill(PERSON, (4, 1, b"{"))) == "INVALID_DOCUMENT"
    # Nobody reads these for an index.
    assert refused(fill(BYTES, (3, 1, b"{}"), (4, 1, b'{"a":1,}'))) == "INVALID_DOCUMENT"
    assert refused(fill(PERSON, person(4, "Bob"), person(3, "Eve"))) == "INVALID_REQUEST"
    assert refused(fill(PERSON, person(3, "Bob"), person(3, "Bob"))) == "INVALID_REQUEST"
    assert refused(fill(PERSON, person(2**63, "Bob"))) == "INVALID_REQUEST"
    assert refused(fill(PERSON, person(3, "Bob", 2**31))) == "INVALID_REQUEST"
    assert refused(uneven) == refused(fill(PERSON)) == "INVALID_REQUEST"
    assert refused(fill(PERSON, person(3, "Bob"), kind=0)) == "INVALID_REQUEST"
    assert refused(fill(99, person(3, "Bob"))) == "UNKNOWN_RECORD_CLUSTER"


def test_nothing_else_comes_in_meanwhile_and_no_fill_afterwards(replica: Replica) -> None:
    replica.write(fill(PERSON, person(9, "Ada")))
    for one in (create_in(PERSON, body("Person", name="Bob")), create("Person", name="Bob"), delete(PERSON, 9)):
        assert replica.refused(write(one))[0] == "DATABASE_IMPORTING"
    replica.ok(PUBLISH)
    assert replica.refused(write(fill(PERSON, person(10, "Bob"))))[0] == "DATABASE_NOT_IMPORTING"
