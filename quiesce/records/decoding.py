"""Reads documents out of the JSON of an OrientDB export, with the types that `@fieldTypes` names."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from quiesce.errors import InvalidDocument, QuiesceError
from quiesce.records.encoding import EPOCH, MILLISECOND
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

# The text of each field is kept as it is: a decimal must never become a float on its way.
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_value = msgspec.json.Decoder().decode
_string = msgspec.json.Decoder(str).decode
_nothing = b"null"
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
    codes = _codes(_string(fields["@fieldTypes"])) if "@fieldTypes" in fields else {}
    for name, raw in fields.items():
        if name in _own:
            continue
        text = bytes(raw)
        code = codes.get(name)
        if code is None or text == _nothing:
            document[name] = _inferred(text)
            continue
        try:
            read = _READERS[code]
        except KeyError:
            raise ValueError(f"`{code}` in @fieldTypes is no type, for field `{name}`") from None
        try:
            document[name] = read(text)
        except (msgspec.DecodeError, ValueError, ArithmeticError, QuiesceError) as error:
            raise ValueError(f"field `{name}` cannot be of type `{code}`: {error}") from None
    return document


def _codes(field_types: str) -> dict[str, str]:
    """Return code by field; exports of 1.7 and before may have `=` in a name, so the last one counts."""
    pairs = (entry.rpartition("=") for entry in field_types.split(",") if entry)
    return {name: code for name, _, code in pairs}


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
    items = [_inferred(bytes(item)) for item in _elements(text)]
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
