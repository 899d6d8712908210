"""Decides how a query is answered: from where its records come, and by which index; nothing is read here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

from quiesce.errors import IndexNotMaintained
from quiesce.records import RID
from quiesce.sql.aggregates import has_aggregate, is_aggregate
from quiesce.sql.catalog import Catalog
from quiesce.sql.expressions import And, Call, Comparator, Comparison, Expression, Field, ListLiteral, Literal, Star
from quiesce.sql.printing import expression_text, projection_text
from quiesce.sql.statements import ClassTarget, ClusterTarget, IndexTarget, QueryTarget, RecordTarget, Select, Target
from quiesce.v1.database_pb2 import IndexDefinition, IndexField

# Keys that one query asks of an index at most; with more, a scan is quicker.
KEYS = 1_000
_INTEGERS = frozenset(("BYTE", "SHORT", "INTEGER", "LONG"))


@dataclass(frozen=True, slots=True)
class ScanClass:
    """All records of a class and its sub-classes."""

    name: str


@dataclass(frozen=True, slots=True)
class ScanCluster:
    """All records of a cluster."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class ReadRecords:
    """Records by their ids; `clusters`: only those of these clusters."""

    ids: tuple[RID, ...]
    clusters: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class LookUp:
    """Records by keys of an index; `clusters`: only those of these clusters. `otherwise`: where a key has too many."""

    index: str
    keys: tuple[tuple[Any, ...], ...]
    clusters: frozenset[int]
    condition: str
    otherwise: ScanClass


@dataclass(frozen=True, slots=True)
class ReadIndex:
    """The entries of an index, as rows of `key` and `rid`."""

    index: str


@dataclass(frozen=True, slots=True)
class CountRecords:
    """How many records there are, which the clusters know; `column` is what the number is called."""

    clusters: tuple[int, ...]
    column: str


@dataclass(frozen=True, slots=True)
class Nested:
    """The rows of another query."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Nothing:
    """One row without fields."""


Source: TypeAlias = ScanClass | ScanCluster | ReadRecords | LookUp | ReadIndex | CountRecords | Nested | Nothing


@dataclass(frozen=True, slots=True)
class Plan:
    """A query and where its rows come from."""

    select: Select
    source: Source

    @property
    def aggregates(self) -> bool:
        """Whether rows are put together."""
        return bool(self.select.group_by) or any(has_aggregate(one.expression) for one in self.select.projections)

    @property
    def expands(self) -> Expression | None:
        """What `SELECT expand(...)` makes rows of."""
        if len(self.select.projections) == 1:
            only = self.select.projections[0].expression
            if isinstance(only, Call) and only.name.lower() == "expand" and len(only.arguments) == 1:
                return only.arguments[0]
        return None


def plan(select: Select, catalog: Catalog) -> Plan:
    """Return how a query is answered.

    Raises:
        UnknownClass, UnknownRecordCluster, UnknownIndex: it names what is not there.
        IndexNotMaintained: it reads an index that is only kept as a definition.
    """
    if select.target is None:
        return Plan(select, Nothing())
    counted = _counted(select, catalog)
    return Plan(select, counted or _source(select.target, select.where, catalog))


def target_plan(target: Target, where: Expression | None, catalog: Catalog) -> Plan:
    """Return how the records of a change are found."""
    return Plan(Select(target=target, where=where), _source(target, where, catalog))


def _source(target: Target, where: Expression | None, catalog: Catalog) -> Source:
    match target:
        case ClassTarget(name):
            name = catalog.definition(name).name
            return _by_id(name, where, catalog) or _by_index(name, where, catalog) or ScanClass(name)
        case ClusterTarget(name):
            cluster = catalog.cluster(name)
            return ScanCluster(cluster.id, cluster.name)
        case RecordTarget(ids):
            return ReadRecords(ids)
        case IndexTarget(name):
            index = catalog.index(name)
            if not index.maintained:
                raise IndexNotMaintained(index=index.name, type=index.type)
            return ReadIndex(index.name)
        case QueryTarget(select):
            return Nested(plan(select, catalog))


def _counted(select: Select, catalog: Catalog) -> CountRecords | None:
    if select.where is not None or select.group_by or len(select.projections) != 1:
        return None
    only = select.projections[0].expression
    if not (
        is_aggregate(only) and isinstance(only, Call) and only.name.lower() == "count" and only.arguments == (Star(),)
    ):
        return None
    column = select.projections[0].alias or expression_text(only)
    match select.target:
        case ClassTarget(name):
            return CountRecords(tuple(catalog.class_clusters(catalog.definition(name).name)), column)
        case ClusterTarget(name):
            return CountRecords((catalog.cluster(name).id,), column)
    return None


# --- what a condition says of keys


def conjuncts(condition: Expression | None) -> list[Expression]:
    """Return the conditions all of which have to hold."""
    if condition is None:
        return []
    if isinstance(condition, And):
        return [part for operand in condition.operands for part in conjuncts(operand)]
    return [condition]


def _constants(expression: Expression) -> list[Any] | None:
    """Return the values of a literal or of a list of literals; None where it depends on the row."""
    if isinstance(expression, Literal):
        return [expression.value]
    if isinstance(expression, ListLiteral) and all(isinstance(item, Literal) for item in expression.items):
        return [item.value for item in expression.items if isinstance(item, Literal)]
    return None


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A condition that says which values a field has, or which items or keys it holds."""

    field: str
    by: IndexField.By.ValueType
    values: list[Any]
    condition: Comparison


