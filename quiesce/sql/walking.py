"""Goes over syntax trees: finds parts of expressions, and replaces them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any, TypeVar, cast

from quiesce.sql.expressions import Expression, Subquery
from quiesce.sql.statements import Select

Node = TypeVar("Node")


def _children(node: Any) -> Iterator[Any]:
    for one in fields(node):
        yield from _nodes(getattr(node, one.name))


def _nodes(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        for item in value:
            yield from _nodes(item)
    elif hasattr(value, "__dataclass_fields__"):
        yield value


def walk(expression: Expression) -> Iterator[Expression]:
    """Yield an expression and all in it; queries within are not entered."""
    yield expression
    if isinstance(expression, Subquery):
        return
    for child in _children(expression):
        yield from walk(child)


def subqueries(node: Any) -> list[Select]:
    """Return the queries within expressions, each once: not those within them, and not a target, which is planned."""
    found: dict[Select, None] = {}

    def look(part: Any) -> None:
        if isinstance(part, Subquery):
            found[part.select] = None
        elif not isinstance(part, Select):
            for child in _children(part):
                look(child)

    for part in _nodes(node):
        look(part)
    return list(found)


def replaced(expression: Expression, change: Callable[[Expression], Expression | None]) -> Expression:
    """Return an expression with parts replaced; `change` returns what a part becomes, or None to look into it."""
    changed = change(expression)
    if changed is not None:
        return changed
    if isinstance(expression, Subquery):
        return expression
    return cast(
        "Expression",
        replace(
            expression, **{one.name: _rebuilt(getattr(expression, one.name), change) for one in fields(expression)}
        ),
    )


def _rebuilt(value: Any, change: Callable[[Expression], Expression | None]) -> Any:
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(_rebuilt(item, change) for item in value)
    return replaced(value, change) if hasattr(value, "__dataclass_fields__") else value
