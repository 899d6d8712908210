"""Statements that change records, the graph and the schema, over a database in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from quiesce.errors import (
    BatchTooLarge,
    DuplicateKey,
    InvalidSchemaChange,
    PartlyApplied,
    StaleVersion,
    StatementNotSupported,
    Unavailable,
    UnfitValue,
    UnknownClass,
    UnknownRecord,
)
from quiesce.records import RID, Document, LinkBag, LinkSet, Long, update
from quiesce.sql import transactions
from tests.unit.sql_fakes import Memory


@pytest.fixture
def memory() -> Memory:
    found = Memory()
    for text in (
        "create class Person extends V",
        "create property Person.age integer",
        "create property Person.size long",
        "create property Person.tags embeddedset string",
        "create property Person.at embedded",
        "create property Person.friends linkset Person",
        "create class Knows extends E",
    ):
        found.run(text)
    return found


def person(memory: Memory, name: str, **more: Any) -> RID:
    fields = "".join(f", {key} = {value}" for key, value in more.items())
    rid: RID = memory.run(f"create vertex Person set name = '{name}'{fields}")[0]["@rid"]
    return rid


def one(memory: Memory, name: str) -> dict[str, Any]:
    row: dict[str, Any] = memory.run(f"select from Person where name = '{name}'")[0]
    return row


def test_values_get_the_types_of_the_schema(memory: Memory) -> None:
    memory.run(
        "insert into Person set name = 'Ada', age = '36', size = 7, tags = ['a', 'b', 'a'], at = {'x': 1},"
        " friends = ['#6:0']"
    )
    found = one(memory, "Ada")
    assert (found["age"], type(found["size"]), found["tags"]) == (36, Long, {"a", "b"})
    assert (type(found["at"]), found["friends"], type(found["friends"])) == (Document, {RID(6, 0)}, LinkSet)
    memory.run("insert into Person (name, age) values ('Bob', 1.9), ('Cleo', null)")
    assert (one(memory, "Bob")["age"], one(memory, "Cleo")["age"]) == (1, None)
    with pytest.raises(UnfitValue):
        memory.run("insert into Person set age = 'old'")
    with pytest.raises(UnfitValue):
        memory.run("insert into Person set age = 3000000000")
    with pytest.raises(UnknownClass):
        memory.run("insert into Nobody set a = 1")


def test_defaults(memory: Memory) -> None:
    memory.run("alter property Person.size default '2 + 3'")
    memory.run("alter property Person.age default 7")
    memory.run("create class Boss extends Person")
    memory.run("create property Boss.title string (default 'Lord of')")
    boss = memory.run("insert into Boss set age = null")[0]
    assert (boss["size"], boss["age"], boss["title"]) == (5, None, "Lord of")
    memory.run("alter property Person.size default 'sysdate()'")
    with pytest.raises(StatementNotSupported):
        memory.run("insert into Person set age = 1")


def test_update(memory: Memory) -> None:
    person(memory, "Ada", age=36, list="[1, 2]", map="{'a': {'b': 1}}", tags="['x', 'y']")
    person(memory, "Bob", age=7)
    assert memory.run("update Person set age = age + 1, double = age * 2 where age > 10") == 1
    assert memory.run("update Person set list[0] = 9, map.a.b = 5, map['c'] = 6 where name = 'Ada'") == 1
    found = one(memory, "Ada")
    # Each assignment sees what those before it did.
    assert (found["age"], found["double"], found["list"], found["map"]) == (37, 74, [9, 2], {"a": {"b": 5}, "c": 6})
    memory.run("update Person set age += 3 remove double, tags = 'x' merge {'extra': [1]} where name = 'Ada'")
    found = one(memory, "Ada")
    assert ("double" in found, found["age"], found["tags"], found["extra"]) == (False, 40, {"y"}, [1])
    memory.run("update Person increment age = 2 where name = 'Ada'")
    assert one(memory, "Ada")["age"] == 42
    memory.run("update Person content {'name': 'Adele'} where name = 'Ada'")
    assert {key for key in one(memory, "Adele") if key[0] != "@"} == {"name"}
    assert memory.run("update Person set seen = true limit 1") == 1
    assert memory.run("update #6:1 set seen = 'yes'") == 1
    with pytest.raises(StatementNotSupported):
        # That would be a change of another record.
        memory.run("update Person set link = #6:0, link.name = 'x'")


def test_an_edge_is_named_by_both_ends(memory: Memory) -> None:
    ada, bob = person(memory, "Ada"), person(memory, "Bob")
    writes = memory.writes
    edge = memory.run(f"create edge Knows from {ada} to {bob} set since = 1999")[0]
    assert memory.writes == writes + 1
    assert (edge["out"], edge["in"], edge["since"]) == (ada, bob, 1999)
    assert one(memory, "Ada")["out_Knows"] == [edge["@rid"]] == one(memory, "Bob")["in_Knows"]
    assert memory.run("select out('Knows').name as n, in().name as b from Person order by name") == [
        {"n": ["Bob"], "b": []},
        {"n": [], "b": ["Ada"]},
    ]
    assert memory.run(f"delete edge Knows from {ada} to {bob}") == 1
    assert one(memory, "Ada")["out_Knows"] == [] == one(memory, "Bob")["in_Knows"]
    assert memory.run("select count(*) from Knows") == [{"count(*)": 0}]


def test_a_vertex_goes_with_its_edges(memory: Memory) -> None:
    ada, bob = person(memory, "Ada"), person(memory, "Bob")
    memory.run("create edge Knows from (select from Person) to (select from Person)")
    assert memory.run("select count(*) from Knows") == [{"count(*)": 4}]
    with pytest.raises(UnfitValue):
        memory.run("delete from Person")
    assert memory.run("delete vertex Person where name = 'Ada'") == 1
    assert memory.run("select count(*) from Knows") == [{"count(*)": 1}]
    left = one(memory, "Bob")
    assert left["out_Knows"] == left["in_Knows"] != []
    assert type(left["out_Knows"]) is LinkBag
    assert memory.run(f"delete vertex {bob}") == 1
    assert memory.records == {}
    assert memory.run(f"delete vertex {ada}") == 0


def test_an_edge_needs_vertices(memory: Memory) -> None:
    ada = person(memory, "Ada")
    with pytest.raises(UnknownRecord):
        memory.run(f"create edge Knows from {ada} to #6:99")
    with pytest.raises(UnfitValue):
        memory.run(f"create edge Person from {ada} to {ada}")
    edge = memory.run(f"create edge Knows from {ada} to {ada}")[0]["@rid"]
    with pytest.raises(UnfitValue):
        memory.run(f"create edge Knows from {ada} to {edge}")
    with pytest.raises(UnfitValue):
        memory.run(f"delete vertex {edge}")


def once(memory: Memory, action: Callable[[], None]) -> None:
    """Let somebody else write before the next transaction."""

    def act() -> None:
        memory.before_write = lambda: None
        action()

    memory.before_write = act


def test_what_changed_meanwhile_is_judged_again(memory: Memory) -> None:
    ada, bob = person(memory, "Ada", age=1), person(memory, "Bob", age=1)

    def others() -> None:
        memory.write([update(ada, {"@class": "Person", "name": "Ada", "age": 5})])
        memory.write([update(bob, {"@class": "Person", "name": "Bob", "age": 100})])

    once(memory, others)
    assert memory.run("update Person set age = age + 1 where age < 50") == 1
    # The one that still fits counts from what it has become; the other is left alone.
    assert (one(memory, "Ada")["age"], one(memory, "Bob")["age"]) == (6, 100)


def test_an_edge_goes_on_where_others_took_its_position(memory: Memory) -> None:
    ada, bob = person(memory, "Ada"), person(memory, "Bob")
    once(memory, lambda: memory.run(f"create edge Knows from {bob} to {ada}"))
    memory.run(f"create edge Knows from {ada} to {bob}")
    assert memory.run("select count(*) from Knows") == [{"count(*)": 2}]
    assert len(one(memory, "Ada")["in_Knows"]) == len(one(memory, "Ada")["out_Knows"]) == 1


def test_endless_quarrels_end(memory: Memory) -> None:
    ada = person(memory, "Ada")
    quiet: list[int] = []

    def other() -> None:
        if not quiet:
            quiet.append(1)
            memory.run("update Person set seen = 1")
            quiet.clear()

    memory.before_write = other
    with pytest.raises(StaleVersion):
        memory.run(f"update {ada} set age = 1")


def test_batches_and_what_is_left_behind(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "BATCH_RECORDS", 2)
    memory.run(f"insert into Person (age) values {', '.join(f'({n})' for n in range(5))}")
    memory.writes = 0
    assert memory.run("update Person set age = age + 1") == 5
    assert memory.writes == 3
    left = [2]

    def fail() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Unavailable(addresses="x", seconds=1, detail="gone")

    memory.before_write = fail
    with pytest.raises(PartlyApplied) as caught:
        memory.run("update Person set age = 0")
    assert caught.value.fields["applied"] == "4"
    left[0] = 1

    def interrupt() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt

    memory.before_write = interrupt
    with pytest.raises(PartlyApplied, match="interrupted"):
        memory.run("update Person set age = 0")
    memory.before_write = fail
    # Where nothing has happened yet, the error is what it is.
    with pytest.raises(Unavailable):
        memory.run("update Person set age = 0")


def test_too_many_edges_at_once(memory: Memory) -> None:
    memory.run(f"insert into Person (age) values {', '.join(['(1)'] * 30)}")
    with pytest.raises(BatchTooLarge):
        memory.run("create edge Knows from (select from Person) to (select from Person)")


def test_schema(memory: Memory) -> None:
    memory.run("create index Person.age UNIQUE")
    memory.run("insert into Person set age = 1")
    with pytest.raises(DuplicateKey):
        memory.run("insert into Person set age = 1")
    memory.run("alter property Person.age mandatory true")
    memory.run("alter property Person.age max '10'")
    memory.run("alter class Person custom colour = 'red'")
    memory.run("create class Named abstract")
    memory.run("alter class Person superclass +Named")
    definition = memory.catalog().definition("person")
    declared = memory.catalog().find_property("Person", "age")
    assert declared is not None
    assert (declared.mandatory, declared.max, list(definition.super_classes)) == (True, "10", ["V", "Named"])
    assert dict(definition.custom_fields) == {"colour": "red"}
    for text in (
        "alter property Person.age type string",
        "drop property Person.age",
        "alter class V superclass +Person",
    ):
        with pytest.raises(InvalidSchemaChange):
            memory.run(text)
    memory.run("drop property Person.age force")
    assert memory.catalog().find_index("Person.age") is None
    memory.run("create cluster extra")
    memory.run("alter cluster extra name more")
    memory.run("alter class Person addcluster more")
    assert len(memory.catalog().definition("Person").cluster_ids) == 2
    memory.run("alter class Person removecluster more")
    memory.run("drop cluster more")
    with pytest.raises(StatementNotSupported):
        memory.run("alter class Person name Human")
    with pytest.raises(UnfitValue):
        memory.run("drop class Person")
    assert memory.run("truncate class Person unsafe") == 1
    memory.run("drop class Person")
    memory.run("drop class Person if exists")
    memory.run("create class V if not exists")
