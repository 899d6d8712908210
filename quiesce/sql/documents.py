"""What a statement makes of a document: fields are assigned, merged and removed, and get the types of the schema."""

from __future__ import annotations

import base64
import binascii
import copy
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from quiesce.errors import InvalidStatement, StatementNotSupported, UnfitValue
from quiesce.records import (
    RID,
    Byte,
    Document,
    EmbeddedSet,
    Float,
    LinkBag,
    LinkList,
    LinkMap,
    LinkSet,
    Long,
    Short,
)
from quiesce.sql.arithmetic import arithmetic
from quiesce.sql.catalog import Catalog
from quiesce.sql.evaluation import Context, compiled
from quiesce.sql.expressions import Expression, Field, Item, Member
from quiesce.sql.parsing import parse
from quiesce.sql.rows import Computed, Element, Row
from quiesce.sql.statements import Assignment, Change, Content, Increment, Merge, RemoveFields, Select, SetFields
from quiesce.sql.texts import text_of
from quiesce.sql.values import equal, is_collection, is_number, moment, rid_of
from quiesce.v1.database_pb2 import PropertyDefinition


def changed(element: Element, changes: tuple[Change, ...], context: Context, catalog: Catalog) -> Document:
    """Return what the changes of an UPDATE make of a record; each sees what those before it did.

    Raises:
        UnfitValue: a value does not fit its property, or a path leads nowhere.
    """
    document = copy.deepcopy(element.document)
    now = Element(element.rid, element.version, document, element.kind)
    for change in changes:
        match change:
            case SetFields(assignments) | Increment(assignments):
                adds = isinstance(change, Increment)
                for one in assignments:
                    assign(document, one, now, context, catalog, adds=adds)
            case RemoveFields(removals):
                for path, value in removals:
                    _remove(
                        document, path, None if value is None else compiled(value, context)(now), value, context, now
                    )
            case Merge(content):
                _merge(document, compiled(content, context)(now), catalog)
            case Content(content):
                fresh = Document() if document.class_name is None else Document({"@class": document.class_name})
                kept = {name: value for name, value in document.items() if _is_edge_field(name)}
                _merge(fresh, compiled(content, context)(now), catalog)
                document.clear()
                document.update({**fresh, **kept})
    return document


def _is_edge_field(name: str) -> bool:
    """Whether a field is part of the graph: CONTENT replaces what a person wrote, not the edges."""
    return name.startswith(("out_", "in_"))


def assign(
    document: Document, one: Assignment, row: Row, context: Context, catalog: Catalog, *, adds: bool = False
) -> None:
    """Do one assignment."""
    value = stored(compiled(one.value, context)(row))
    operator = "+" if adds or one.operator == "+=" else "-" if one.operator == "-=" else ""
    if operator:
        value = arithmetic(operator, compiled(one.path, context)(row), value)
    path = one.path
    if isinstance(path, Field):
        document[path.name] = typed(value, document.class_name, path.name, catalog)
        return
    if not isinstance(path, Member | Item):
        raise UnfitValue(detail=f"`{path}` is nothing that can be assigned to")
    holder = _holder(document, path.base, context, row)
    if isinstance(path, Member):
        _put(holder, path.name, value)
    else:
        _put(holder, compiled(path.key, context)(row), value)


def _holder(document: Document, path: Expression, context: Context, row: Row) -> Any:
    match path:
        case Field(name):
            return document.get(name)
        case Member(base, name):
            holder = _holder(document, base, context, row)
            return holder.get(name) if isinstance(holder, Mapping) else None
        case Item(base, key):
            holder, place = _holder(document, base, context, row), compiled(key, context)(row)
            if isinstance(holder, Mapping):
                return holder.get(text_of(place))
            return holder[place] if isinstance(holder, list) and 0 <= place < len(holder) else None
    raise UnfitValue(detail=f"`{path}` is nothing that can be assigned to")


def _put(holder: Any, key: Any, value: Any) -> None:
    if isinstance(holder, dict):
        holder[text_of(key)] = value
    elif isinstance(holder, list) and isinstance(key, int) and 0 <= key <= len(holder):
        holder[key : key + 1] = [value]
    elif isinstance(holder, RID):
        raise StatementNotSupported(what="SET on what a link leads to", instead=f": it is in another record, {holder}")
    else:
        raise UnfitValue(detail=f"there is no place `{text_of(key)}` to assign to in `{text_of(holder)}`")


def _remove(
    document: Document, path: Expression, value: Any, given: Expression | None, context: Context, row: Row
) -> None:
    if given is not None:
        holder = _holder(document, path, context, row)
        if isinstance(holder, set):
            holder -= {item for item in holder if equal(item, value)}
        elif isinstance(holder, list):
            holder[:] = [item for item in holder if not equal(item, value)]
        elif isinstance(holder, dict):
            holder.pop(text_of(value), None)
        return
    if isinstance(path, Field):
        document.pop(path.name, None)
        return
    if isinstance(path, Member | Item):
        holder = _holder(document, path.base, context, row)
        key = path.name if isinstance(path, Member) else compiled(path.key, context)(row)
        if isinstance(holder, dict):
            holder.pop(text_of(key), None)
        elif isinstance(holder, list) and isinstance(key, int) and 0 <= key < len(holder):
            del holder[key]


def _merge(document: Document, content: Any, catalog: Catalog) -> None:
    for name, value in content.items():
        if name != "@class":
            document[name] = typed(stored(value), document.class_name, name, catalog)


