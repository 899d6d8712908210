"""From lark's parse tree to the syntax tree: queries and statements on records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lark import Token

from quiesce.errors import InvalidStatement
from quiesce.records import RID
from quiesce.sql.expressions import Expression, Field, Item, Member, Star, Subquery
from quiesce.sql.statements import (
    Assignment,
    Change,
    ClassTarget,
    ClusterTarget,
    Content,
    CreateEdge,
    CreateVertex,
    Delete,
    DeleteEdgesBetween,
    Explain,
    Increment,
    IndexTarget,
    Insert,
    Merge,
    Ordering,
    Projection,
    QueryTarget,
    RecordTarget,
    RemoveFields,
    Select,
    SetFields,
    Target,
    Truncate,
    Update,
)
from quiesce.sql.tree import ExpressionTree


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a statement whose place is known by its name."""

    name: str
    value: Any


@dataclass(slots=True)
class Clauses:
    """The parts of a statement, sorted out of the children of a rule."""

    rest: list[Any] = field(default_factory=list)
    named: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, children: list[Any]) -> Clauses:
        """Sort the children of a rule."""
        clauses = cls()
        for child in children:
            if isinstance(child, Clause):
                if child.name in clauses.named:
                    raise InvalidStatement(line=1, column=1, found=child.name, expected=f"{child.name} only once")
                clauses.named[child.name] = child.value
            else:
                clauses.rest.append(child)
        return clauses

    def get(self, name: str, default: Any = None) -> Any:
        """Return a part, or what stands for its absence."""
        return self.named.get(name, default)


