"""From lark's parse tree to the syntax tree: expressions and statements on records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from lark import Token, Transformer

from quiesce.records import RID, Float, Long
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

_ESCAPED = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_SPELLINGS = {"==": "=", "!=": "<>"}
_FLOAT_MAX = 3.4028234663852886e38


def unquoted(text: str) -> str:
    """Return what a text in quotes stands for."""

    def meant(found: re.Match[str]) -> str:
        escape = found[1]
        return chr(int(escape[1:], 16)) if len(escape) == 5 else _ESCAPES.get(escape, escape)

    found = _ESCAPED.sub(meant, text[1:-1])
    # JSON writes what is beyond 16 bits as two escapes.
    return _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), found)


def real(text: str) -> float:
    """Return a number with a fraction: as in OrientDB a FLOAT, unless it ends in `d` or is too large for one."""
    if text[-1] in "fF":
        return Float(text[:-1])
    value = float(text.rstrip("dD"))
    return value if text[-1] in "dD" or abs(value) >= _FLOAT_MAX else Float(value)


def whole(text: str) -> int:
    """Return an integer: a LONG where it needs to be one or is marked as such."""
    value = int(text.rstrip("lL"))
    return Long(value) if text[-1] in "lL" or value >= 1 << 31 else value


class ExpressionTree(Transformer[Token, Any]):
    """Builds expressions."""

    def start(self, children: list[Any]) -> Any:
        return children[0]

    def name(self, children: list[Token]) -> str:
        token = children[0]
        return token[1:-1] if token.type == "QUOTED" else str(token)

    def star(self, _: list[Any]) -> Star:
        return Star()

    def or_(self, children: list[Expression]) -> Expression:
        return children[0] if len(children) == 1 else Or(tuple(children))

    def and_(self, children: list[Expression]) -> Expression:
        return children[0] if len(children) == 1 else And(tuple(children))

    def not_(self, children: list[Expression]) -> Not:
        return Not(children[0])

    def compare(self, children: list[Any]) -> Comparison:
        left, operator, right = children
        return Comparison(Comparator(_SPELLINGS.get(operator, str(operator))), left, right)

    def equal(self, children: list[Expression]) -> Comparison:
        return Comparison(Comparator.EQUAL, *children)

    def compare_word(self, children: list[Any]) -> Comparison | ContainsWhere:
        left, operator, right = children
        comparator = Comparator(operator.upper())
        if comparator is Comparator.CONTAINS and isinstance(right, CONDITIONS):
            return ContainsWhere(left, right)
        return Comparison(comparator, left, right)

    def in_(self, children: list[Expression]) -> Comparison:
        return Comparison(Comparator.IN, *children)

    def not_in(self, children: list[Expression]) -> Comparison:
        return Comparison(Comparator.NOT_IN, *children)

    def between(self, children: list[Expression]) -> Between:
        return Between(*children)

    def is_null(self, children: list[Expression]) -> IsNull:
        return IsNull(children[0], negated=False)

    def is_not_null(self, children: list[Expression]) -> IsNull:
        return IsNull(children[0], negated=True)

    def is_defined(self, children: list[Expression]) -> IsDefined:
        return IsDefined(children[0], negated=False)

    def is_not_defined(self, children: list[Expression]) -> IsDefined:
        return IsDefined(children[0], negated=True)

    def arithmetic(self, children: list[Any]) -> Arithmetic:
        left, operator, right = children
        return Arithmetic(str(operator), left, right)

    def signed(self, children: list[Any]) -> Expression:
        sign, operand = children
        return Negative(operand) if sign == "-" else operand

    def member(self, children: list[Any]) -> Member:
        return Member(children[0], children[1])

    def attribute_member(self, children: list[Any]) -> Member:
        return Member(children[0], children[1].lower())

    def method(self, children: list[Any]) -> Method:
        base, name, *arguments = children
        return Method(base, name, arguments[0] if arguments else ())

    def item(self, children: list[Expression]) -> Item:
        return Item(children[0], children[1])

    def field(self, children: list[str]) -> Field:
        return Field(children[0])

    def attribute_field(self, children: list[Token]) -> Field:
        return Field(children[0].lower())

    def call(self, children: list[Any]) -> Call:
        name, *arguments = children
        return Call(name, arguments[0] if arguments else ())

    def arguments(self, children: list[Expression]) -> tuple[Expression, ...]:
        return tuple(children)

    def subquery(self, children: list[Any]) -> Subquery:
        return Subquery(children[0])

    def text(self, children: list[Token]) -> Literal:
        return Literal(unquoted(children[0]))

    def null(self, _: list[Any]) -> Literal:
        return Literal(None)

    def true(self, _: list[Any]) -> Literal:
        return Literal(True)

    def false(self, _: list[Any]) -> Literal:
        return Literal(False)

    def integer(self, children: list[Token]) -> Literal:
        return Literal(whole(children[0]))

    def decimal(self, children: list[Token]) -> Literal:
        return Literal(real(children[0]))

    def rid(self, children: list[Token]) -> Literal:
        return Literal(RID.parse(children[0]))

    def list(self, children: list[Expression]) -> ListLiteral:
        return ListLiteral(tuple(children))

    def entry(self, children: Sequence[Any]) -> tuple[str, Expression]:
        key, value = children
        return unquoted(key) if key.type in ("STRING", "QUOTED") else str(key), value

    def map(self, children: Sequence[tuple[str, Expression]]) -> MapLiteral:
        return MapLiteral(tuple(children))
