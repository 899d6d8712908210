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
from quiesce.records.shapes import MARK, list_shape, map_shape
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

# A value's JSON; its code in @fieldTypes, "" where OrientDB infers the type; and its shape where it stands in a
# collection, in which OrientDB keeps no types (quiesce.records.shapes).
_Written = tuple[bytes, str, str]


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
            text, code, shape = _typed(value)
        except _Unwritable as error:
            error.path.append(f".{name}")
            raise
        if code:
            types.append(f"{name}={code}")
        if len(shape) > 1:
            types.append(f"{name}{MARK}{shape}")
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


def _typed(value: Any) -> _Written:
    write = _WRITERS.get(type(value))
    if write is None:
        write = next((_WRITERS[base] for base in type(value).__mro__[1:] if base in _WRITERS), _refuse)
    return write(value)


def _refuse(value: Any) -> _Written:
    raise _Unwritable(f"OrientDB has no type for Python's {type(value).__name__}")


def _plain(write: Callable[[Any], bytes]) -> Callable[[Any], _Written]:
    return lambda value: (write(value), "", "")


def _coded(code: str, write: Callable[[Any], bytes]) -> Callable[[Any], _Written]:
    return lambda value: (write(value), code, code)


def _integer(value: int) -> _Written:
    if -(1 << 31) <= value < 1 << 31:
        return b"%d" % value, "", ""
    # In a collection the number itself tells that it is a LONG.
    return _sized(64)(value), "l", ""


def _long(value: int) -> _Written:
    return _sized(64)(value), "l", "l" if -(1 << 31) <= value < 1 << 31 else ""


def _sized(bits: int) -> Callable[[int], bytes]:
    limit = 1 << bits - 1

    def write(value: int) -> bytes:
        if not -limit <= value < limit:
            raise _Unwritable(f"{value} does not fit into {bits} bits")
        return b"%d" % value

    return write


def _double(value: float) -> _Written:
    return _number(value, repr(float(value))), "d", "" if math.isfinite(value) else "d"


def _float(value: Float) -> bytes:
    return _number(value, value.shortest())


def _number(value: float, text: str) -> bytes:
    """Return a number's text; what JSON has no number for as the strings that OrientDB reads for a typed field."""
    if math.isfinite(value):
        return text.encode()
    return b'"NaN"' if math.isnan(value) else b'"Infinity"' if value > 0 else b'"-Infinity"'


def _decimal(value: Decimal) -> bytes:
    if not value.is_finite():
        raise _Unwritable(f"a DECIMAL is never {value}")
    # The same digits as Java's BigDecimal.toString: `1E+30` keeps its scale.
    return str(value).encode()


def _datetime(value: datetime) -> bytes:
    if value.tzinfo is None:
        raise _Unwritable("the datetime names no time zone, so it is no point in time")
    return b"%d" % ((value - EPOCH) // MILLISECOND)


def _date(value: date) -> bytes:
    return b"%d" % ((value - EPOCH.date()).days * _DAY_MS)


def _binary(value: bytes) -> bytes:
    return b'"' + base64.b64encode(value) + b'"'


def _link(value: RID | None) -> bytes:
    return b"null" if value is None else b'"#%d:%d"' % value


def _links(value: Iterable[RID | None]) -> bytes:
    return b"[" + b",".join(map(_link, value)) + b"]"


def _link_set(value: Iterable[RID]) -> bytes:
    return _links(sorted(value))


def _link_map(value: Mapping[str, RID | None]) -> bytes:
    return b"{" + b",".join(_map_key(key) + b":" + _link(rid) for key, rid in value.items()) + b"}"


def _list(value: Sequence[Any]) -> _Written:
    if value and all(type(item) is RID for item in value):
        return _links(value), "z", "z"
    texts, shapes = _items(value)
    return b"[" + b",".join(texts) + b"]", "", list_shape("", shapes)


def _set(value: Iterable[Any]) -> _Written:
    items = list(value)
    if items and all(type(item) is RID for item in items):
        return _link_set(items), "n", "n"
    # Sorted, so that equal sets give equal bytes.
    return _embedded_set(sorted(zip(*_items(items), strict=True), key=lambda one: (one[0], one[1] or "")))


def _kept_set(value: Sequence[Any]) -> _Written:
    return _embedded_set(list(zip(*_items(value), strict=True)))


def _embedded_set(written: list[tuple[bytes, str | None]]) -> _Written:
    text = b"[" + b",".join(one for one, _ in written) + b"]"
    return text, "e", list_shape("e", [shape for _, shape in written])


def _dict(value: Mapping[str, Any]) -> _Written:
    if value and all(type(item) is RID for item in value.values()):
        return _link_map(value), "m", "m"
    written: list[bytes] = []
    shapes: dict[str, str | None] = {}
    for key, item in value.items():
        try:
            name = _map_key(key)
            text, shapes[key] = _inside(item)
        except _Unwritable as error:
            error.path.append(f"[{key!r}]")
            raise
        written.append(name + b":" + text)
    return b"{" + b",".join(written) + b"}", "", map_shape(shapes)


def _items(value: Iterable[Any]) -> tuple[list[bytes], list[str | None]]:
    texts: list[bytes] = []
    shapes: list[str | None] = []
    for position, item in enumerate(value):
        try:
            text, shape = _inside(item)
        except _Unwritable as error:
            error.path.append(f"[{position}]")
            raise
        texts.append(text)
        shapes.append(shape)
    return texts, shapes


def _inside(value: Any) -> tuple[bytes, str | None]:
    """Return the text and shape of what stands in a collection; a null fits every shape."""
    text, _, shape = _typed(value)
    return text, None if value is None else shape


def _map_key(key: object) -> bytes:
    if not isinstance(key, str):
        raise _Unwritable("the keys of a map must be text")
    if key == "@type":
        raise _Unwritable("a map with the key @type would be read as a document; use records.Document")
    return _string(key)


def _document(value: Document) -> bytes:
    return b"{" + b",".join([b'"@type":"d"', b'"@version":0', *_members(value)]) + b"}"


_WRITERS: dict[type, Callable[[Any], _Written]] = {
    type(None): _plain(lambda _: b"null"),
    bool: _plain(lambda value: b"true" if value else b"false"),
    int: _integer,
    Byte: _coded("b", _sized(8)),
    Short: _coded("s", _sized(16)),
    Long: _long,
    float: _double,
    Float: _coded("f", _float),
    Decimal: _coded("c", _decimal),
    str: _plain(_string),
    datetime: _coded("t", _datetime),
    date: _coded("a", _date),
    bytes: _coded("b", _binary),
    bytearray: _coded("b", _binary),
    Custom: _coded("u", _binary),
    RID: _coded("x", _link),
    LinkList: _coded("z", _links),
    LinkBag: _coded("g", _links),
    LinkSet: _coded("n", _link_set),
    LinkMap: _coded("m", _link_map),
    list: _list,
    tuple: _list,
    set: _set,
    frozenset: _set,
    EmbeddedSet: _kept_set,
    dict: _dict,
    Document: _plain(_document),
}
