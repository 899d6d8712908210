"""Reads documents out of the JSON of an OrientDB export, with the types that `@fieldTypes` names."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from quiesce.errors import InvalidDocument, QuiesceError
from quiesce.records.encoding import EPOCH, MILLISECOND
from quiesce.records.rid import RID
from quiesce.records.shapes import MARK, Shape, parse_shape
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

# The text of each field is kept as it is: a decimal must never become a float on its way.
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_value = msgspec.json.Decoder().decode
_string = msgspec.json.Decoder(str).decode
_nothing = b"null"
_SPELT = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:[:.](\d{3}))?")
_own = frozenset({"@type", "@version", "@fieldTypes", "@rid"})


def decode_document(body: bytes, *, where: str = "the record") -> Document:
    """Return the fields of a document's body, `@class` among them; the inverse of `encode_document`.

    Args:
        body: JSON as an OrientDB export has it.
        where: named in errors.

    Raises:
        InvalidDocument: the body is no JSON object, or a value does not fit the type that `@fieldTypes` names.
    """
    try:
        return _document(_fields(body))
    except (msgspec.DecodeError, ValueError, ArithmeticError, QuiesceError) as error:
        raise InvalidDocument(where=where, detail=str(error)) from None
    except RecursionError:
        raise InvalidDocument(where=where, detail="it is nested too deeply") from None


def _document(fields: dict[str, msgspec.Raw]) -> Document:
    document = Document()
    codes, shapes = _types(_string(fields["@fieldTypes"]), fields) if "@fieldTypes" in fields else ({}, {})
    for name, raw in fields.items():
        if name in _own:
            continue
        text = bytes(raw)
        try:
            if name in shapes:
                document[name] = _shaped(text, parse_shape(shapes[name]))
            else:
                document[name] = _coded(text, codes.get(name, ""))
        except (msgspec.DecodeError, ValueError, ArithmeticError, QuiesceError) as error:
            kind = shapes.get(name) or codes.get(name)
            # Fields of embedded documents tell their names themselves.
            raise ValueError(f"field `{name}` cannot be of type `{kind}`: {error}" if kind else str(error)) from None
    return document


def _types(field_types: str, fields: Mapping[str, object]) -> tuple[dict[str, str], dict[str, str]]:
    """Return code and shape by field; exports of 1.7 and before may have `=` in a name, so the last one counts."""
    codes: dict[str, str] = {}
    shapes: dict[str, str] = {}
    for entry in field_types.split(","):
        name, mark, shape = entry.partition(MARK)
        if mark and name in fields:
            shapes[name] = shape
        elif entry:
            name, _, codes[name] = entry.rpartition("=")
    return codes, shapes


def _coded(text: bytes, code: str) -> Any:
    if not code or text == _nothing:
        return _inferred(text)
    try:
        read = _READERS[code]
    except KeyError:
        raise ValueError("@fieldTypes knows no such type") from None
    return read(text)


def _shaped(text: bytes, shape: Shape) -> Any:
    """Return a value by its shape, whose codes are those of @fieldTypes."""
    if shape.plain or text == _nothing:
        return _coded(text, shape.code)
    if text[:1] == b"[":
        items = [_shaped(bytes(item), shape.item(place)) for place, item in enumerate(_elements(text))]
        return _set_of(items) if shape.code == "e" else items
    return {key: _shaped(bytes(item), shape.value(key)) for key, item in _fields(text).items()}


def _inferred(text: bytes) -> Any:
    # Only a document inside needs more than plain JSON.
    if text[0] not in b"{[" or b'"@type"' not in text:
        return _value(text)
    if text[0] == ord("["):
        return [_inferred(bytes(item)) for item in _elements(text)]
    fields = _fields(text)
    if "@type" in fields:
        return _document(fields)
    return {key: _inferred(bytes(item)) for key, item in fields.items()}


def _number(text: bytes) -> str:
    """Return the digits of a number; exports of 1.7 and before quote those that JSON does not have, as in "NaNd"."""
    return _string(text).rstrip("df") if text[0] == ord('"') else text.decode()


def _sized(kind: type[int], bits: int) -> Callable[[bytes], int]:
    limit = 1 << bits - 1

    def read(text: bytes) -> int:
        value = kind(_number(text))
        if not -limit <= value < limit:
            raise ValueError(f"{value} does not fit into {bits} bits")
        return value

    return read


def _decimal(text: bytes) -> Decimal:
    return Decimal(_number(text))


def _moment(text: bytes) -> datetime:
    if text[:1] == b'"' and (found := _SPELT.fullmatch(_string(text))):
        # How engines write a DATETIME in an embedded document, without saying in which time zone: UTC by default.
        return datetime.fromisoformat(f"{found[1]}T{found[2]}.{found[3] or '000'}+00:00")
    return EPOCH + int(_number(text)) * MILLISECOND


def _day(text: bytes) -> date:
    # Floor, as -1 ms is the day before.
    return EPOCH.date() + timedelta(days=int(_number(text)) // 86_400_000)


def _byte_or_binary(text: bytes) -> int | bytes:
    """One code for two types: a BYTE is a number, or a text too short for base64; anything else is BINARY."""
    if text[0] != ord('"'):
        return _byte(text)
    content = _string(text)
    return Byte(content) if 1 <= len(content) <= 3 else base64.b64decode(content, validate=True)


def _custom(text: bytes) -> Custom:
    return Custom(base64.b64decode(_string(text), validate=True))


def _link(text: bytes) -> RID:
    return RID.parse(_string(text))


def _links(text: bytes) -> list[RID | None]:
    return [None if item is None else RID.parse(item) for item in _link_texts(text)]


def _link_set(text: bytes) -> LinkSet:
    return LinkSet(rid for rid in _links(text) if rid is not None)


def _link_map(text: bytes) -> LinkMap:
    return LinkMap((key, None if item is None else RID.parse(item)) for key, item in _link_texts_by_key(text).items())


def _embedded_set(text: bytes) -> set[Any] | EmbeddedSet:
    return _set_of([_inferred(bytes(item)) for item in _elements(text)])


def _set_of(items: list[Any]) -> set[Any] | EmbeddedSet:
    try:
        unique = set(items)
    except TypeError:
        return EmbeddedSet(items)
    return unique if len(unique) == len(items) else EmbeddedSet(items)


_byte = _sized(Byte, 8)
_link_texts = msgspec.json.Decoder(list[str | None]).decode
_link_texts_by_key = msgspec.json.Decoder(dict[str, str | None]).decode

_READERS: dict[str, Callable[[bytes], Any]] = {
    "l": _sized(Long, 64),
    "f": lambda text: Float(_number(text)),
    "d": lambda text: float(_number(text)),
    "s": _sized(Short, 16),
    "b": _byte_or_binary,
    "c": _decimal,
    "t": _moment,
    "a": _day,
    "x": _link,
    "n": _link_set,
    "z": lambda text: LinkList(_links(text)),
    "m": _link_map,
    "g": lambda text: LinkBag(_links(text)),
    "e": _embedded_set,
    "u": _custom,
}
