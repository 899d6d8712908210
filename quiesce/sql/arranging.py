"""What happens to the rows of a query at its end: columns, DISTINCT, ORDER BY, SKIP and LIMIT."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any, TypeAlias, TypeVar

from quiesce.errors import StatementTooLarge
from quiesce.sql.aggregates import frozen
from quiesce.sql.evaluation import Context, compiled
from quiesce.sql.expressions import Star
from quiesce.sql.planning import SORT_ROWS
from quiesce.sql.printing import column_name
from quiesce.sql.rows import Computed, Element, Row
from quiesce.sql.statements import Projection, Select

Item = TypeVar("Item")
# A row of the result, and what it is ordered by.
Arranged: TypeAlias = tuple[Row, list[Any]]
CHUNK_ROWS = 250
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a statement may keep in memory."""

    rows: int = SORT_ROWS
    body_bytes: int = 256 << 20

    def check(self, count: int, size: int = 0) -> None:
        """Check what would be kept.

        Raises:
            StatementTooLarge: it is too much.
        """
        if count > self.rows:
            raise StatementTooLarge(
                limit=f"{self.rows:,}",
                unit="rows",
                purpose="ordering, grouping or comparing them",
                remedy="add a LIMIT or a narrower WHERE",
            )
        if size > self.body_bytes:
            raise StatementTooLarge(
                limit=self.body_bytes >> 20,
                unit="MiB of records",
                purpose="ordering, grouping or comparing them",
                remedy="add a LIMIT or a narrower WHERE",
            )


def chunks(rows: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield rows in batches that are small enough to be held."""
    batch: list[Item] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += getattr(row, "size", 0)
        if len(batch) >= CHUNK_ROWS or size >= CHUNK_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def projector(projections: Sequence[Projection], context: Context) -> Callable[[Row], Row]:
    """Return what makes a row of the result; without projections it is the row itself."""
    if not projections:
        return lambda row: row
    columns = [
        (None, None) if isinstance(one.expression, Star) else (column_name(one), compiled(one.expression, context))
        for one in projections
    ]

    def project(row: Row) -> Row:
        values: dict[str, Any] = {}
        for name, compute in columns:
            if name is None or compute is None:
                values.update(row.fields())
            else:
                values[name] = compute(row)
        return Computed(values, row.size)

    return project


def arranged(rows: Iterator[Arranged], select: Select, bounds: Bounds) -> Iterator[Row]:
    """Yield a result's rows: each once where that is asked for, in order, without those skipped or over the limit."""
    if select.distinct:
        rows = _distinct(rows, bounds)
    if select.order_by:
        rows = iter(_sorted(rows, select, bounds))
    end = None if select.limit is None else select.skip + select.limit
    return (row for row, _ in islice(rows, select.skip, end))


def _distinct(rows: Iterator[Arranged], bounds: Bounds) -> Iterator[Arranged]:
    seen: set[Any] = set()
    size = 0
    for row, keys in rows:
        key = row.rid if isinstance(row, Element) else frozen(dict(row.fields()))
        if key not in seen:
            seen.add(key)
            size += row.size
            bounds.check(len(seen), size)
            yield row, keys


def _sorted(rows: Iterator[Arranged], select: Select, bounds: Bounds) -> list[Arranged]:
    """Return the rows in order; with a limit, no more than it needs are kept."""
    kept: list[Arranged] = []
    most = None if select.limit is None else select.skip + select.limit
    size = 0
    for row, keys in rows:
        kept.append((row, keys))
        size += row.size
        if most is not None and len(kept) >= 2 * most + 1_000:
            kept = _ordered(kept, select)[:most]
            size = sum(one.size for one, _ in kept)
        bounds.check(len(kept), size)
    return _ordered(kept, select)


def _ordered(rows: list[Arranged], select: Select) -> list[Arranged]:
    # From the last key to the first, each keeping the order of what it calls equal.
    for place in reversed(range(len(select.order_by))):
        one = itemgetter(place)
        rows.sort(key=lambda pair, one=one: one(pair[1]), reverse=select.order_by[place].descending)  # type: ignore[misc]
    return rows
