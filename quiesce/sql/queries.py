"""Answers queries: rows stream from their source through the condition to the result; what is kept is bounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from quiesce.records import RID, Long, Record
from quiesce.sql.aggregates import Split, grouped
from quiesce.sql.arranging import Arranged, Bounds, arranged, chunks, projector
from quiesce.sql.catalog import Catalog
from quiesce.sql.evaluation import Compute, Context, compiled, holds
from quiesce.sql.expressions import Expression, Field, Star
from quiesce.sql.index_keys import decode_key
from quiesce.sql.links import Links
from quiesce.sql.planning import (
    CountRecords,
    LookUp,
    Nested,
    Nothing,
    Plan,
    ReadIndex,
    ReadRecords,
    ScanClass,
    ScanCluster,
    Source,
    plan,
)
from quiesce.sql.printing import column_name
from quiesce.sql.reading import Reader
from quiesce.sql.rows import Computed, Element, Row, row_of
from quiesce.sql.statements import Select
from quiesce.sql.values import is_collection, items_of, order_key
from quiesce.sql.walking import replaced, subqueries

Batches: TypeAlias = Iterator[list[Row]]
_GET = 1_000


class Queries:
    """The queries of one statement; they read through one reader."""

    def __init__(self, reader: Reader, catalog: Catalog, bounds: Bounds | None = None) -> None:
        self._reader = reader
        self._catalog = catalog
        self._bounds = bounds or Bounds()
        self.links = Links(reader.get)

    def context(self, node: Any) -> Context:
        """Return what the expressions of a statement are computed with; the queries within it are answered first."""
        answers = {select: self._kept(self.rows(plan(select, self._catalog))) for select in subqueries(node)}
        return Context(self.links, self._catalog, answers)

    def select(self, select: Select) -> Iterator[Row]:
        """Yield the rows of a query.

        Raises:
            UnknownClass, UnknownIndex, ...: it names what is not there.
            StatementNotSupported, UnfitValue: it calls what is not known, or computes what cannot be.
            StatementTooLarge: it would keep too many rows.
        """
        return self.rows(plan(select, self._catalog))

    def rows(self, found: Plan) -> Iterator[Row]:
        """Yield the rows of a planned query."""
        select = found.select
        if select.limit == 0:
            return iter(())
        if isinstance(found.source, CountRecords):
            count = self._catalog.records(list(found.source.clusters))
            return arranged(
                iter([(Computed({found.source.column: Long(count)}), [])]), replace(select, order_by=()), self._bounds
            )
        context = self.context(_expressions(select))
        rows = self.batches(found, context)
        if found.expands is not None:
            rows = self._expanded(rows, found.expands, context)
            select = replace(select, projections=())
        arrange = self._grouped if found.aggregates else self._projected
        return arranged(arrange(rows, select, context), select, self._bounds)

    def batches(self, found: Plan, context: Context) -> Batches:
        """Yield a plan's records that fit its condition, in batches."""
        fits = holds(found.select.where, context)
        for batch in self._source(found):
            yield [row for row, fit in self.links.each([batch], fits) if fit]

    # --- sources

    def _source(self, found: Plan) -> Batches:
        source: Source = found.source
        match source:
            case ScanClass(name):
                yield from self._elements(self._reader.scan(class_name=name, limit=_enough(found)))
            case ScanCluster(number, _):
                yield from self._elements(self._reader.scan(cluster=number, limit=_enough(found)))
            case ReadRecords(ids, clusters):
                wanted = [rid for rid in ids if clusters is None or rid.cluster in clusters]
                yield from self._by_ids(wanted)
            case LookUp(index, keys, clusters, _, otherwise):
                records = self._reader.look_up(index, keys)
                if records is None:
                    yield from self._source(replace(found, source=otherwise))
                else:
                    yield [Element.of(record) for record in records if record.rid.cluster in clusters]
            case ReadIndex(name):
                fields = self._catalog.index(name).fields
                for entries in self._reader.entries(name):
                    yield [Computed({"key": decode_key(fields, key), "rid": rid}) for key, rid in entries]
            case Nested(inner):
                yield from chunks(self.rows(inner))
            case Nothing():
                yield [Computed({})]

    def _elements(self, batches: Iterator[list[Record]]) -> Batches:
        try:
            for records in batches:
                yield [Element.of(record) for record in records]
        finally:
            # The scan holds a view of the node's store.
            close = getattr(batches, "close", None)
            if close is not None:
                close()

    def _by_ids(self, ids: Sequence[RID]) -> Batches:
        for first in range(0, len(ids), _GET):
            wanted = ids[first : first + _GET]
            found = {record.rid: record for record in self._reader.get(wanted)}
            yield [Element.of(found[rid]) for rid in wanted if rid in found]

    # --- what is made of rows

    def _expanded(self, rows: Batches, expression: Expression, context: Context) -> Batches:
        compute = compiled(expression, context)

        def expanded(row: Row) -> list[Row]:
            value = compute(row)
            items = items_of(value) if is_collection(value) else [value]
            self.links.get_all([item for item in items if isinstance(item, RID)])
            return [one for item in items if (one := self._as_row(item)) is not None]

        for _, several in self.links.each(rows, expanded):
            yield several

    def _as_row(self, value: Any) -> Row | None:
        if isinstance(value, RID):
            return self.links.get(value)
        if isinstance(value, dict):
            return row_of(value)
        if value is None or isinstance(value, Element | Computed):
            return value
        return Computed({"value": value})

    def _projected(self, rows: Batches, select: Select, context: Context) -> Iterator[Arranged]:
        """Yield the result of each row, with what it is ordered by."""
        project = projector(select.projections, context)
        aliases = _aliases(select)
        orders = [compiled(_unaliased(one.expression, aliases), context) for one in select.order_by]

        def computed(row: Row) -> Arranged:
            return project(row), [order_key(order(row)) for order in orders]

        return (result for _, result in self.links.each(rows, computed))

    def _grouped(self, rows: Batches, select: Select, context: Context) -> Iterator[Arranged]:
        """Yield the result of each group, with what it is ordered by."""
        split, aliases = Split(), _aliases(select)
        columns = [(column_name(one), split.without_aggregates(one.expression)) for one in select.projections]
        ordering = [split.without_aggregates(_unaliased(one.expression, aliases)) for one in select.order_by]
        results = [(name, compiled(expression, context)) for name, expression in columns]
        orders = [compiled(expression, context) for expression in ordering]
        keys = [compiled(_unaliased(expression, aliases), context) for expression in select.group_by]
        takes = [_taken(call.arguments[0], context) for call in split.calls]
        places = [(call.name.lower(), place) for call, place in split.calls.items()]

        def needed(row: Row) -> tuple[list[Any], list[Any]]:
            return [key(row) for key in keys], [take(row) for take in takes]

        def computed(group: Row) -> Arranged:
            values = {name: compute(group) for name, compute in results}
            return Computed(values), [order_key(order(group)) for order in orders]

        groups = grouped(self.links.each(rows, needed), places, self._bounds.check)
        empty = True
        for _, result in self.links.each(chunks(groups), computed):
            empty = False
            yield result
        if empty and not select.group_by and len(columns) == 1 and [name for name, _ in places] == ["count"]:
            # OrientDB answers a lone count with a row even where there is nothing; other aggregates with none.
            yield Computed({columns[0][0]: Long(0)}), []

    def _kept(self, rows: Iterator[Row]) -> list[Row]:
        kept: list[Row] = []
        size = 0
        for row in rows:
            kept.append(row)
            size += row.size
            self._bounds.check(len(kept), size)
        return kept


def _expressions(select: Select) -> tuple[Any, ...]:
    """Return where a query may have queries within: anywhere but in its target."""
    ordering = tuple(one.expression for one in select.order_by)
    return (*(one.expression for one in select.projections), select.where, *select.group_by, *ordering)


def _enough(found: Plan) -> int:
    """Return how many records a scan has to yield; 0: it depends on them."""
    select = found.select
    if select.limit is None or select.where is not None or select.order_by or select.distinct:
        return 0
    return 0 if found.aggregates or found.expands is not None else select.skip + select.limit


def _aliases(select: Select) -> dict[str, Expression]:
    return {one.alias: one.expression for one in select.projections if one.alias is not None}


def _unaliased(expression: Expression, aliases: dict[str, Expression]) -> Expression:
    """Return an expression with what each alias stands for in its place."""
    if not aliases:
        return expression
    return replaced(expression, lambda part: aliases.get(part.name) if isinstance(part, Field) else None)


def _taken(argument: Expression, context: Context) -> Compute:
    """Return what an aggregate takes of a row; of `*` something that always counts."""
    return (lambda _: True) if isinstance(argument, Star) else compiled(argument, context)
