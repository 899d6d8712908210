"""The syntax tree of statements on records; those on the schema are in `schema_statements`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from quiesce.records import RID
from quiesce.sql.expressions import Expression


@dataclass(frozen=True, slots=True)
class ClassTarget:
    """The records of a class and its sub-classes."""

    name: str


@dataclass(frozen=True, slots=True)
class ClusterTarget:
    """The records of a cluster, by its name or its number."""

    name: str


@dataclass(frozen=True, slots=True)
class RecordTarget:
    """Records by their ids."""

    ids: tuple[RID, ...]


@dataclass(frozen=True, slots=True)
class IndexTarget:
    """The entries of an index: rows of `key` and `rid`."""

    name: str


@dataclass(frozen=True, slots=True)
class QueryTarget:
    """The rows of another query."""

    select: Select


Target: TypeAlias = ClassTarget | ClusterTarget | RecordTarget | IndexTarget | QueryTarget


@dataclass(frozen=True, slots=True)
class Projection:
    """A column of the result, and the name it is given."""

    expression: Expression
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Ordering:
    """What rows are ordered by."""

    expression: Expression
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT; without projections the rows are the records themselves, without a target there is one empty row."""

    projections: tuple[Projection, ...] = ()
    target: Target | None = None
    where: Expression | None = None
    distinct: bool = False
    group_by: tuple[Expression, ...] = ()
    order_by: tuple[Ordering, ...] = ()
    skip: int = 0
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """`path = value`: the path is a field, then names and keys within it."""

    path: Expression
    value: Expression
    operator: str = "="


@dataclass(frozen=True, slots=True)
class Insert:
    """INSERT INTO: rows of assignments, or documents of CONTENT."""

    class_name: str | None = None
    cluster: str | None = None
    rows: tuple[tuple[Assignment, ...], ...] = ()
    content: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class SetFields:
    """UPDATE ... SET."""

    assignments: tuple[Assignment, ...]


@dataclass(frozen=True, slots=True)
class Increment:
    """UPDATE ... INCREMENT."""

    assignments: tuple[Assignment, ...]


@dataclass(frozen=True, slots=True)
class RemoveFields:
    """UPDATE ... REMOVE: fields, or with a value the items of a collection that equal it."""

    removals: tuple[tuple[Expression, Expression | None], ...]


@dataclass(frozen=True, slots=True)
class Merge:
    """UPDATE ... MERGE: the fields of a document over those that are there."""

    content: Expression


@dataclass(frozen=True, slots=True)
class Content:
    """UPDATE ... CONTENT: a document in the place of the one that is there."""

    content: Expression


Change: TypeAlias = SetFields | Increment | RemoveFields | Merge | Content


@dataclass(frozen=True, slots=True)
class Update:
    """UPDATE."""

    target: Target
    changes: tuple[Change, ...]
    where: Expression | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE FROM; `kind` is "" for any records, VERTEX or EDGE."""

    kind: str
    target: Target
    where: Expression | None = None
    limit: int | None = None
    unsafe: bool = False


@dataclass(frozen=True, slots=True)
class DeleteEdgesBetween:
    """DELETE EDGE ... FROM ... TO ...: edges between vertices; one of the ends may be left open."""

    class_name: str
    source: Expression | None
    destination: Expression | None
    where: Expression | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class CreateVertex:
    """CREATE VERTEX."""

    class_name: str = "V"
    cluster: str | None = None
    assignments: tuple[Assignment, ...] = ()
    content: Expression | None = None


@dataclass(frozen=True, slots=True)
class CreateEdge:
    """CREATE EDGE: one from each source to each destination."""

    class_name: str
    source: Expression
    destination: Expression
    assignments: tuple[Assignment, ...] = ()
    content: Expression | None = None


@dataclass(frozen=True, slots=True)
class Truncate:
    """TRUNCATE CLASS, CLUSTER or RECORD; `polymorphic`: the sub-classes as well."""

    target: Target
    polymorphic: bool = False
    unsafe: bool = False


RecordStatement: TypeAlias = Insert | Update | Delete | DeleteEdgesBetween | CreateVertex | CreateEdge | Truncate


@dataclass(frozen=True, slots=True)
class Explain:
    """EXPLAIN: how a query would be answered."""

    select: Select
