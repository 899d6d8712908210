"""count, min, max, sum and avg, over all rows or by group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from quiesce.errors import UnfitValue
from quiesce.records import RID, Long
from quiesce.sql.arithmetic import average, total
from quiesce.sql.expressions import Call, Expression, Field, Star
from quiesce.sql.rows import Row
from quiesce.sql.texts import text_of
from quiesce.sql.values import compare, is_collection, is_number
from quiesce.sql.walking import replaced, walk

NAMES = frozenset(("count", "min", "max", "sum", "avg"))


class Aggregate:
    """One aggregate of one group, as far as its rows have been seen."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0
        self._value: Any = None

    def add(self, value: Any) -> None:
        """Take in the value of a row; null counts for nothing."""
        if value is None:
            return
        self._count += 1
        match self._name:
            case "min":
                self._keep(value, -1)
            case "max":
                self._keep(value, 1)
            case "sum" | "avg":
                if not is_number(value):
                    raise UnfitValue(detail=f"{self._name}() of `{text_of(value)}`, which is not a number")
                self._value = value if self._value is None else total((self._value, value))
            case _:
                pass

    def _keep(self, value: Any, order: int) -> None:
        if self._value is None or compare(value, self._value) == order:
            self._value = value

    def result(self) -> Any:
        """Return what it comes to; null where there were no values, but 0 for a count."""
        if self._name == "count":
            return Long(self._count)
        return average(self._value, self._count) if self._name == "avg" and self._count else self._value


def is_aggregate(expression: Expression) -> bool:
    """Return whether an expression is the call of an aggregate."""
    return isinstance(expression, Call) and expression.name.lower() in NAMES


def has_aggregate(expression: Expression) -> bool:
    """Return whether an expression has an aggregate anywhere in it."""
    return any(map(is_aggregate, walk(expression)))


@dataclass(slots=True, eq=False)
class Group:
    """Rows that belong together: the first of them, and the aggregates of all."""

    first: Row
    results: dict[str, Any]

    @property
    def size(self) -> int:
        """Bytes of the first row."""
        return self.first.size

    def get(self, name: str) -> Any:
        """Return an aggregate by its place, or a field of the first row."""
        return self.results[name] if name in self.results else self.first.get(name)

    def has(self, name: str) -> bool:
        """Return whether there is such a field."""
        return name in self.results or self.first.has(name)

    def fields(self) -> Iterable[tuple[str, Any]]:
        """Return the fields of the first row."""
        return self.first.fields()

    @property
    def class_name(self) -> str | None:
        """The class of the first row."""
        return self.first.class_name


class Split:
    """Expressions split into aggregates and what is computed of their results."""

    def __init__(self) -> None:
        self.calls: dict[Call, str] = {}

    def without_aggregates(self, expression: Expression) -> Expression:
        """Return an expression with a field of a Group in the place of each aggregate.

        Raises:
            UnfitValue: one has not one argument, or another aggregate in it.
        """

        def place(part: Expression) -> Expression | None:
            if not isinstance(part, Call) or not is_aggregate(part):
                return None
            if len(part.arguments) != 1 or has_aggregate(part.arguments[0]):
                raise UnfitValue(detail=f"{part.name}() takes one argument, which is no aggregate")
            if isinstance(part.arguments[0], Star) and part.name.lower() != "count":
                raise UnfitValue(detail=f"{part.name}(*) is nothing; count(*) counts rows")
            # No field of a record has such a name.
            return Field(self.calls.setdefault(part, f"@aggregate {len(self.calls)}"))

        return replaced(expression, place)


def grouped(
    rows: Iterable[tuple[Row, tuple[list[Any], list[Any]]]], places: list[tuple[str, str]], check: Callable[[int], None]
) -> Iterator[Group]:
    """Yield the groups, in the order in which each was first seen.

    Args:
        rows: each with the values that it is grouped by, and those that its aggregates take.
        places: name and place of each aggregate.
        check: called with the number of groups whenever there is one more.
    """
    groups: dict[Any, tuple[Row, list[Aggregate]]] = {}
    for row, (keys, values) in rows:
        key = tuple(map(frozen, keys))
        found = groups.get(key)
        if found is None:
            check(len(groups) + 1)
            found = groups[key] = row, [Aggregate(name) for name, _ in places]
        for aggregate, value in zip(found[1], values, strict=True):
            aggregate.add(value)
    for row, aggregates in groups.values():
        yield Group(row, {place: one.result() for (_, place), one in zip(places, aggregates, strict=True)})


def frozen(value: Any) -> Any:
    """Return something hashable that is equal for equal values of one kind."""
    if value is None or isinstance(value, str | RID | bytes):
        return value
    if isinstance(value, bool):
        return ("boolean", value)
    if is_number(value):
        return ("number", value)
    if isinstance(value, set | frozenset):
        return ("set", frozenset(map(frozen, value)))
    if is_collection(value):
        return ("list", tuple(map(frozen, value)))
    if isinstance(value, dict):
        return ("map", frozenset((key, frozen(item)) for key, item in value.items()))
    return (type(value).__name__, value)