class RecordTree(ExpressionTree):
    """Builds queries and statements on records."""

    # --- clauses

    def distinct(self, _: list[Any]) -> Clause:
        return Clause("DISTINCT", True)

    def projections(self, children: list[Projection]) -> Clause:
        return Clause("projections", tuple(children))

    def projection(self, children: list[Any]) -> Projection:
        return Projection(*children)

    def from_clause(self, children: list[Target]) -> Clause:
        return Clause("FROM", children[0])

    def where(self, children: list[Expression]) -> Clause:
        return Clause("WHERE", children[0])

    def group_by(self, children: list[Expression]) -> Clause:
        return Clause("GROUP BY", tuple(children))

    def order_by(self, children: list[Ordering]) -> Clause:
        return Clause("ORDER BY", tuple(children))

    def ordering(self, children: list[Any]) -> Ordering:
        expression, *direction = children
        return Ordering(expression, descending=bool(direction) and direction[0].type == "DESCENDING")

    def skip(self, children: list[Token]) -> Clause:
        return Clause("SKIP", int(children[0].rstrip("lL")))

    def page(self, children: list[Clause]) -> Clause:
        return children[0]

    def limit(self, children: list[Token]) -> Clause:
        # LIMIT -1 is OrientDB's word for no limit.
        number = int(children[-1].rstrip("lL"))
        return Clause("LIMIT", None if len(children) == 2 else number)

    def class_target(self, children: list[Any]) -> ClassTarget:
        name = children[0]
        return ClassTarget(name.partition(":")[2] if isinstance(name, Token) else name)

    def cluster_target(self, children: list[Token]) -> ClusterTarget:
        return ClusterTarget(children[0].partition(":")[2])

    def index_target(self, children: list[Token]) -> IndexTarget:
        return IndexTarget(children[0].partition(":")[2])

    def record_target(self, children: list[Token]) -> RecordTarget:
        return RecordTarget(tuple(map(RID.parse, children)))

    def query_target(self, children: list[Select]) -> QueryTarget:
        return QueryTarget(children[0])

    # --- queries

    def select(self, children: list[Any]) -> Select:
        clauses = Clauses.of(children)
        projections = clauses.get("projections", ())
        if len(projections) == 1 and projections[0] == Projection(Star()):
            projections = ()
        return Select(
            projections=projections,
            target=clauses.get("FROM"),
            where=clauses.get("WHERE"),
            distinct=clauses.get("DISTINCT", False),
            group_by=clauses.get("GROUP BY", ()),
            order_by=clauses.get("ORDER BY", ()),
            skip=clauses.get("SKIP", 0),
            limit=clauses.get("LIMIT"),
        )

    def explain(self, children: list[Select]) -> Explain:
        return Explain(children[0])

    # --- changes

    def field_path(self, children: list[str]) -> Field:
        return Field(children[0])

    def member_path(self, children: list[Any]) -> Member:
        return Member(children[0], children[1])

    def item_path(self, children: list[Any]) -> Item:
        return Item(children[0], children[1])

    def assignment(self, children: list[Any]) -> Assignment:
        if len(children) == 3:
            return Assignment(children[0], children[2], str(children[1]))
        return Assignment(children[0], children[1])

    def set_clause(self, children: list[Assignment]) -> tuple[Assignment, ...]:
        return tuple(children)

    def set_fields(self, children: list[tuple[Assignment, ...]]) -> SetFields:
        return SetFields(children[0])

    def increment(self, children: list[Assignment]) -> Increment:
        return Increment(tuple(children))

    def removal(self, children: list[Any]) -> tuple[Expression, Expression | None]:
        return children[0], children[1] if len(children) == 2 else None

    def remove_fields(self, children: list[tuple[Expression, Expression | None]]) -> RemoveFields:
        return RemoveFields(tuple(children))

    def merge(self, children: list[Expression]) -> Merge:
        return Merge(children[0])

    def content(self, children: list[Expression]) -> Content:
        return Content(children[0])

    def insert_cluster(self, children: list[str]) -> Clause:
        return Clause("CLUSTER", children[0])

    def value_row(self, children: list[Expression]) -> tuple[Expression, ...]:
        return tuple(children)

    def insert_values(self, children: list[Any]) -> Clause:
        names = [child for child in children if isinstance(child, str)]
        rows = [child for child in children if isinstance(child, tuple)]
        for row in rows:
            if len(row) != len(names):
                raise InvalidStatement(
                    line=1, column=1, found=f"{len(row)} values", expected=f"{len(names)}, one for each field"
                )
        return Clause(
            "rows", tuple(tuple(Assignment(Field(n), v) for n, v in zip(names, row, strict=True)) for row in rows)
        )

    def insert_content(self, children: list[Any]) -> Clause:
        given = children[0]
        return Clause("CONTENT", tuple(given.items) if hasattr(given, "items") else (given,))

    def insert(self, children: list[Any]) -> Insert:
        clauses = Clauses.of(children)
        target, *assignments = clauses.rest
        by_class = isinstance(target, ClassTarget)
        return Insert(
            class_name=target.name if by_class else None,
            cluster=clauses.get("CLUSTER") if by_class else target.name,
            rows=tuple(assignments) or clauses.get("rows", ()),
            content=clauses.get("CONTENT", ()),
        )

    def update(self, children: list[Any]) -> Update:
        clauses = Clauses.of(children)
        target, *changes = clauses.rest
        found: tuple[Change, ...] = tuple(changes)
        return Update(target, found, clauses.get("WHERE"), clauses.get("LIMIT"))

    def delete(self, children: list[Any]) -> Delete:
        return self._delete("", children)

    def delete_vertex(self, children: list[Any]) -> Delete:
        return self._delete("VERTEX", children)

    def delete_edge(self, children: list[Any]) -> Delete:
        return self._delete("EDGE", children)

    def _delete(self, kind: str, children: list[Any]) -> Delete:
        clauses = Clauses.of(children)
        return Delete(
            kind, clauses.rest[0], clauses.get("WHERE"), clauses.get("LIMIT"), unsafe=clauses.get("UNSAFE", False)
        )

    def edge_from(self, children: list[Expression]) -> Clause:
        return Clause("FROM", children[0])

    def edge_to(self, children: list[Expression]) -> Clause:
        return Clause("TO", children[0])

    def endpoint_query(self, children: list[Select]) -> Subquery:
        return Subquery(children[0])

    def delete_between(self, children: list[Any]) -> DeleteEdgesBetween:
        clauses = Clauses.of(children)
        return DeleteEdgesBetween(
            clauses.rest[0] if clauses.rest else "E",
            clauses.get("FROM"),
            clauses.get("TO"),
            clauses.get("WHERE"),
            clauses.get("LIMIT"),
        )

    def create_content(self, children: list[Expression]) -> Clause:
        return Clause("CONTENT", children[0])

    def create_vertex(self, children: list[Any]) -> CreateVertex:
        clauses = Clauses.of(children)
        names = [child for child in clauses.rest if isinstance(child, str)]
        assignments = [child for child in clauses.rest if isinstance(child, tuple)]
        return CreateVertex(
            names[0] if names else "V",
            clauses.get("CLUSTER"),
            assignments[0] if assignments else (),
            clauses.get("CONTENT"),
        )

    def create_edge(self, children: list[Any]) -> CreateEdge:
        clauses = Clauses.of(children)
        names = [child for child in clauses.rest if isinstance(child, str)]
        assignments = [child for child in clauses.rest if isinstance(child, tuple)]
        return CreateEdge(
            names[0] if names else "E",
            clauses.get("FROM"),
            clauses.get("TO"),
            assignments[0] if assignments else (),
            clauses.get("CONTENT"),
        )

    def polymorphic(self, _: list[Any]) -> Clause:
        return Clause("POLYMORPHIC", True)

    def unsafe(self, _: list[Any]) -> Clause:
        return Clause("UNSAFE", True)

    def truncate_class(self, children: list[Any]) -> Truncate:
        clauses = Clauses.of(children)
        return Truncate(
            ClassTarget(clauses.rest[0]),
            polymorphic=clauses.get("POLYMORPHIC", False),
            unsafe=clauses.get("UNSAFE", False),
        )

    def truncate_cluster(self, children: list[Any]) -> Truncate:
        clauses = Clauses.of(children)
        return Truncate(ClusterTarget(clauses.rest[0]), unsafe=clauses.get("UNSAFE", False))

    def truncate_record(self, children: list[RecordTarget]) -> Truncate:
        return Truncate(children[0])

    def cluster_name(self, children: list[Any]) -> str:
        return str(children[0])
