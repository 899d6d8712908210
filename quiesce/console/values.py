"""Values as the console shows them: as the cells of a table, as JSON, and as a record in one line."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from quiesce.records import RID
from quiesce.sql.rows import Element, Row
from quiesce.sql.texts import text_of
from quiesce.sql.values import is_collection, items_of

# A longer collection is shown as its size.
_SHOWN_ITEMS = 10


def cell(value: Any) -> str:
    """Return a value as OrientDB's console has it in a table."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"byte[{len(value)}]"
    if is_collection(value):
        items = items_of(value)
        return f"[{len(items)}]" if len(items) > _SHOWN_ITEMS else f"[{','.join(map(cell, items))}]"
    if isinstance(value, Mapping):
        inner = ",".join(f"{key}:{cell(item)}" for key, item in value.items() if key != "@class")
        class_name = value.get("@class")
        return f"{class_name or ''}{{{inner}}}"
    return text_of(value)


def plain(value: Any) -> Any:
    """Return a value as JSON has it: links as text, decimals and dates as text, bytes in base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, RID | Decimal):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return float(text_of(value)) if math.isfinite(value) else text_of(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if is_collection(value):
        return [plain(item) for item in items_of(value)]
    return value


def facts(row: Row) -> dict[str, Any]:
    """Return a row as a JSON object: its fields, and of a record what it is."""
    found: dict[str, Any] = {"type": "row"}
    if isinstance(row, Element):
        found |= {"rid": str(row.rid), "version": row.version, "class": row.class_name}
    return found | {"fields": {name: plain(value) for name, value in row.fields()}}


def record_text(element: Element) -> str:
    """Return a record in one line, as OrientDB has it: `City#18:0{name:Rome} v1`."""
    inner = ",".join(f"{name}:{cell(value)}" for name, value in element.fields())
    return f"{element.class_name or ''}{element.rid}{{{inner}}} v{element.version}"


def record_json(element: Element) -> str:
    """Return a record as a JSON document over several lines."""
    head = {"@rid": str(element.rid), "@version": element.version}
    if element.class_name is not None:
        head["@class"] = element.class_name
    fields = {name: plain(value) for name, value in element.fields()}
    return msgspec.json.format(msgspec.json.encode(head | fields), indent=2).decode()