def _wanted(condition: Expression) -> Iterator[_Wanted]:
    if not isinstance(condition, Comparison):
        return
    left, right = condition.left, condition.right
    if isinstance(left, Literal) and isinstance(right, Field):
        left, right = right, left
        if condition.operator is not Comparator.EQUAL:
            return
    if not isinstance(left, Field):
        return
    values = _constants(right)
    if values is None:
        return
    single = isinstance(right, Literal)
    match condition.operator:
        case Comparator.EQUAL if single:
            yield _Wanted(left.name, IndexField.BY_VALUE, values, condition)
        case Comparator.IN if not single:
            yield _Wanted(left.name, IndexField.BY_VALUE, values, condition)
        case Comparator.CONTAINS if single:
            yield _Wanted(left.name, IndexField.BY_ITEM, values, condition)
        case Comparator.CONTAINS_KEY if single:
            yield _Wanted(left.name, IndexField.BY_MAP_KEY, values, condition)
        case Comparator.CONTAINS_VALUE if single:
            yield _Wanted(left.name, IndexField.BY_ITEM, values, condition)


def _by_id(class_name: str, where: Expression | None, catalog: Catalog) -> ReadRecords | None:
    for condition in conjuncts(where):
        for wanted in _wanted(condition):
            if wanted.field == "@rid" and wanted.by == IndexField.BY_VALUE:
                ids = [value for value in wanted.values if isinstance(value, RID)]
                if len(ids) == len(wanted.values):
                    clusters = frozenset(catalog.class_clusters(class_name))
                    return ReadRecords(tuple(dict.fromkeys(ids)), clusters)
    return None


def _by_index(class_name: str, where: Expression | None, catalog: Catalog) -> LookUp | None:
    """Return the index whose key the condition gives: a unique one before others, a long key before a short one."""
    wanted = [one for condition in conjuncts(where) for one in _wanted(condition)]
    if not wanted:
        return None
    lineage = {definition.name.lower() for definition in catalog.lineage(class_name)}
    best: tuple[tuple[bool, int], LookUp] | None = None
    for index in catalog.database.indexes:
        if not index.maintained or index.class_name.lower() not in lineage:
            continue
        found = _keys(index, wanted, class_name, catalog)
        if found is None:
            continue
        keys, condition = found
        rank = index.type.upper().startswith("UNIQUE"), len(index.fields)
        if best is None or rank > best[0]:
            clusters = frozenset(catalog.class_clusters(class_name))
            best = rank, LookUp(index.name, keys, clusters, condition, ScanClass(class_name))
    return None if best is None else best[1]


