"""The syntax tree of expressions and conditions: what a statement computes from a record."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from quiesce.sql.statements import Select


class Comparator(StrEnum):
    """What stands between two values."""

    EQUAL = "="
    NOT_EQUAL = "<>"
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    LIKE = "LIKE"
    MATCHES = "MATCHES"
    INSTANCEOF = "INSTANCEOF"
    CONTAINS = "CONTAINS"
    CONTAINS_ALL = "CONTAINSALL"
    CONTAINS_ANY = "CONTAINSANY"
    CONTAINS_KEY = "CONTAINSKEY"
    CONTAINS_VALUE = "CONTAINSVALUE"
    CONTAINS_TEXT = "CONTAINSTEXT"
    IN = "IN"
    NOT_IN = "NOT IN"


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, a text, true, false, null or a record id."""

    value: Any


@dataclass(frozen=True, slots=True)
class ListLiteral:
    """`[a, b]`."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class MapLiteral:
    """`{"a": b}`; with `@type` or `@class` among its keys it is an embedded document."""

    entries: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the record, or one of its attributes: `@rid`, `@class`, `@version`, `@this`."""

    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """`base.name`: a field of what a link, a document or a map leads to; of a collection, that of each item."""

    base: Expression
    name: str


@dataclass(frozen=True, slots=True)
class Item:
    """`base[key]`: an item of a list by its number, an entry of a map by its key, or the items that fit a condition."""

    base: Expression
    key: Expression


@dataclass(frozen=True, slots=True)
class Call:
    """A function."""

    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Method:
    """`base.name(...)`."""

    base: Expression
    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Star:
    """`*`: all fields, or all rows in `count(*)`."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`left + right`, and so on for - * / and %."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Negative:
    """`-operand`."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left operator right`."""

    operator: Comparator
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Between:
    """`operand BETWEEN low AND high`, both ends included."""

    operand: Expression
    low: Expression
    high: Expression


@dataclass(frozen=True, slots=True)
class IsNull:
    """`operand IS NULL`: absent counts as null."""

    operand: Expression
    negated: bool


@dataclass(frozen=True, slots=True)
class IsDefined:
    """`operand IS DEFINED`: the field is there, if only as null."""

    operand: Expression
    negated: bool


@dataclass(frozen=True, slots=True)
class ContainsWhere:
    """`operand CONTAINS (condition)`: one of its items fits."""

    operand: Expression
    condition: Expression


@dataclass(frozen=True, slots=True)
class Not:
    """`NOT operand`."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class And:
    """All of the operands, of which there are two or more."""

    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of the operands, of which there are two or more."""

    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Subquery:
    """`(SELECT ...)`: its rows, computed once before the statement that it stands in."""

    select: Select


Condition: TypeAlias = Comparison | Between | IsNull | IsDefined | ContainsWhere | Not | And | Or
Expression: TypeAlias = (
    Literal
    | ListLiteral
    | MapLiteral
    | Field
    | Member
    | Item
    | Call
    | Method
    | Star
    | Arithmetic
    | Negative
    | Subquery
    | Condition
)
# For isinstance.
CONDITIONS = (Comparison, Between, IsNull, IsDefined, ContainsWhere, Not, And, Or)