def made(
    class_name: str | None,
    assignments: tuple[Assignment, ...],
    content: Expression | None,
    context: Context,
    catalog: Catalog,
) -> Document:
    """Return a new document of a class, with the defaults of its properties.

    Raises:
        UnfitValue: a value does not fit its property.
    """
    document = Document() if class_name is None else Document({"@class": class_name})
    empty = Computed({})
    if content is not None:
        _merge(document, compiled(content, context)(empty), catalog)
    for one in assignments:
        assign(document, one, Computed(document), context, catalog)
    for definition in () if class_name is None else catalog.lineage(class_name):
        for declared in definition.properties:
            if declared.HasField("default_value") and declared.name not in document:
                value = _default(declared.default_value, context)
                document[declared.name] = typed(value, class_name, declared.name, catalog)
    return document


def _default(text: str, context: Context) -> Any:
    """Return a property's default: what an expression gives, and any other text as it is."""
    try:
        statement = parse(f"SELECT {text}")
    except InvalidStatement:
        return text
    if not isinstance(statement, Select) or len(statement.projections) != 1 or statement.target is not None:
        return text
    expression = statement.projections[0].expression
    return text if isinstance(expression, Field) else compiled(expression, context)(Computed({}))


def stored(value: Any) -> Any:
    """Return a computed value as a field can hold it."""
    if isinstance(value, Element):
        return value.rid
    if isinstance(value, Computed):
        return dict(value.values)
    if isinstance(value, dict):
        return type(value)((key, stored(item)) for key, item in value.items())
    if type(value) is list:
        return [stored(item) for item in value]
    return value


# --- types


def typed(value: Any, class_name: str | None, name: str, catalog: Catalog) -> Any:
    """Return a value as the type of its property; without one, as it is.

    Raises:
        UnfitValue: it cannot be made one.
    """
    declared = None if class_name is None or value is None else catalog.find_property(class_name, name)
    if declared is None:
        return value
    try:
        return _of_type(value, declared)
    except (ValueError, ArithmeticError, TypeError, binascii.Error):
        raise UnfitValue(
            detail=f"`{text_of(value)[:100]}` cannot be made the {declared.type} that property {class_name}.{name} is"
        ) from None


def _of_type(value: Any, declared: PropertyDefinition) -> Any:
    kind = declared.type.upper()
    if kind in _COLLECTIONS:
        items = list(value) if is_collection(value) else [value]
        if declared.linked_type and kind.startswith("EMBEDDED"):
            items = [_single(item, declared.linked_type.upper(), "") for item in items]
        return _COLLECTIONS[kind](items)
    if kind in ("EMBEDDEDMAP", "LINKMAP"):
        if not isinstance(value, Mapping):
            raise TypeError
        return LinkMap((key, _rid(item)) for key, item in value.items()) if kind == "LINKMAP" else dict(value)
    return _single(value, kind, declared.linked_class)


def _single(value: Any, kind: str, linked_class: str) -> Any:
    if value is None:
        return None
    if kind == "EMBEDDED":
        if not isinstance(value, Mapping):
            raise TypeError
        class_name = {"@class": linked_class} if linked_class and "@class" not in value else {}
        return Document({**class_name, **value})
    make = _SINGLES.get(kind)
    return value if make is None else make(value)


def _integer(make: type[int], bits: int) -> Callable[[Any], int]:
    def integer(value: Any) -> int:
        number = int(value) if is_number(value) else int(text_of(value).strip())
        if not -(1 << bits - 1) <= number < 1 << bits - 1:
            raise ValueError(number)
        return make(number)

    return integer


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if is_number(value):
        return bool(value != 0)
    found = {"true": True, "false": False}.get(text_of(value).strip().lower())
    if found is None:
        raise ValueError(value)
    return found


def _moment(value: Any) -> Any:
    found = moment(value)
    if found is None:
        raise ValueError(value)
    return found


def _day(value: Any) -> date:
    found: date = _moment(value).date()
    return found


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else base64.b64decode(text_of(value), validate=True)


def _rid(value: Any) -> RID:
    found = rid_of(value)
    if found is None:
        raise ValueError(value)
    return found


def _embedded_set(items: list[Any]) -> Any:
    try:
        unique = set(items)
    except TypeError:
        return EmbeddedSet(items)
    # 1 and true are one in Python, and two in a record.
    return unique if len({(type(item), item) for item in items}) == len(unique) else EmbeddedSet(items)


_SINGLES: dict[str, Callable[[Any], Any]] = {
    "BOOLEAN": _boolean,
    "BYTE": _integer(Byte, 8),
    "SHORT": _integer(Short, 16),
    "INTEGER": _integer(int, 32),
    "LONG": _integer(Long, 64),
    "FLOAT": lambda value: Float(value if is_number(value) else text_of(value)),
    "DOUBLE": lambda value: float(value if is_number(value) else text_of(value)),
    "DECIMAL": lambda value: Decimal(text_of(value)),
    "STRING": text_of,
    "DATE": _day,
    "DATETIME": _moment,
    "BINARY": _bytes,
    "LINK": _rid,
}
_COLLECTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "EMBEDDEDLIST": list,
    "EMBEDDEDSET": _embedded_set,
    "LINKLIST": lambda items: LinkList(map(_rid, items)),
    "LINKSET": lambda items: LinkSet(map(_rid, items)),
    "LINKBAG": lambda items: LinkBag(map(_rid, items)),
}
