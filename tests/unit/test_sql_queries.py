"""Queries over a database in memory."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from quiesce.errors import (
    InvalidStatement,
    StatementNotSupported,
    StatementTooLarge,
    UnfitValue,
    UnknownClass,
)
from quiesce.records import RID, Float, Long
from quiesce.sql.arranging import Bounds
from quiesce.sql.links import Links
from quiesce.sql.parsing import parse
from quiesce.sql.planning import CountRecords, LookUp, ReadRecords, ScanClass, explained, plan
from quiesce.sql.queries import Queries
from tests.unit.sql_fakes import Memory


@pytest.fixture
def people() -> Memory:
    memory = Memory()
    for text in (
        "create class Person extends V",
        "create property Person.name string",
        "create property Person.age integer",
        "create property Person.team string",
        "create property Person.nick string (collate ci)",
        "create class Boss extends Person",
        "create index Person.name unique",
        "create index Person.age_team on Person (age, team) notunique",
        "insert into Person set name = 'Ada', age = 36, nick = 'ADA', tags = ['a', 'b'], map = {'k': 1}",
        "insert into Person set name = 'Bob', age = 7, team = 'x'",
        "insert into Boss set name = 'Cleo', age = 50, team = 'x', friend = #6:0",
        "insert into Person set name = 'Dan'",
        "insert into Boss set name = 'Eve', age = 36, friend = #7:0",
    ):
        memory.run(text)
    return memory


def names(memory: Memory, where: str) -> list[str]:
    return [row["name"] for row in memory.run(f"select name from Person where {where} order by name")]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("age = 36", "Ada Eve"),
        ("age <> 36", "Bob Cleo Dan"),
        ("not age = 36", "Bob Cleo Dan"),
        ("age > 7 and age < 50", "Ada Eve"),
        ("age >= '36'", "Ada Cleo Eve"),
        ("age = null", ""),
        ("age is null", "Dan"),
        ("age is not null and team is null", "Ada Eve"),
        ("age is defined", "Ada Bob Cleo Eve"),
        ("age between 7 and 36", "Ada Bob Eve"),
        ("name like 'A%' or name like '_o%'", "Ada"),
        ("name like '?O?'", "Bob"),
        ("nick = 'ada'", "Ada"),
        ("name = 'ada'", ""),
        ("name in ['Ada', 'Bob', 'Zoe']", "Ada Bob"),
        ("name not in ['Ada', 'Bob']", "Cleo Dan Eve"),
        ("name in (select name from Boss)", "Cleo Eve"),
        ("@rid in (select friend from Boss)", "Ada Cleo"),
        ("tags contains 'a'", "Ada"),
        ("tags containsall ['a', 'b']", "Ada"),
        ("tags containsany ['b', 'z']", "Ada"),
        ("map containskey 'k'", "Ada"),
        ("map containsvalue 1", "Ada"),
        ("map.k = 1 and map['k'] = 1 and tags[1] = 'b'", "Ada"),
        ("name containstext 'e' and name containstext 'C'", "Cleo"),
        ("name matches '[A-C].*'", "Ada Bob Cleo"),
        ("friend.name = 'Ada'", "Cleo"),
        ("friend.friend.name = 'Ada'", "Eve"),
        ("@class = 'Boss' and @this instanceof 'Person'", "Cleo Eve"),
        ("friend = #6:0", "Cleo"),
        ("age + 1 = 37 and age % 2 = 0", "Ada Eve"),
    ],
)
def test_conditions(people: Memory, where: str, expected: str) -> None:
    assert " ".join(names(people, where)) == expected


def test_order_skip_limit_and_nulls_first(people: Memory) -> None:
    assert [row["name"] for row in people.run("select name from Person order by age desc, name skip 1 limit 3")] == [
        "Ada",
        "Eve",
        "Bob",
    ]
    assert people.run("select name from Person order by age limit 1") == [{"name": "Dan"}]
    assert people.run("select from Person limit 0") == []


def test_aggregates(people: Memory) -> None:
    assert people.run("select count(*), min(age), max(age), sum(age), avg(age), count(age) as n from Person") == [
        {"count(*)": 5, "min(age)": 7, "max(age)": 50, "sum(age)": 129, "avg(age)": 32, "n": 4}
    ]
    assert people.run("select team, count(*) as c from Person group by team order by c desc, team") == [
        {"team": None, "c": 3},
        {"team": "x", "c": 2},
    ]
    assert people.run("select count(*) from Person where age = 1000") == [{"count(*)": 0}]
    assert people.run("select max(age) from Person where age = 1000") == []


def test_distinct_subquery_expand(people: Memory) -> None:
    assert people.run("select distinct team from Person order by team") == [{"team": None}, {"team": "x"}]
    assert people.run("select n from (select name as n from Boss) where n like 'E%'") == [{"n": "Eve"}]
    assert [row["name"] for row in people.run("select expand(friend) from Boss order by name")] == ["Ada", "Cleo"]


def test_links_are_fetched_for_many_rows_at_once() -> None:
    memory = Memory()
    memory.run("create class A")
    memory.run("insert into A set name = 'target'")
    for _ in range(3):
        rows = ", ".join("(#6:0)" for _ in range(100))
        memory.run(f"insert into A (link) values {rows}")
    memory.fetches = 0
    # The fake scans three records at a time: what one batch has fetched, the next ones know.
    assert memory.run("select count(*) as n from A where link.name = 'target'") == [{"n": 300}]
    assert memory.fetches == 1


def test_different_links_of_a_batch_are_one_fetch() -> None:
    memory = Memory()
    memory.run("create class A")
    memory.run("insert into A (n) values (1), (2), (3)")
    memory.run("insert into A (link) values (#6:0), (#6:1), (#6:2)")
    memory.fetches = 0
    assert memory.run("select link.n as n from A where link.n > 0 order by n") == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert memory.fetches == 1


def test_order_by_with_a_limit_keeps_the_right_rows() -> None:
    memory = Memory()
    memory.run("create class A")
    numbers = [n * 7919 % 3001 for n in range(3000)]
    for first in range(0, 3000, 500):
        memory.run(f"insert into A (n) values {', '.join(f'({n})' for n in numbers[first : first + 500])}")
    bounds = Bounds(rows=1100)
    queries = Queries(memory, memory.catalog(), bounds)
    found = queries.select(parse("select n from A order by n desc skip 1 limit 3"))  # type: ignore[arg-type]
    assert [row.get("n") for row in found] == sorted(numbers, reverse=True)[1:4]


def test_a_row_whose_links_do_not_fit_is_refused() -> None:
    memory = Memory()
    memory.run("create class A")
    rows = ", ".join(f"('{'x' * 2000}')" for _ in range(50))
    memory.run(f"insert into A (text) values {rows}")
    links = Links(memory.get, cache_bytes=1000)
    first, second = RID(6, 0), RID(6, 1)
    with pytest.raises(StatementTooLarge):
        # Two steps one behind the other, each larger than what may be kept.
        links.now(lambda: (links.get(first), links.get(second), links.get(RID(6, 2))))


def test_an_index_is_used_where_one_fits(people: Memory) -> None:
    catalog = people.catalog()

    def source(text: str) -> Any:
        return plan(parse(text), catalog).source  # type: ignore[arg-type]

    assert isinstance(source("select from Person where name = 'Ada' and age > 3"), LookUp)
    assert source("select from Person where team = 'x' and age in [7, 50]").keys == ((7, "x"), (50, "x"))
    assert isinstance(source("select from Boss where name = 'Eve'"), LookUp)
    # A value that would have to be converted, half a key, another operator, and a choice: the index would not find all.
    for where in ("name = 5", "age = 7", "name > 'A'", "name = 'Ada' or age = 7", "name = null", "not name = 'Ada'"):
        assert isinstance(source(f"select from Person where {where}"), ScanClass), where
    # An index by which capitals are others would not find all that the property calls equal.
    people.run("create index exact on Person (nick collate default) notunique")
    assert isinstance(plan(parse("select from Person where nick = 'ada'"), people.catalog()).source, ScanClass)  # type: ignore[arg-type]
    people.run("create index any on Person (nick) notunique")
    assert isinstance(plan(parse("select from Person where nick = 'ada'"), people.catalog()).source, LookUp)  # type: ignore[arg-type]
    assert source("select count(*) from Person") == CountRecords((6, 7), "count(*)")
    assert isinstance(source("select from Person where @rid = #6:0"), ReadRecords)
    lines = explained(plan(parse("select from Person where name = 'Ada'"), catalog), sort_rows=10)  # type: ignore[arg-type]
    assert lines[0] == "+ FETCH FROM INDEX Person.name"


def test_an_index_finds_what_a_scan_finds(people: Memory) -> None:
    people.lookups = 0
    assert names(people, "name = 'Eve'") == ["Eve"]
    assert [row["name"] for row in people.run("select from Boss where name in ['Ada', 'Eve']")] == ["Eve"]
    assert people.lookups == 2


def test_memory_is_bounded(people: Memory) -> None:
    queries = Queries(people, people.catalog(), Bounds(rows=3))
    for text in (
        "select from Person order by name",
        "select distinct name from Person",
        "select name, count(*) from Person group by name",
        "select from Person where name in (select name from Person)",
    ):
        with pytest.raises(StatementTooLarge):
            list(queries.select(parse(text)))  # type: ignore[arg-type]
    limited = list(
        Queries(people, people.catalog(), Bounds(rows=2000)).select(parse("select from Person order by name limit 2"))
    )  # type: ignore[arg-type]
    assert len(limited) == 2


def test_a_limit_ends_the_scan(people: Memory) -> None:
    taken = []

    def scan(**options: Any) -> Any:
        for batch in Memory.scan(people, **options):
            taken.append(len(batch))
            yield batch

    people.scan = scan  # type: ignore[method-assign]
    assert len(people.run("select from Person where age > 0 limit 1")) == 1
    assert taken == [3]


def test_what_is_not_known_is_named(people: Memory) -> None:
    for text, name in (
        ("select shortestPath(1, 2) from Person", "shortestPath()"),
        ("select name.frobnicate() from Person", ".frobnicate()"),
        ("select $depth from Person", "$depth"),
        ("traverse out() from Person", "TRAVERSE"),
        ("select from Person let $a = 1", "LET"),
        ("rebuild index x", "REBUILD INDEX"),
        ("grant read on x to y", "GRANT"),
    ):
        with pytest.raises(StatementNotSupported) as caught:
            people.run(text)
        assert name in str(caught.value)
    with pytest.raises(UnknownClass):
        people.run("select from Nobody")
    with pytest.raises(UnfitValue):
        people.run("select 1 / 0 from Person")
    with pytest.raises(UnfitValue):
        people.run("select sum(name) from Person")


def test_a_syntax_error_has_its_place() -> None:
    for text, line, column, found in (
        ("select from", 1, 12, "the end"),
        ("select a\nfrom b\nwhere c ==", 3, 11, "the end"),
        ("selec a", 1, 1, "selec"),
        ("select a b", 1, 10, "b"),
        ("select 'abc", 1, 8, "'"),
    ):
        with pytest.raises(InvalidStatement) as caught:
            parse(text)
        fields = caught.value.fields
        assert (fields["line"], fields["column"], fields["found"]) == (str(line), str(column), found)
    with pytest.raises(InvalidStatement) as caught:
        parse("select from x\n  were", line=10, column=5)
    assert caught.value.fields["line"] == "11"


def test_types_of_results(people: Memory) -> None:
    row = people.run(
        "select 7 / 2 as a, 8 / 2 as b, 2147483647 + 1 as c, 2147483647 * 2 as d, 1.5 + 1 as e, -7 % 3 as f"
    )[0]
    assert row == {"a": 3.5, "b": 4, "c": 2147483648, "d": -2, "e": 2.5, "f": -1}
    assert (type(row["c"]), type(row["e"])) == (Long, Float)
    people.run("insert into Person set name = 'Pi', exact = 1")
    people.run("create property Person.exact decimal")
    people.run("update Person set exact = '301230.50' where name = 'Pi'")
    assert people.run("select exact / 7 as q from Person where exact = 301230.5") == [{"q": Decimal("43032.93")}]
