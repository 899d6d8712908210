"""CHECK DATABASE: what can be seen through a client, record by record, in bounded memory.

Links must lead to records, an edge must be named by both of its ends, and the entries of an index must lead to records
of its class. What lies below, blocks and checksums, is for the shell's `quiesce check`, on a stopped node.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from quiesce.cli.output import Output
from quiesce.console.session import Session
from quiesce.errors import CheckFailed, InvalidDocument
from quiesce.orientdb.rid_set import RidSet
from quiesce.records import RID, Document, Record, RecordKind
from quiesce.sql.catalog import Catalog
from quiesce.sql.values import is_collection
from quiesce.v1.database_pb2 import IndexDefinition

# Problems that are told one by one.
SHOWN = 20
# Edges, and links that seem to lead nowhere, that are looked into at a time.
BATCH = 500


@dataclass(slots=True)
class _Found:
    """What a scan has seen."""

    records: RidSet = field(default_factory=RidSet)
    count: int = 0
    links: int = 0
    problems: int = 0
    told: list[str] = field(default_factory=list)

    def problem(self, text: str) -> None:
        self.problems += 1
        if len(self.told) < SHOWN:
            self.told.append(text)


def check_database(session: Session, output: Output) -> None:
    """Check the database in use, and say what is wrong.

    Raises:
        CheckFailed: something is.
    """
    catalog = session.catalog()
    found = _Found()
    output.message("Checking records...")
    for record in _records(session):
        found.records.add([record.rid])
        found.count += 1
    found.records.close()
    _check_links(session, catalog, found)
    output.message("Checking indexes...")
    for index in catalog.database.indexes:
        if index.maintained:
            _check_index(session, catalog, index, found)
    for text in found.told:
        output.message(f"- {text}", problem=text)
    if found.problems > len(found.told):
        output.message(f"- and {found.problems - len(found.told):,} more")
    facts = {"records": found.count, "links": found.links, "problems": found.problems, "told": found.told}
    if found.problems:
        raise CheckFailed(database=session.name, problems=found.problems)
    output.result(
        facts,
        f"Database `{session.name}` is consistent: {found.count:,} records, {found.links:,} links. Nothing is wrong.",
    )


def _records(session: Session) -> Iterator[Record]:
    for answer in session.client.scan(session.name, whole=True):
        for record in answer.records:
            yield Record.of(record)


def _check_links(session: Session, catalog: Catalog, found: _Found) -> None:
    """Check where links lead. Records may come and go meanwhile: what seems to be missing is asked for once more."""
    doubtful: list[tuple[RID, str, RID]] = []
    edges: list[tuple[RID, Document]] = []
    for record in _records(session):
        if record.kind is RecordKind.BLOB:
            continue
        try:
            document = record.document()
        except InvalidDocument as error:
            found.problem(error.message())
            continue
        for path, link in _links(document, ""):
            found.links += 1
            if link not in found.records:
                doubtful.append((record.rid, path, link))
        class_name = document.class_name
        if class_name is not None and catalog.is_a(class_name, "E"):
            edges.append((record.rid, document))
        if len(doubtful) >= BATCH:
            _ask_again(session, doubtful, found)
            doubtful = []
        if len(edges) >= BATCH:
            _check_edges(session, edges, found)
            edges = []
    _ask_again(session, doubtful, found)
    _check_edges(session, edges, found)


def _ask_again(session: Session, doubtful: list[tuple[RID, str, RID]], found: _Found) -> None:
    missing = _missing(session, [link for _, _, link in doubtful])
    for rid, path, link in doubtful:
        if link in missing:
            found.problem(f"{rid}: `{path}` leads to {link}, which does not exist")


def _missing(session: Session, rids: list[RID]) -> set[RID]:
    """Return those that lead to no record now."""
    return set(rids) - {record.rid for record in session.reader().get(rids)} if rids else set()


def _check_edges(session: Session, edges: list[tuple[RID, Document]], found: _Found) -> None:
    """Check that both ends of each edge name it."""
    ends = {link for _, edge in edges for name in ("out", "in") if isinstance(link := edge.get(name), RID)}
    named: dict[RID, frozenset[RID]] = {}
    for record in session.reader().get(list(ends)):
        # Any link of the vertex counts: which of its fields holds it is the matter of whoever wrote it.
        fields = record.document() if record.kind is RecordKind.DOCUMENT else {}
        named[record.rid] = frozenset(link for _, link in _links(fields, ""))
    unnamed = []
    for rid, edge in edges:
        for name in ("out", "in"):
            end = edge.get(name)
            if not isinstance(end, RID):
                found.problem(f"{rid}: the edge of class `{edge.class_name}` has no link `{name}`")
            elif end in named and rid not in named[end]:
                unnamed.append((rid, end))
    # One that was deleted meanwhile is named by nobody, and rightly so.
    deleted = _missing(session, [rid for rid, _ in unnamed])
    for rid, end in unnamed:
        if rid not in deleted:
            found.problem(f"{rid}: its end {end} does not name the edge")


def _links(value: Any, path: str) -> Iterator[tuple[str, RID]]:
    if isinstance(value, RID):
        # `#-1:-1` is OrientDB's link to nothing.
        if value.cluster >= 0:
            yield path, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _links(item, f"{path}.{name}" if path else str(name))
    elif is_collection(value):
        for item in value:
            yield from _links(item, path)


def _check_index(session: Session, catalog: Catalog, index: IndexDefinition, found: _Found) -> None:
    clusters = set(catalog.class_clusters(index.class_name))
    for entries in session.reader().entries(index.name):
        doubtful = []
        for _, rid in entries:
            if rid.cluster not in clusters:
                found.problem(f"index `{index.name}` names {rid}, which is not of class `{index.class_name}`")
            elif rid not in found.records:
                doubtful.append(rid)
        missing = _missing(session, doubtful)
        for rid in doubtful:
            if rid in missing:
                found.problem(f"index `{index.name}` names {rid}, which does not exist")
