"""Carries out statements that change records or the schema, and says what they did as OrientDB's console does."""

from __future__ import annotations

import time
from typing import Any

from quiesce.cli.output import Output
from quiesce.console.session import Session
from quiesce.console.values import facts, record_text
from quiesce.errors import InvalidRequest
from quiesce.sql.catalog import Catalog
from quiesce.sql.changes import Changes
from quiesce.sql.definitions import schema_changes
from quiesce.sql.rows import Element
from quiesce.sql.schema_statements import (
    AlterClass,
    AlterCluster,
    AlterProperty,
    CreateClass,
    CreateCluster,
    CreateIndex,
    CreateProperty,
    DropClass,
    DropCluster,
    DropIndex,
    DropProperty,
    SchemaStatement,
)
from quiesce.sql.statements import (
    CreateEdge,
    CreateVertex,
    Delete,
    DeleteEdgesBetween,
    Insert,
    RecordStatement,
    Truncate,
    Update,
)

# New records that are shown; the number is always said.
_SHOWN = 20


def change_records(statement: RecordStatement, session: Session, output: Output) -> None:
    """Carry out a statement that changes records.

    Raises:
        PartlyApplied: it failed behind records that it has changed.
        QuiesceError: it failed, and nothing is changed.
    """
    made_by, began = Changes(session), time.monotonic()
    created: list[Element] = []
    count = 0
    match statement:
        case Insert():
            created, verb = made_by.insert(statement), "Inserted record"
        case CreateVertex():
            created, verb = made_by.create_vertex(statement), "Created vertex"
        case CreateEdge():
            created, verb = made_by.create_edge(statement), "Created edge"
        case Update():
            count, verb = made_by.update(statement), "Updated"
        case Delete():
            count, verb = made_by.delete(statement), "Delete"
        case DeleteEdgesBetween():
            count, verb = made_by.delete_between(statement), "Delete"
        case Truncate():
            count, verb = made_by.truncate(statement), "Truncated"
    seconds = f"{time.monotonic() - began:.3f} sec(s)."
    if isinstance(statement, Insert | CreateVertex | CreateEdge):
        lines = [f"{verb} '{record_text(one)}' in {seconds}" for one in created[:_SHOWN]]
        if len(created) != 1:
            lines.append(f"{verb}(s) {len(created)} in {seconds}")
        records = [{key: value for key, value in facts(one).items() if key != "type"} for one in created]
        output.result({"count": len(created), "records": records}, "\n".join(lines))
    else:
        output.result({"count": count}, f"{verb} record(s) '{count}' in {seconds}")


def change_schema(statement: SchemaStatement, session: Session, output: Output) -> None:
    """Carry out a statement that changes the schema.

    Raises:
        QuiesceError: nothing is changed.
    """
    changes = schema_changes(statement, session.catalog())
    if not changes:
        output.result({"changed": False}, "Nothing to do.")
        return
    text, about = _said(statement, Catalog(session.client.alter_schema(session.name, changes)))
    output.result({"changed": True, **about}, text)


def _said(statement: SchemaStatement, catalog: Catalog) -> tuple[str, dict[str, Any]]:
    match statement:
        case CreateClass(name):
            total = len(catalog.database.classes)
            return f"Class created successfully. Total classes in database now: {total}.", {"class": name}
        case AlterClass(name):
            return "Class updated successfully.", {"class": name}
        case DropClass(name):
            return "Class removed successfully.", {"class": name}
        case CreateProperty(class_name, name):
            total = len(catalog.definition(class_name).properties)
            return (
                f"Property created successfully. Total properties in class now: {total}.",
                {"property": f"{class_name}.{name}"},
            )
        case AlterProperty(class_name, name):
            return "Property updated successfully.", {"property": f"{class_name}.{name}"}
        case DropProperty(class_name, name):
            return "Property removed successfully.", {"property": f"{class_name}.{name}"}
        case CreateCluster(name):
            number = catalog.cluster(name).id
            return f"Cluster created correctly with id #{number}.", {"cluster": name, "id": number}
        case AlterCluster(name):
            return "Cluster updated successfully.", {"cluster": name}
        case DropCluster(name):
            return "Cluster correctly removed.", {"cluster": name}
        case CreateIndex(name):
            return f"Created index '{name}' successfully.", {"index": name}
        case DropIndex(name):
            return f"Removed index '{name}'.", {"index": name}
    raise InvalidRequest(detail=f"{type(statement).__name__} changes no schema")
