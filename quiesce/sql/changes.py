"""Carries out statements that change records: in transactions of bounded size, each of which checks what it read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from quiesce.errors import BatchTooLarge, InvalidRequest, UnfitValue
from quiesce.records import RID, Document, create, delete, update
from quiesce.sql.catalog import Catalog
from quiesce.sql.documents import changed, made
from quiesce.sql.evaluation import Context, compiled, holds
from quiesce.sql.expressions import Expression
from quiesce.sql.graph import FUNCTIONS
from quiesce.sql.graph_changes import GraphChange
from quiesce.sql.planning import target_plan
from quiesce.sql.queries import Queries
from quiesce.sql.rows import Computed, Element, Row
from quiesce.sql.statements import (
    ClassTarget,
    CreateEdge,
    CreateVertex,
    Delete,
    DeleteEdgesBetween,
    Insert,
    RecordTarget,
    Truncate,
    Update,
)
from quiesce.sql.transactions import BATCH_RECORDS, Progress, Store, batched, tried
from quiesce.sql.values import is_collection, rid_of
from quiesce.v1.record_pb2 import Operation


class Changes:
    """The statements of one session that change records."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # --- new records

    def insert(self, statement: Insert) -> list[Element]:
        """Insert the rows of a statement, in one transaction."""
        catalog = self._store.catalog()
        context = Queries(self._store.reader(), catalog).context(statement)
        class_name, cluster = _place(statement.class_name, statement.cluster, catalog)
        documents = [made(class_name, row, None, context, catalog) for row in statement.rows]
        documents += [made(class_name, (), content, context, catalog) for content in statement.content]
        return self._create(documents, class_name, cluster)

    def create_vertex(self, statement: CreateVertex) -> list[Element]:
        """Create a vertex."""
        catalog = self._store.catalog()
        _check_kind(statement.class_name, "V", "vertex", catalog)
        context = Queries(self._store.reader(), catalog).context(statement)
        class_name, cluster = _place(statement.class_name, statement.cluster, catalog)
        document = made(class_name, statement.assignments, statement.content, context, catalog)
        return self._create([document], class_name, cluster)

    def _create(self, documents: Sequence[Document], class_name: str | None, cluster: int | None) -> list[Element]:
        operations = [create(document, class_name=class_name, cluster=cluster) for document in documents]
        written = self._store.write(operations).written
        return [
            Element(RID.of(record), record.version, document)
            for record, document in zip(written, documents, strict=True)
        ]

    def create_edge(self, statement: CreateEdge) -> list[Element]:
        """Create an edge from each source to each destination; at most BATCH_RECORDS, in one transaction."""
        catalog = self._store.catalog()
        definition = _check_kind(statement.class_name, "E", "edge", catalog)
        queries = Queries(self._store.reader(), catalog)
        context = queries.context(statement)
        sources = self._ends(statement.source, context, queries)
        destinations = self._ends(statement.destination, context, queries)
        pairs = [(source, destination) for source in sources for destination in destinations]
        if not pairs:
            return []
        if len(pairs) > BATCH_RECORDS:
            raise BatchTooLarge(size=len(pairs), limit=BATCH_RECORDS, unit="edges in one statement")
        document = made(definition, statement.assignments, statement.content, context, catalog)

        def attempt() -> tuple[list[Operation], list[tuple[RID, Document]]]:
            now = self._store.catalog()
            cluster = now.definition(definition).default_cluster_id
            following = now.cluster(str(cluster)).next_position
            change = GraphChange(self._store.reader().get, now)
            for place, (source, destination) in enumerate(pairs):
                change.create_edge(RID(cluster, following + place), document, source, destination)
            return change.operations(), change.created

        created = tried(self._store, attempt)
        return [Element(rid, 1, edge) for rid, edge in created]

    def _ends(self, expression: Expression, context: Context, queries: Queries) -> list[RID]:
        value = queries.links.now(lambda: compiled(expression, context)(Computed({})))
        items = value if is_collection(value) else [value]
        found = [rid_of(item) for item in items]
        if any(rid is None for rid in found):
            raise UnfitValue(
                detail="an edge leads from records to records; FROM and TO take record ids or a query of records"
            )
        return [rid for rid in found if rid is not None]

    # --- changes

    def update(self, statement: Update) -> int:
        """Change the records that fit; return how many."""
        catalog = self._store.catalog()

        def operations(elements: list[Element], context: Context) -> list[Operation]:
            made_of = [(element, changed(element, statement.changes, context, catalog)) for element in elements]
            return [update(one.rid, document, expected_version=one.version) for one, document in made_of]

        found = Delete("", statement.target, statement.where, statement.limit)
        return self._each(statement, found, catalog, operations)

    def delete(self, statement: Delete) -> int:
        """Delete the records that fit, vertices with their edges and edges with their ends' names of them."""
        catalog = self._store.catalog()
        if statement.kind == "VERTEX":
            return self._delete_vertices(statement, catalog)
        if statement.kind == "EDGE":
            return self._delete_edges(statement, catalog)

        def operations(elements: list[Element], _: Context) -> list[Operation]:
            if not statement.unsafe:
                _check_safe(elements, catalog)
            return [delete(one.rid, expected_version=one.version) for one in elements]

        return self._each(statement, statement, catalog, operations)

    def truncate(self, statement: Truncate) -> int:
        """Delete all records of a class or cluster, or some records."""
        target, catalog = statement.target, self._store.catalog()
        if isinstance(target, ClassTarget) and not statement.polymorphic:
            below = sorted(catalog.family(catalog.definition(target.name).name) - {target.name.lower()})
            if below and catalog.records(catalog.class_clusters(target.name)) > catalog.records(
                list(catalog.definition(target.name).cluster_ids)
            ):
                raise UnfitValue(
                    detail=f"class `{target.name}` has sub-classes with records ({', '.join(below)}): "
                    "TRUNCATE CLASS ... POLYMORPHIC removes theirs as well"
                )
        return self.delete(Delete("", target, unsafe=statement.unsafe))

    def delete_between(self, statement: DeleteEdgesBetween) -> int:
        """Delete edges by their ends."""
        catalog = self._store.catalog()
        definition = _check_kind(statement.class_name, "E", "edge", catalog)
        queries = Queries(self._store.reader(), catalog)
        context = queries.context(statement)
        sources = None if statement.source is None else self._ends(statement.source, context, queries)
        destinations = None if statement.destination is None else self._ends(statement.destination, context, queries)
        links = self._links_of(sources, destinations, definition, queries)
        edges = Delete("EDGE", RecordTarget(tuple(links)), statement.where, statement.limit)

        def wanted(edge: Element) -> bool:
            return (
                edge.class_name is not None
                and catalog.is_a(edge.class_name, definition)
                and (sources is None or edge.get("out") in sources)
                and (destinations is None or edge.get("in") in destinations)
            )

        return self._delete_edges(edges, catalog, wanted) if links else 0

    def _links_of(
        self, sources: list[RID] | None, destinations: list[RID] | None, class_name: str, queries: Queries
    ) -> list[RID]:
        if sources is not None:
            step, ends = FUNCTIONS["oute"], sources
        else:
            step, ends = FUNCTIONS["ine"], destinations or []
        catalog = self._store.catalog()
        found: list[RID] = queries.links.now(lambda: list(step(ends, [class_name], queries.links, catalog)))
        return list(dict.fromkeys(found))

    def _delete_vertices(self, statement: Delete, catalog: Catalog) -> int:
        progress = Progress()
        for element in self._matching(statement, progress, catalog):
            _check_record(element, "V", "vertex", catalog)

            def attempt(rid: RID = element.rid) -> tuple[list[Operation], int]:
                change = GraphChange(self._store.reader().get, catalog)
                found = change.read([rid])
                if not found:
                    return [], 0
                change.delete_vertex(found[0])
                return change.operations(), 1

            progress.add(partial(tried, self._store, attempt))
        return progress.applied

    def _delete_edges(
        self, statement: Delete, catalog: Catalog, wanted: Callable[[Element], bool] = lambda _: True
    ) -> int:
        progress = Progress()
        for batch in batched(element for element in self._matching(statement, progress, catalog) if wanted(element)):
            for element in batch:
                _check_record(element, "E", "edge", catalog)

            def attempt(batch: list[Element] = batch) -> tuple[list[Operation], int]:
                change = GraphChange(self._store.reader().get, catalog)
                edges = change.read(element.rid for element in batch)
                change.delete_edges(edges)
                return change.operations(), len(edges)

            progress.add(partial(tried, self._store, attempt))
        return progress.applied

    # --- how it is done

    def _matching(self, statement: Delete, progress: Progress, catalog: Catalog) -> Iterator[Element]:
        """Yield the records that fit, as they were at one moment, up to the limit."""
        queries = Queries(self._store.reader(), catalog)
        context = queries.context(statement)
        batches = queries.batches(target_plan(statement.target, statement.where, catalog), context)
        left = statement.limit
        while left is None or left > 0:
            batch = progress.step(lambda: next(batches, None))
            if batch is None:
                return
            for row in batch[:left]:
                yield _record(row)
            left = None if left is None else left - len(batch)

    def _each(
        self,
        statement: Update | Delete,
        found: Delete,
        catalog: Catalog,
        operations: Callable[[list[Element], Context], list[Operation]],
    ) -> int:
        """Change records batch by batch; a batch that has changed meanwhile is read and judged again."""
        progress = Progress()
        first = Queries(self._store.reader(), catalog)
        context = first.context(statement)
        for batch in batched(self._matching(found, progress, catalog)):
            as_scanned = iter([(first, context, batch)])

            def attempt(
                batch: list[Element] = batch, as_scanned: Iterator[tuple[Queries, Context, list[Element]]] = as_scanned
            ) -> tuple[list[Operation], int]:
                queries, known, elements = next(as_scanned, None) or self._again(statement, batch, catalog)
                made_of = queries.links.now(lambda: operations(elements, known))
                return made_of, len(made_of)

            progress.add(partial(tried, self._store, attempt))
        return progress.applied

    def _again(
        self, statement: Update | Delete, batch: list[Element], catalog: Catalog
    ) -> tuple[Queries, Context, list[Element]]:
        """Return those records of a batch that still fit, as they are now."""
        queries = Queries(self._store.reader(), catalog)
        context = queries.context(statement)
        records = self._store.reader().get([element.rid for element in batch])
        fits = holds(statement.where, context)
        fresh = [Element.of(record) for record in records]
        return queries, context, [element for element, fit in queries.links.each([fresh], fits) if fit]


