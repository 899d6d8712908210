"""Computes expressions of rows: the syntax tree becomes functions once, which then run for every row."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from quiesce.errors import StatementNotSupported, UnfitValue
from quiesce.records import RID, Document
from quiesce.sql import arithmetic, graph, methods
from quiesce.sql.comparisons import COLLATED, TESTS
from quiesce.sql.expressions import (
    CONDITIONS,
    And,
    Arithmetic,
    Between,
    Call,
    Comparator,
    Comparison,
    ContainsWhere,
    Expression,
    Field,
    IsDefined,
    IsNull,
    Item,
    ListLiteral,
    Literal,
    MapLiteral,
    Member,
    Method,
    Negative,
    Not,
    Or,
    Star,
    Subquery,
)
from quiesce.sql.links import Links
from quiesce.sql.rows import Computed, Element, Row, row_of
from quiesce.sql.statements import Select
from quiesce.sql.texts import text_of
from quiesce.sql.values import INTEGER, LONG, compare, is_collection, is_number, items_of, number_kind

Compute: TypeAlias = Callable[[Row], Any]


class Names(Protocol):
    """What an expression has to know of the schema."""

    def family(self, class_name: str) -> Collection[str]:
        """Return a class and its sub-classes, in lower case; nothing where there is no such class."""

    def ignores_case(self, class_name: str | None, field: str) -> bool:
        """Return whether a property compares without regard to case (collate `ci`)."""


@dataclass(frozen=True, slots=True)
class Context:
    """What expressions are computed with: links, schema, and the rows of the queries within."""

    links: Links
    names: Names
    subqueries: Mapping[Select, list[Row]] = field(default_factory=dict)


def compiled(expression: Expression, context: Context) -> Compute:  # noqa: C901  one form after the other
    """Return a function that computes an expression of a row.

    Raises:
        StatementNotSupported: of a function, a method or a variable that is not known; by name.
    """
    match expression:
        case Literal(value):
            return lambda _: value
        case ListLiteral(items):
            parts = [compiled(item, context) for item in items]
            return lambda row: [part(row) for part in parts]
        case MapLiteral(entries):
            return _map(entries, context)
        case Field(name):
            return _field(name)
        case Member(base, name):
            inner = compiled(base, context)
            return lambda row: member(inner(row), name, context)
        case Item(base, key):
            return _item(base, key, context)
        case Call(name, arguments):
            return _call(name, arguments, context)
        case Method(base, name, arguments):
            return _method(base, name, arguments, context)
        case Arithmetic(operator, left, right):
            one, other = compiled(left, context), compiled(right, context)
            return lambda row: arithmetic.arithmetic(operator, one(row), other(row))
        case Negative(operand):
            inner = compiled(operand, context)
            return lambda row: arithmetic.negative(inner(row))
        case Subquery(select):
            rows = [_found(row) for row in context.subqueries[select]]
            return lambda _: rows
        case Star():
            raise StatementNotSupported(what="* as a value", instead="")
        case _:
            return _condition(expression, context)


def holds(condition: Expression | None, context: Context) -> Callable[[Row], bool]:
    """Return a function that says whether a row fits a condition; without one, all do."""
    if condition is None:
        return lambda _: True
    compute = compiled(condition, context)
    return lambda row: compute(row) is True


# --- values


def _found(row: Row) -> Any:
    """Return what a row of a query within counts as: a record is its id, a row of one column that column."""
    if isinstance(row, Element):
        return row.rid
    values = dict(row.fields())
    return next(iter(values.values())) if len(values) == 1 else values


def _map(entries: tuple[tuple[str, Expression], ...], context: Context) -> Compute:
    parts = [(key, compiled(value, context)) for key, value in entries if key not in ("@type", "@version", "@rid")]
    names = {key for key, _ in entries}
    kind = Document if names & {"@type", "@class"} else dict
    return lambda row: kind((key, part(row)) for key, part in parts)


def _field(name: str) -> Compute:
    if name[:1] == "$":
        raise StatementNotSupported(what=f"The variable {name}", instead="")
    return lambda row: row.get(name)


def member(value: Any, name: str, context: Context) -> Any:
    """Return `value.name`; of a collection, that of each of its items."""
    if isinstance(value, RID):
        found = context.links.get(value)
        return None if found is None else found.get(name)
    if isinstance(value, Mapping):
        return value.get(name)
    if is_collection(value):
        items = items_of(value)
        context.links.get_all(item for item in items if isinstance(item, RID))
        return [member(item, name, context) for item in items]
    return value.get(name) if isinstance(value, Element | Computed) else None


def _item(base: Expression, key: Expression, context: Context) -> Compute:
    inner = compiled(base, context)
    if isinstance(key, CONDITIONS):
        fits = holds(key, context)

        def fitting(row: Row) -> Any:
            value = inner(row)
            if value is None:
                return None
            return [
                item
                for item in (items_of(value) if is_collection(value) else [value])
                if item_fits(item, fits, context)
            ]

        return fitting
    place = compiled(key, context)

    def item(row: Row) -> Any:
        value, at = inner(row), place(row)
        if isinstance(value, Mapping):
            return value.get(text_of(at))
        if isinstance(value, RID) and isinstance(at, str):
            return member(value, at, context)
        if is_collection(value) and is_number(at):
            items = items_of(value)
            return items[int(at)] if 0 <= at < len(items) else None
        return None

    return item


def item_fits(item: Any, fits: Callable[[Row], bool], context: Context) -> bool:
    """Return whether a record, document or map of a collection fits a condition; other values fit none."""
    if isinstance(item, RID):
        found = context.links.get(item)
        return found is not None and fits(found)
    if isinstance(item, Mapping):
        return fits(row_of(item))
    return isinstance(item, Element | Computed) and fits(item)


def _call(name: str, arguments: tuple[Expression, ...], context: Context) -> Compute:
    parts = [compiled(argument, context) for argument in arguments]
    lower = name.lower()
    if lower in graph.FUNCTIONS:
        step = graph.FUNCTIONS[lower]
        return lambda row: step(row, [text_of(part(row)) for part in parts], context.links, context.names)
    function = methods.FUNCTIONS.get(lower)
    if function is None:
        raise StatementNotSupported(what=f"The function {name}()", instead="")
    if len(parts) not in function.arguments:
        raise UnfitValue(detail=f"{name}() does not take {len(parts)} arguments")
    call = function.call
    return lambda row: call(*[part(row) for part in parts])


def _method(base: Expression, name: str, arguments: tuple[Expression, ...], context: Context) -> Compute:
    inner = compiled(base, context)
    parts = [compiled(argument, context) for argument in arguments]
    lower = name.lower()
    if lower in graph.FUNCTIONS:
        step = graph.FUNCTIONS[lower]
        return lambda row: step(inner(row), [text_of(part(row)) for part in parts], context.links, context.names)
    method = methods.METHODS.get(lower)
    if method is None:
        raise StatementNotSupported(what=f"The method .{name}()", instead="")
    if len(parts) not in method.arguments:
        raise UnfitValue(detail=f".{name}() does not take {len(parts)} arguments")
    call = method.call
    return lambda row: call(inner(row), *[part(row) for part in parts])


# --- conditions


def _condition(expression: Expression, context: Context) -> Compute:
    match expression:
        case And(operands):
            parts = [holds(operand, context) for operand in operands]
            return lambda row: all(part(row) for part in parts)
        case Or(operands):
            parts = [holds(operand, context) for operand in operands]
            return lambda row: any(part(row) for part in parts)
        case Not(operand):
            part = holds(operand, context)
            return lambda row: not part(row)
        case IsNull(operand, negated):
            value = compiled(operand, context)
            return lambda row: (value(row) is None) is not negated
        case IsDefined(operand, negated):
            return _is_defined(operand, negated, context)
        case Between(operand, low, high):
            return _between(compiled(operand, context), compiled(low, context), compiled(high, context))
        case ContainsWhere(operand, condition):
            value, fits = compiled(operand, context), holds(condition, context)
            return lambda row: contains_where(value(row), fits, context)
        case Comparison():
            return _comparison(expression, context)
    raise AssertionError(expression)


def _is_defined(operand: Expression, negated: bool, context: Context) -> Compute:
    if isinstance(operand, Field):
        name = operand.name
        return lambda row: row.has(name) is not negated
    value = compiled(operand, context)
    return lambda row: (value(row) is not None) is not negated


def _between(value: Compute, low: Compute, high: Compute) -> Compute:
    def between(row: Row) -> bool:
        first, least, most = value(row), low(row), high(row)
        if is_number(first) and number_kind(first) in (INTEGER, LONG):
            # OrientDB makes the bounds integers, too.
            least, most = (int(bound) if is_number(bound) else bound for bound in (least, most))
        below, above = compare(first, least), compare(first, most)
        return below is not None and above is not None and below >= 0 >= above

    return between


def contains_where(value: Any, fits: Callable[[Row], bool], context: Context) -> bool:
    """Return whether an item of a collection fits a condition."""
    if not is_collection(value):
        return False
    if any(isinstance(item, RID) for item in value):
        context.links.get_all(item for item in value if isinstance(item, RID))
    return any(item_fits(item, fits, context) for item in value)


def _comparison(expression: Comparison, context: Context) -> Compute:
    operator = expression.operator
    left, right = compiled(expression.left, context), compiled(expression.right, context)
    if operator is Comparator.INSTANCEOF:
        return lambda row: _instance_of(left(row), right(row), context)
    test = TESTS[operator]
    collated = [side.name for side in (expression.left, expression.right) if isinstance(side, Field)]
    if not collated or operator not in COLLATED:
        return lambda row: test(left(row), right(row))
    ignores_case = context.names.ignores_case

    def collating(row: Row) -> bool:
        one, other = left(row), right(row)
        if any(ignores_case(row.class_name, name) for name in collated):
            one, other = _lower(one), _lower(other)
        return test(one, other)

    return collating


def _lower(value: Any) -> Any:
    if isinstance(value, str):
        return value.lower()
    return [_lower(item) for item in value] if is_collection(value) else value


def _instance_of(value: Any, class_name: Any, context: Context) -> bool:
    family = context.names.family(text_of(class_name))
    if isinstance(value, RID):
        value = context.links.get(value)
    if isinstance(value, Element | Computed | Document):
        value = value.class_name
    return isinstance(value, str) and value.lower() in family
