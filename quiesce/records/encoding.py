"""Writes documents as the JSON of an OrientDB export, with their types in `@fieldTypes`."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from quiesce.errors import InvalidDocument
from quiesce.records.rid import RID
from quiesce.records.types import (
    Byte,
    Custom,
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

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
_DAY_MS = 86_400_000
# OrientDB refuses these in the name of a field: they separate names and types in @fieldTypes, and words in queries.
_FORBIDDEN = frozenset(" ,=:")

_text = msgspec.json.Encoder().encode


class _Unwritable(Exception):
    """Why a value cannot be written, and the path to it, innermost name first."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.path: list[str] = []


def encode_document(document: Mapping[str, Any], *, where: str = "the write") -> bytes:
    """Return a document's body: UTF-8 JSON with `@class` first and `@fieldTypes` last.

    A datetime keeps its milliseconds; what is finer is cut off, as OrientDB has nothing finer.

    Args:
        document: the fields; `@class` names the class.
        where: named in errors.

    Raises:
        InvalidDocument: a name or value has no place in OrientDB's format, and where it stands.
    """
    try:
        return b"{" + b",".join(_members(document)) + b"}"
    except _Unwritable as error:
        at = "".join(reversed(error.path)).lstrip(".")
        raise InvalidDocument(where=where, detail=f"{at}: {error}" if at else str(error)) from None
    except RecursionError:
        raise InvalidDocument(where=where, detail="it is nested too deeply") from None


def encode_key(values: Sequence[Any]) -> bytes:
    """Return an index key, one value a field of the index, as JSON array.

    Raises:
        InvalidDocument: a value can be no key.
    """
    try:
        return b"[" + b",".join(_typed(value)[0] for value in values) + b"]"
    except _Unwritable as error:
        raise InvalidDocument(where="an index key", detail=str(error)) from None


def _members(document: Mapping[str, Any]) -> Iterable[bytes]:
    if (class_name := document.get("@class")) is not None:
        if not isinstance(class_name, str):
            raise _Unwritable("@class is not text")
        yield b'"@class":' + _string(class_name)
    types: list[str] = []
    for name, value in document.items():
        if name == "@class":
            continue
        try:
            key = _name(name)
            text, code = _typed(value)
        except _Unwritable as error:
            error.path.append(f".{name}")
            raise
        if code:
            types.append(f"{name}={code}")
        yield key + b":" + text
    if types:
        yield b'"@fieldTypes":' + _string(",".join(types))


def _name(name: object) -> bytes:
    if not isinstance(name, str) or not name:
        raise _Unwritable("the name of a field must be a text that is not empty")
    if name[0] == "@":
        raise _Unwritable("a name with @ in front is OrientDB's own")
    if not _FORBIDDEN.isdisjoint(name):
        raise _Unwritable("OrientDB allows no blank, comma, colon or = in the name of a field")
    return _string(name)


def _string(value: str) -> bytes:
    try:
        return _text(value)
    except UnicodeEncodeError:
        raise _Unwritable("it holds half of a surrogate pair, which is no character") from None


def _typed(value: Any) -> tuple[bytes, str]:
    """Return a field's value and its code for @fieldTypes; "" where OrientDB infers the type."""
    write = _WRITERS.get(type(value))
    if write is None:
        write = next((_WRITERS[base] for base in type(value).__mro__[1:] if base in _WRITERS), _refuse)
    return write(value)


def _refuse(value: Any) -> tuple[bytes, str]:
    raise _Unwritable(f"OrientDB has no type for Python's {type(value).__name__}")


def _integer(value: int) -> tuple[bytes, str]:
    if -(1 << 31) <= value < 1 << 31:
        return b"%d" % value, ""
    return _sized(64, "l")(value)


def _sized(bits: int, code: str) -> Callable[[int], tuple[bytes, str]]:
    limit = 1 << bits - 1

    def write(value: int) -> tuple[bytes, str]:
        if not -limit <= value < limit:
            raise _Unwritable(f"{value} does not fit into {bits} bits")
        return b"%d" % value, code

    return write


def _double(value: float) -> tuple[bytes, str]:
    return _finite(value, repr(float(value))), "d"


def _float(value: Float) -> tuple[bytes, str]:
    return _finite(value, value.shortest()), "f"


def _finite(value: float, text: str) -> bytes:
    if not math.isfinite(value):
        raise _Unwritable(f"JSON has no {text}")
    return text.encode()


def _decimal(value: Decimal) -> tuple[bytes, str]:
    if not value.is_finite():
        raise _Unwritable(f"JSON has no {value}")
    # The same digits as Java's BigDecimal.toString: `1E+30` keeps its scale.
    return str(value).encode(), "c"


