"""What is printed of any syntax tree is parsed to the same; what is computed of it is what a plain reference says."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from quiesce.records import RID, Float, Long
from quiesce.sql.catalog import Catalog
from quiesce.sql.evaluation import Context, compiled
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
from quiesce.sql.parsing import parse
from quiesce.sql.printing import select_text
from quiesce.sql.rows import Computed
from quiesce.sql.statements import (
    ClassTarget,
    ClusterTarget,
    IndexTarget,
    Ordering,
    Projection,
    QueryTarget,
    RecordTarget,
    Select,
)
from quiesce.v1.database_pb2 import Database

_WORDS = (
    "name",
    "a",
    "ünïcode",
    "select",
    "from",
    "null",
    "In",
    "class",
    "$x",
    "key",
    "two words",
    "1st",
    "not",
    "desc",
)
names = st.sampled_from(_WORDS)
fields = st.sampled_from((*_WORDS, "@rid", "@class"))
rids = st.builds(RID, st.integers(-1, 32767), st.integers(-1, 1 << 40))
numbers = st.one_of(
    st.integers(0, (1 << 31) - 1),
    st.integers(1 << 31, (1 << 63) - 1).map(Long),
    st.integers(0, 5).map(Long),
    st.floats(0, 1e30, allow_subnormal=False).map(Float),
    st.floats(0, 1e300, allow_subnormal=False),
)
literals = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=8), rids).map(Literal)
simple = st.one_of(literals, fields.map(Field))


def _grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    arguments = st.lists(inner, max_size=2).map(tuple)
    keys = st.text(max_size=4)
    # CONTAINS with a condition is a form of its own.
    comparators = st.sampled_from([one for one in Comparator if one is not Comparator.CONTAINS])
    conditions = st.builds(Comparison, comparators, inner, inner)
    values = inner.filter(lambda one: not isinstance(one, CONDITIONS))
    return st.one_of(
        st.builds(ListLiteral, st.lists(inner, max_size=3).map(tuple)),
        st.builds(MapLiteral, st.lists(st.tuples(keys, inner), max_size=2).map(tuple)),
        st.builds(Member, inner, names),
        st.builds(Item, inner, inner),
        st.builds(Call, st.sampled_from(("out", "in", "Coalesce")), arguments),
        st.builds(Call, st.just("count"), st.just((Star(),))),
        st.builds(Method, inner, st.sampled_from(("size", "toUpperCase")), arguments),
        st.builds(Arithmetic, st.sampled_from("+-*/%"), inner, inner),
        st.builds(Negative, inner),
        conditions,
        st.builds(Comparison, st.just(Comparator.CONTAINS), inner, values),
        st.builds(ContainsWhere, inner, conditions),
        st.builds(Between, inner, inner, inner),
        st.builds(IsNull, inner, st.booleans()),
        st.builds(IsDefined, inner, st.booleans()),
        st.builds(Not, inner),
        st.builds(And, several),
        st.builds(Or, several),
        st.builds(Subquery, st.builds(Select, target=st.builds(ClassTarget, names))),
    )


expressions: st.SearchStrategy[Expression] = st.recursive(simple, _grown, max_leaves=12)
targets = st.one_of(
    names.map(ClassTarget),
    st.just(ClusterTarget("city_1")),
    st.just(IndexTarget("City.name")),
    st.lists(rids, min_size=1, max_size=3).map(lambda ids: RecordTarget(tuple(ids))),
    st.just(QueryTarget(Select(target=ClassTarget("x"), limit=3))),
)
projections = st.one_of(
    st.builds(Projection, expressions, st.one_of(st.none(), names)),
    st.just(Projection(Star())),
)
selects = st.builds(
    Select,
    projections=st.lists(projections, max_size=3).map(tuple).filter(lambda found: found != (Projection(Star()),)),
    target=st.one_of(st.none(), targets),
    where=st.one_of(st.none(), expressions),
    distinct=st.booleans(),
    group_by=st.lists(expressions, max_size=2).map(tuple),
    order_by=st.lists(st.builds(Ordering, expressions, st.booleans()), max_size=2).map(tuple),
    skip=st.integers(0, 100),
    limit=st.one_of(st.none(), st.integers(0, 100)),
)


@given(selects)
@settings(max_examples=300, deadline=None)
def test_what_is_printed_is_parsed_to_the_same(select: Select) -> None:
    assert parse(select_text(select)) == select


# --- a reference for what a condition means


def reference(expression: Expression, row: dict[str, Any]) -> Any:
    """Compute an expression of small integers, texts and null, form by form."""
    match expression:
        case Literal(value):
            return value
        case Field(name):
            return row.get(name)
        case Arithmetic("+", left, right):
            one, other = reference(left, row), reference(right, row)
            if one is None or other is None:
                return other if one is None else one
            return one + other if isinstance(one, int) and isinstance(other, int) else f"{one}{other}"
        case And(operands):
            return all(reference(operand, row) for operand in operands)
        case Or(operands):
            return any(reference(operand, row) for operand in operands)
        case Not(operand):
            return not reference(operand, row)
        case IsNull(operand, negated):
            return (reference(operand, row) is None) != negated
        case Between(operand, low, high):
            ends = (
                Comparison(Comparator.GREATER_OR_EQUAL, operand, low),
                Comparison(Comparator.LESS_OR_EQUAL, operand, high),
            )
            return all(reference(end, row) for end in ends)
        case Comparison(Comparator.IN, left, ListLiteral(items)):
            return any(reference(Comparison(Comparator.EQUAL, left, item), row) for item in items)
        case Comparison(operator, left, right):
            return _compared(operator, reference(left, row), reference(right, row))
    raise AssertionError(expression)


def _compared(operator: Comparator, left: Any, right: Any) -> bool:
    if operator is Comparator.NOT_EQUAL:
        return not _compared(Comparator.EQUAL, left, right)
    if left is None or right is None:
        return False
    if isinstance(left, str):
        right = str(right)
    elif isinstance(right, str):
        if not right.lstrip("-").isdigit():
            return False
        right = int(right)
    return {
        Comparator.EQUAL: left == right,
        Comparator.LESS: left < right,
        Comparator.LESS_OR_EQUAL: left <= right,
        Comparator.GREATER: left > right,
        Comparator.GREATER_OR_EQUAL: left >= right,
    }[operator]


values = st.one_of(st.none(), st.integers(-20, 20), st.sampled_from(("", "a", "b", "7", "-3")))
operands = st.recursive(
    st.one_of(values.map(Literal), st.sampled_from("xyz").map(Field)),
    lambda inner: st.builds(Arithmetic, st.just("+"), inner, inner),
    max_leaves=3,
)
orders = st.sampled_from([Comparator.EQUAL, Comparator.NOT_EQUAL, Comparator.LESS, Comparator.LESS_OR_EQUAL,
                          Comparator.GREATER, Comparator.GREATER_OR_EQUAL])  # fmt: skip
conditions = st.recursive(
    st.one_of(
        st.builds(Comparison, orders, operands, operands),
        st.builds(
            Comparison,
            st.just(Comparator.IN),
            operands,
            st.builds(ListLiteral, st.lists(operands, max_size=3).map(tuple)),
        ),
        st.builds(IsNull, operands, st.booleans()),
        st.builds(Between, operands, operands, operands),
    ),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)
CONTEXT = Context(Links(lambda _: []), Catalog(Database()))


@given(conditions, st.fixed_dictionaries({}, optional={"x": values, "y": values, "z": values}))
@settings(max_examples=500, deadline=None)
def test_conditions_mean_what_the_reference_says(condition: Expression, row: dict[str, Any]) -> None:
    assert compiled(condition, CONTEXT)(Computed(dict(row))) is bool(reference(condition, row))