def _keys(
    index: IndexDefinition, wanted: Sequence[_Wanted], class_name: str, catalog: Catalog
) -> tuple[tuple[tuple[Any, ...], ...], str] | None:
    chosen: list[_Wanted] = []
    for part in index.fields:
        found = next((one for one in wanted if one.field == part.name and one.by == part.by), None)
        if found is None or not all(_fits(part, value) for value in found.values):
            return None
        # An index that tells letters from their capitals would not find all that such a property calls equal.
        if catalog.ignores_case(class_name, part.name) and part.collate != "ci":
            return None
        chosen.append(found)
    count = 1
    for one in chosen:
        count *= len(one.values)
    if count > KEYS:
        return None
    keys = tuple(dict.fromkeys(product(*(one.values for one in chosen))))
    return keys, " AND ".join(expression_text(one.condition) for one in chosen)


def _fits(part: IndexField, value: Any) -> bool:
    """Return whether a key finds all that the condition calls equal: only where neither side has to be converted."""
    match part.key_type:
        case "STRING":
            return isinstance(value, str)
        case "LINK":
            return isinstance(value, RID)
        case "BOOLEAN":
            return isinstance(value, bool)
        case kind if kind in _INTEGERS:
            bits = {"BYTE": 7, "SHORT": 15, "INTEGER": 31}.get(kind, 63)
            return isinstance(value, int) and not isinstance(value, bool) and -(1 << bits) <= value < 1 << bits
    return False


# --- EXPLAIN


def explained(found: Plan, *, sort_rows: int) -> list[str]:
    """Return a plan as lines, in the words of OrientDB."""
    select = found.select
    lines = _source_lines(found.source)
    if isinstance(found.source, CountRecords):
        return lines
    if select.where is not None:
        lines += ["+ FILTER ITEMS BY", f"  {expression_text(select.where)}"]
    if found.aggregates:
        columns = ", ".join(map(projection_text, select.projections))
        lines += ["+ CALCULATE AGGREGATE PROJECTIONS", f"  {columns}"]
        if select.group_by:
            lines.append(f"  GROUP BY {', '.join(map(expression_text, select.group_by))}")
    elif select.projections:
        lines += ["+ CALCULATE PROJECTIONS", f"  {', '.join(map(projection_text, select.projections))}"]
    if select.distinct:
        lines.append("+ DISTINCT")
    if select.order_by:
        items = (expression_text(one.expression) + (" DESC" if one.descending else "") for one in select.order_by)
        kept = sort_rows if select.limit is None else min(sort_rows, select.skip + select.limit)
        lines += [f"+ ORDER BY {', '.join(items)}", f"  (at most {kept:,} rows are kept)"]
    if select.skip:
        lines.append(f"+ SKIP {select.skip}")
    if select.limit is not None:
        lines.append(f"+ LIMIT {select.limit}")
    return lines


def _source_lines(source: Source) -> list[str]:
    match source:
        case ScanClass(name):
            return [f"+ FETCH FROM CLASS {name}"]
        case ScanCluster(number, name):
            return [f"+ FETCH FROM CLUSTER {number} ({name})"]
        case ReadRecords(ids):
            return [f"+ FETCH FROM RIDs ({len(ids)})"]
        case LookUp(index, keys, _, condition, _):
            return [f"+ FETCH FROM INDEX {index}", f"  {condition} ({len(keys)} {'key' if len(keys) == 1 else 'keys'})"]
        case ReadIndex(index):
            return [f"+ FETCH FROM INDEX {index} (all entries)"]
        case CountRecords(clusters):
            return [f"+ CALCULATE CLASS SIZE (of {len(clusters)} clusters, without reading records)"]
        case Nested(inner):
            return ["+ FETCH FROM SUBQUERY", *(f"  {line}" for line in explained(inner, sort_rows=SORT_ROWS))]
        case Nothing():
            return ["+ EMPTY ROW"]


# Rows that ORDER BY, GROUP BY, DISTINCT or a query within another keep in memory at most.
SORT_ROWS = 100_000
