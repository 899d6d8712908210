"""From the syntax tree back to text: names of columns, plans, and what a test parses again."""

from __future__ import annotations

import json
import re
from typing import Any

from quiesce.records import RID, Float, Long
from quiesce.sql.expressions import (
    And,
    Arithmetic,
    Between,
    Call,
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
from quiesce.sql.statements import (
    ClassTarget,
    ClusterTarget,
    IndexTarget,
    Projection,
    QueryTarget,
    RecordTarget,
    Select,
    Target,
)

_PLAIN_NAME = re.compile(r"[^\W\d][\w$]*\Z|\$[\w$]+\Z")
# Words that cannot be names where an expression begins; elsewhere the parser knows a name by its place.
_RESERVED = frozenset(
    ("NOT", "NULL", "TRUE", "FALSE", "SELECT", "FROM", "WHERE", "GROUP", "ORDER", "SKIP", "OFFSET", "LIMIT", "DISTINCT")
)  # fmt: skip
# How tightly a form binds; an operand that binds less gets parentheses.
_OR, _AND, _NOT, _COMPARISON, _SUM, _PRODUCT, _SIGN, _POSTFIX = range(8)


def plain_name(name: str) -> str:
    """Return a name as it is written where nothing but a name can stand."""
    return name if name[:1] == "@" or _PLAIN_NAME.match(name) else f"`{name}`"


def name_text(name: str) -> str:
    """Return a name as it is written where a keyword could stand as well, in backticks where it needs them."""
    return f"`{name}`" if name.upper() in _RESERVED else plain_name(name)


def literal_text(value: Any) -> str:
    """Return a value as it is written."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
        return f"'{escaped}'"
    if isinstance(value, RID):
        return str(value)
    if isinstance(value, Float):
        text = value.shortest()
        return f"{text}f" if "e" in text and "." not in text else text
    if isinstance(value, float):
        return f"{value!r}d"
    if isinstance(value, Long) and value < 1 << 31:
        return f"{int(value)}L"
    return str(value)


def expression_text(expression: Expression) -> str:
    """Return an expression as it is written."""
    return _text(expression)[0]


def _text(expression: Expression) -> tuple[str, int]:  # noqa: C901  one form after the other
    match expression:
        case Literal(value):
            return literal_text(value), _POSTFIX
        case ListLiteral(items):
            return f"[{', '.join(map(expression_text, items))}]", _POSTFIX
        case MapLiteral(entries):
            members = (f"{json.dumps(key, ensure_ascii=False)}: {expression_text(value)}" for key, value in entries)
            return f"{{{', '.join(members)}}}", _POSTFIX
        case Field(name):
            return name_text(name), _POSTFIX
        case Star():
            return "*", _POSTFIX
        case Member(base, name):
            return f"{_within(base, _POSTFIX)}.{plain_name(name)}", _POSTFIX
        case Item(base, key):
            return f"{_within(base, _POSTFIX)}[{expression_text(key)}]", _POSTFIX
        case Call(name, arguments):
            return f"{plain_name(name)}({', '.join(map(expression_text, arguments))})", _POSTFIX
        case Method(base, name, arguments):
            return (
                f"{_within(base, _POSTFIX)}.{plain_name(name)}({', '.join(map(expression_text, arguments))})",
                _POSTFIX,
            )
        case Subquery(select):
            return f"({select_text(select)})", _POSTFIX
        case Arithmetic(operator, left, right):
            level = _PRODUCT if operator in "*/%" else _SUM
            return f"{_within(left, level)} {operator} {_within(right, level + 1)}", level
        case Negative(operand):
            return f"- {_within(operand, _SIGN)}", _SIGN
        case Comparison(comparator, left, right):
            return f"{_within(left, _SUM)} {comparator} {_within(right, _SUM)}", _COMPARISON
        case Between(operand, low, high):
            return f"{_within(operand, _SUM)} BETWEEN {_within(low, _SUM)} AND {_within(high, _SUM)}", _COMPARISON
        case IsNull(operand, negated):
            return f"{_within(operand, _SUM)} IS {'NOT ' if negated else ''}NULL", _COMPARISON
        case IsDefined(operand, negated):
            return f"{_within(operand, _SUM)} IS {'NOT ' if negated else ''}DEFINED", _COMPARISON
        case ContainsWhere(operand, condition):
            return f"{_within(operand, _SUM)} CONTAINS ({expression_text(condition)})", _COMPARISON
        case Not(operand):
            return f"NOT {_within(operand, _NOT)}", _NOT
        case And(operands):
            return " AND ".join(_within(operand, _NOT) for operand in operands), _AND
        case Or(operands):
            return " OR ".join(_within(operand, _AND) for operand in operands), _OR
    raise AssertionError(expression)


def _within(expression: Expression, level: int) -> str:
    text, own = _text(expression)
    return text if own >= level else f"({text})"


def select_text(select: Select) -> str:
    """Return a query as it is written."""
    parts = ["SELECT"]
    if select.distinct:
        parts.append("DISTINCT")
    if select.projections:
        parts.append(", ".join(map(projection_text, select.projections)))
    if select.target is not None:
        parts.append(f"FROM {target_text(select.target)}")
    if select.where is not None:
        parts.append(f"WHERE {expression_text(select.where)}")
    if select.group_by:
        parts.append(f"GROUP BY {', '.join(map(expression_text, select.group_by))}")
    if select.order_by:
        items = (expression_text(one.expression) + (" DESC" if one.descending else "") for one in select.order_by)
        parts.append(f"ORDER BY {', '.join(items)}")
    if select.skip:
        parts.append(f"SKIP {select.skip}")
    if select.limit is not None:
        parts.append(f"LIMIT {select.limit}")
    return " ".join(parts)


def projection_text(projection: Projection) -> str:
    """Return a column as it is written."""
    text = expression_text(projection.expression)
    return text if projection.alias is None else f"{text} AS {name_text(projection.alias)}"


def column_name(projection: Projection) -> str:
    """Return the name of a column in the result: its alias, or as in OrientDB its text."""
    if projection.alias is not None:
        return projection.alias
    expression = projection.expression
    return expression.name if isinstance(expression, Field) else expression_text(expression)


def target_text(target: Target) -> str:
    """Return a target as it is written."""
    match target:
        case ClassTarget(name):
            return name_text(name)
        case ClusterTarget(name):
            return f"cluster:{name}"
        case IndexTarget(name):
            return f"index:{name}"
        case RecordTarget(ids):
            return str(ids[0]) if len(ids) == 1 else f"[{', '.join(map(str, ids))}]"
        case QueryTarget(select):
            return f"({select_text(select)})"