def _record(row: Row) -> Element:
    if not isinstance(row, Element):
        raise InvalidRequest(detail="only records can be changed, not the rows of an index or a query")
    return row


def _place(class_name: str | None, cluster: str | None, catalog: Catalog) -> tuple[str | None, int | None]:
    """Return the class and the cluster of new records; the cluster only where it is named."""
    if class_name is not None:
        class_name = catalog.definition(class_name).name
    if cluster is None:
        return class_name, None
    found = catalog.cluster(cluster).id
    owner = catalog.owners.get(found)
    return class_name or (None if owner is None else owner.name), found


def _check_kind(class_name: str, parent: str, what: str, catalog: Catalog) -> str:
    name = catalog.definition(class_name).name
    if not catalog.is_a(name, parent):
        raise UnfitValue(detail=f"class `{name}` is not below {parent}, so its records are no {what}s")
    return name


def _check_record(element: Element, parent: str, what: str, catalog: Catalog) -> None:
    if element.class_name is None or not catalog.is_a(element.class_name, parent):
        raise UnfitValue(detail=f"{element.rid} is of class `{element.class_name or 'none'}`, which is no {what}")


def _check_safe(elements: list[Element], catalog: Catalog) -> None:
    for element in elements:
        if element.class_name is None:
            continue
        for parent, what in (("V", "VERTEX"), ("E", "EDGE")):
            if catalog.is_a(element.class_name, parent):
                where = f"{element.rid} is of class `{element.class_name}`"
                raise UnfitValue(detail=f"{where}: use DELETE {what}, or UNSAFE, which breaks the links of the graph")
