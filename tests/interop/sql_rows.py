"""What a statement gives, by this console and by the real engine, in one form that can be compared."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, get_args

from quiesce.console.session import Session
from quiesce.records import RID, Byte, Document, Float, Long, Short
from quiesce.sql.changes import Changes
from quiesce.sql.definitions import schema_changes
from quiesce.sql.parsing import Statement
from quiesce.sql.queries import Queries
from quiesce.sql.rows import Element
from quiesce.sql.schema_statements import SchemaStatement
from quiesce.sql.statements import Delete, DeleteEdgesBetween, Select, Truncate, Update
from quiesce.sql.texts import text_of
from quiesce.sql.values import is_collection

# Rows, each as text; or how many records were changed.
Outcome = list[str] | int


def ours(statement: Statement, session: Session) -> Outcome:
    """Carry out a statement; of queries return the rows, of changes the count, of a changed schema nothing."""
    if isinstance(statement, Select):
        rows = Queries(session.reader(), session.catalog()).select(statement)
        return [_text(_plain_row(row)) for row in rows]
    if isinstance(statement, get_args(SchemaStatement)):
        session.client.alter_schema(session.name, schema_changes(statement, session.catalog()))
        return []
    changes = Changes(session)
    run: dict[type, Callable[[Any], Any]] = {
        Update: changes.update,
        Delete: changes.delete,
        DeleteEdgesBetween: changes.delete_between,
        Truncate: changes.truncate,
    }
    if type(statement) in run:
        return int(run[type(statement)](statement))
    name = {"Insert": "insert", "CreateVertex": "create_vertex", "CreateEdge": "create_edge"}[type(statement).__name__]
    return len(getattr(changes, name)(statement))


def theirs(statement: Statement, rows: list[dict[str, Any]]) -> Outcome:
    """Return what the engine gave for a statement, in the same form."""
    if isinstance(statement, Select):
        return [_text(_engine_row(row)) for row in rows]
    if isinstance(statement, get_args(SchemaStatement)):
        return []
    if isinstance(statement, Update | Delete | DeleteEdgesBetween | Truncate):
        return sum(int(row["fields"]["count"]["value"]) for row in rows)
    return len(rows)


def without_order(outcome: Outcome) -> Outcome:
    """Return rows without the order in their lists: nobody promises that of a vertex's edges, or of a set."""
    return outcome if isinstance(outcome, int) else [_text(_sorted(json.loads(row))) for row in outcome]


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(item) for key, item in value.items()}
    if isinstance(value, list) and len(value) == 2 and value[0] == "LIST":
        return ["LIST", sorted(map(_sorted, value[1]), key=_text)]
    return value


def _text(row: Any) -> str:
    return json.dumps(row, sort_keys=True, ensure_ascii=False)


def _plain_row(row: Any) -> dict[str, Any]:
    fields = {name: _typed(value) for name, value in row.fields()}
    return {"rid": str(row.rid), "class": row.class_name, **fields} if isinstance(row, Element) else fields


def _engine_row(row: dict[str, Any]) -> dict[str, Any]:
    fields = {name: _engine_value(value) for name, value in row["fields"].items()}
    return {"rid": row["rid"], "class": row.get("class"), **fields} if "rid" in row else fields


def _typed(value: Any) -> list[Any]:
    """Return type and value. Lists and bags are one type; the order of a set does not count."""
    if value is None or isinstance(value, bool):
        return ["NULL" if value is None else "BOOLEAN", value]
    for kind, name in ((Byte, "BYTE"), (Short, "SHORT"), (Long, "LONG"), (Float, "FLOAT")):
        if isinstance(value, kind):
            return [name, text_of(value)]
    if isinstance(value, int | float | Decimal):
        name = "INTEGER" if isinstance(value, int) else "DOUBLE" if isinstance(value, float) else "DECIMAL"
        return [name, text_of(value)]
    if isinstance(value, date):
        moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day, tzinfo=UTC)
        return ["DATETIME", int(moment.timestamp() * 1000)]
    if isinstance(value, bytes):
        return ["BINARY", base64.b64encode(value).decode()]
    if isinstance(value, str):
        return ["STRING", value]
    if isinstance(value, RID):
        return ["LINK", str(value)]
    if isinstance(value, dict):
        kind_name = "EMBEDDED" if isinstance(value, Document) else "MAP"
        return [kind_name, {key: item if key == "@class" else _typed(item) for key, item in value.items()}]
    assert is_collection(value), value
    items = [_typed(item) for item in value]
    return ["SET", sorted(items, key=_text)] if isinstance(value, set) else ["LIST", items]


def _engine_value(typed: dict[str, Any]) -> list[Any]:
    kind, value = typed["type"], typed["value"]
    if kind in ("NULL", "BOOLEAN", "DATETIME", "BINARY", "STRING", "LINK"):
        return [kind, value]
    if kind == "LINKBAG":
        return ["LIST", [["LINK", link] for link in value]]
    if kind == "LIST":
        return [kind, [_engine_value(item) for item in value]]
    if kind == "SET":
        return [kind, sorted((_engine_value(item) for item in value), key=_text)]
    if kind in ("ROW", "EMBEDDED", "MAP"):
        fields = value["fields"] if kind == "ROW" else value
        plain = {
            key: (item["value"] if isinstance(item, dict) else item) if key == "@class" else _engine_value(item)
            for key, item in fields.items()
        }
        return ["MAP" if kind == "MAP" else "EMBEDDED", plain]
    return [kind, str(value)]
