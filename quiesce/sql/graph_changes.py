"""Changes of a graph, kept whole: an edge and both of its ends change in one transaction."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence

from quiesce.errors import UnfitValue, UnknownRecord
from quiesce.records import RID, Document, LinkBag, Record, create, delete, update
from quiesce.sql.catalog import Catalog
from quiesce.sql.graph import edge_fields
from quiesce.sql.rows import Element
from quiesce.sql.values import is_collection
from quiesce.v1.record_pb2 import Operation


class GraphChange:
    """The records of one transaction: as they were read, and what is to become of them."""

    def __init__(self, fetch: Callable[[Sequence[RID]], Iterable[Record]], catalog: Catalog) -> None:
        self._fetch = fetch
        self._catalog = catalog
        self._found: dict[RID, Element | None] = {}
        self._documents: dict[RID, Document] = {}
        self._deleted: dict[RID, None] = {}
        self.created: list[tuple[RID, Document]] = []

    def read(self, rids: Iterable[RID]) -> list[Element]:
        """Return the records that exist among some."""
        wanted = list(dict.fromkeys(rids))
        missing = [rid for rid in wanted if rid not in self._found]
        if missing:
            self._found.update(dict.fromkeys(missing))
            self._found.update({record.rid: Element.of(record) for record in self._fetch(missing)})
        return [found for rid in wanted if (found := self._found[rid]) is not None]

    def operations(self) -> list[Operation]:
        """Return the transaction; it is refused if one of the records has changed since it was read."""
        changes = []
        for rid, document in self._documents.items():
            found = self._found[rid]
            if rid not in self._deleted and found is not None:
                changes.append(update(rid, document, expected_version=found.version))
        for rid in self._deleted:
            found = self._found[rid]
            if found is not None:
                changes.append(delete(rid, expected_version=found.version))
        creations = [create(document, cluster=rid.cluster, position=rid.position) for rid, document in self.created]
        return [*creations, *changes]

    # --- edges

    def create_edge(self, rid: RID, document: Document, source: RID, destination: RID) -> None:
        """Add an edge that will have an id, and name it in both of its ends.

        Raises:
            UnknownRecord: one of the ends does not exist.
            UnfitValue: one of them is no vertex.
        """
        label = "" if document.class_name == "E" else document.class_name
        for end, name in ((source, f"out_{label}"), (destination, f"in_{label}")):
            vertex = self._document(end)
            bag = vertex.get(name)
            if bag is None:
                vertex[name] = LinkBag([rid])
            elif isinstance(bag, RID):
                vertex[name] = LinkBag([bag, rid])
            elif isinstance(bag, list):
                bag.append(rid)
            else:
                raise UnfitValue(detail=f"field `{name}` of {end} is taken by something that is no list of edges")
        class_name = document.class_name
        own = {name: value for name, value in document.items() if name != "@class"}
        self.created.append((rid, Document({"@class": class_name, "out": source, "in": destination, **own})))

    def _document(self, rid: RID) -> Document:
        if rid not in self._documents:
            found = self.read([rid])
            if not found:
                raise UnknownRecord(rid=rid, database=self._catalog.name)
            class_name = found[0].class_name
            if class_name is None or not self._catalog.is_a(class_name, "V"):
                raise UnfitValue(detail=f"{rid} is of class `{class_name or 'none'}`, which is no vertex")
            self._documents[rid] = copy.deepcopy(found[0].document)
        return self._documents[rid]

    def delete_edges(self, edges: Sequence[Element]) -> None:
        """Remove edges, and their names from both of their ends."""
        self._found.update({edge.rid: edge for edge in edges})
        ends = [(edge, direction, edge.get(direction)) for edge in edges for direction in ("out", "in")]
        there = {found.rid for found in self.read(end for _, _, end in ends if isinstance(end, RID))}
        for edge, direction, end in ends:
            if end in there and end not in self._deleted:
                self._forget(end, direction, edge.rid)
        self._deleted.update(dict.fromkeys(edge.rid for edge in edges))

    def _forget(self, vertex: RID, direction: str, edge: RID) -> None:
        found = self._found[vertex]
        if found is None:
            return
        document = self._documents.setdefault(vertex, copy.deepcopy(found.document))
        for name in edge_fields(direction, (), list(document), self._catalog):
            bag = document[name]
            if isinstance(bag, RID) and bag == edge:
                document[name] = LinkBag()
            elif isinstance(bag, list) and edge in bag:
                bag[:] = [link for link in bag if link != edge]

    def delete_vertex(self, vertex: Element) -> None:
        """Remove a vertex with all of its edges."""
        self._found[vertex.rid] = vertex
        named = [
            link
            for direction in ("out", "in")
            for name in edge_fields(direction, (), list(vertex.document), self._catalog)
            for link in _links(vertex.document[name])
        ]
        records = self.read(named)
        edges = [record for record in records if self._is_edge(record)]
        # What is no edge is a vertex at the other end of a lightweight one, which names this one.
        neighbours = [record for record in records if not self._is_edge(record) and record.rid != vertex.rid]
        self.delete_edges(edges)
        for neighbour in neighbours:
            for direction in ("out", "in"):
                self._forget(neighbour.rid, direction, vertex.rid)
        self._deleted[vertex.rid] = None

    def _is_edge(self, record: Element) -> bool:
        return record.class_name is not None and self._catalog.is_a(record.class_name, "E")


def _links(value: object) -> list[RID]:
    if isinstance(value, RID):
        return [value]
    return [item for item in value if isinstance(item, RID)] if is_collection(value) else []  # type: ignore[attr-defined]