def _datetime(value: datetime) -> tuple[bytes, str]:
    if value.tzinfo is None:
        raise _Unwritable("the datetime names no time zone, so it is no point in time")
    return b"%d" % ((value - EPOCH) // MILLISECOND), "t"


def _date(value: date) -> tuple[bytes, str]:
    return b"%d" % ((value - EPOCH.date()).days * _DAY_MS), "a"


def _binary(value: bytes) -> tuple[bytes, str]:
    return b'"' + base64.b64encode(value) + b'"', "b"


def _custom(value: bytes) -> tuple[bytes, str]:
    return _binary(value)[0], "u"


def _link(value: RID | None) -> bytes:
    return b"null" if value is None else b'"#%d:%d"' % value


def _links(code: str) -> Callable[[Iterable[RID | None]], tuple[bytes, str]]:
    return lambda value: (b"[" + b",".join(map(_link, value)) + b"]", code)


def _link_map(value: Mapping[str, RID | None]) -> tuple[bytes, str]:
    return b"{" + b",".join(_map_key(key) + b":" + _link(rid) for key, rid in value.items()) + b"}", "m"


def _list(value: Sequence[Any]) -> tuple[bytes, str]:
    if value and all(type(item) is RID for item in value):
        return _links("z")(value)
    return _items(value), ""


def _set(value: Iterable[Any]) -> tuple[bytes, str]:
    items = list(value)
    if items and all(type(item) is RID for item in items):
        return _links("n")(sorted(items))
    # Sorted, so that equal sets give equal bytes.
    return b"[" + b",".join(sorted(map(_untyped, items))) + b"]", "e"


def _dict(value: Mapping[str, Any]) -> tuple[bytes, str]:
    if value and all(type(item) is RID for item in value.values()):
        return _link_map(value)
    return _map(value), ""


def _items(value: Iterable[Any]) -> bytes:
    written = []
    for position, item in enumerate(value):
        try:
            written.append(_untyped(item))
        except _Unwritable as error:
            error.path.append(f"[{position}]")
            raise
    return b"[" + b",".join(written) + b"]"


def _map(value: Mapping[str, Any]) -> bytes:
    written = []
    for key, item in value.items():
        try:
            written.append(_map_key(key) + b":" + _untyped(item))
        except _Unwritable as error:
            error.path.append(f"[{key!r}]")
            raise
    return b"{" + b",".join(written) + b"}"


def _map_key(key: object) -> bytes:
    if not isinstance(key, str):
        raise _Unwritable("the keys of a map must be text")
    if key == "@type":
        raise _Unwritable("a map with the key @type would be read as a document; use records.Document")
    return _string(key)


def _document(value: Document) -> tuple[bytes, str]:
    return b"{" + b",".join([b'"@type":"d"', b'"@version":0', *_members(value)]) + b"}", ""


def _untyped(value: Any) -> bytes:
    """Return an item of a list, set or map: OrientDB keeps no type for it, so only what JSON itself tells apart."""
    if isinstance(value, Document):
        return _document(value)[0]
    if isinstance(value, RID):
        raise _Unwritable("a link among other values would come back as text; keep links in a collection of their own")
    if isinstance(value, Mapping):
        return _map(value)
    if isinstance(value, list | tuple):
        return _items(value)
    if isinstance(value, float):
        return _double(value)[0]
    if value is None or isinstance(value, bool | int | str):
        return _typed(value)[0]
    raise _Unwritable(
        f"OrientDB keeps no type inside a collection, so a {type(value).__name__} would come back as something else; "
        "put it into a field of an embedded records.Document"
    )


_WRITERS: dict[type, Callable[[Any], tuple[bytes, str]]] = {
    type(None): lambda _: (b"null", ""),
    bool: lambda value: (b"true" if value else b"false", ""),
    int: _integer,
    Byte: _sized(8, "b"),
    Short: _sized(16, "s"),
    Long: _sized(64, "l"),
    float: _double,
    Float: _float,
    Decimal: _decimal,
    str: lambda value: (_string(value), ""),
    datetime: _datetime,
    date: _date,
    bytes: _binary,
    bytearray: _binary,
    Custom: _custom,
    RID: lambda value: (_link(value), "x"),
    LinkList: _links("z"),
    LinkBag: _links("g"),
    LinkSet: lambda value: _links("n")(sorted(value)),
    LinkMap: _link_map,
    list: _list,
    tuple: _list,
    set: _set,
    frozenset: _set,
    EmbeddedSet: lambda value: (_items(value), "e"),
    dict: _dict,
    Document: _document,
}
