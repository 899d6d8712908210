"""Record bodies: checked once when they are written, and read only as far as needed; docs/formats/record.md."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from msgspec import UNSET

from quiesce.errors import InvalidDocument

# Far below the interpreter's limit, so that no replica accepts what another, deeper in its stack, refuses.
MAX_NESTING = 200

# Possessive: a body of one long string must not make the matcher remember each of its characters.
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
# What msgspec refuses in the name of a field, though JSON can have it.
_NEEDS_ESCAPE = re.compile(r'["\\\x00-\x1f]')


class _Header(msgspec.Struct):
    class_name: str | None = msgspec.field(name="@class", default=None)


_header = msgspec.json.Decoder(_Header).decode
_document = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode

# Takes a body, returns the class it names (None where it names none) and the wanted fields' values, UNSET where absent.
Reader = Callable[[bytes], tuple[str | None, tuple[Any, ...]]]


def class_of(body: bytes, where: str) -> str | None:
    """Check that a body is a JSON object in UTF-8, and return its `@class`.

    Raises:
        InvalidDocument: it is not; `where` tells the user which one.
    """
    try:
        if not body.isascii():
            # The decoder does not look into strings that it skips.
            str(body, "utf-8")
        name = _header(body).class_name
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise InvalidDocument(where=where, detail=_detail(error)) from None
    if body.count(b"{") + body.count(b"[") > MAX_NESTING and _nesting(body) > MAX_NESTING:
        raise InvalidDocument(where=where, detail=f"it nests deeper than {MAX_NESTING} levels")
    return name


def reader(fields: Sequence[str]) -> Reader:
    """Return a function that reads the named top-level fields of a body that `class_of` accepted.

    Numbers with a fraction or exponent come as Decimal, exactly as written. The function raises InvalidDocument.
    """
    values = _any_fields(fields) if any(map(_is_odd, fields)) else _plain_fields(fields)

    def read(body: bytes) -> tuple[str | None, tuple[Any, ...]]:
        try:
            found = values(body)
        except (ValueError, msgspec.MsgspecError, InvalidOperation, RecursionError) as error:
            raise InvalidDocument(where="an index or a constraint", detail=_detail(error)) from None
        return found[0], found[1:]

    return read


def _is_odd(field: str) -> bool:
    return field == "@class" or _NEEDS_ESCAPE.search(field) is not None


def _plain_fields(fields: Sequence[str]) -> Callable[[bytes], tuple[Any, ...]]:
    names = [f"f{i}" for i in range(len(fields))]
    wanted = [(name, Any, msgspec.field(name=field, default=UNSET)) for name, field in zip(names, fields, strict=True)]
    struct = msgspec.defstruct("Fields", [("c", Any, msgspec.field(name="@class", default=None)), *wanted])
    decode = msgspec.json.Decoder(struct, float_hook=Decimal).decode
    return lambda body: msgspec.structs.astuple(decode(body))


def _any_fields(fields: Sequence[str]) -> Callable[[bytes], tuple[Any, ...]]:
    """The same for names that no struct can have; slower, because all of the body is decoded."""

    def values(body: bytes) -> tuple[Any, ...]:
        found = _document(body)
        return (found.get("@class"), *(found.get(field, UNSET) for field in fields))

    return values


def _detail(error: Exception) -> str:
    if isinstance(error, InvalidOperation):
        return "a number has too large an exponent"
    if isinstance(error, RecursionError):
        return f"it nests deeper than {MAX_NESTING} levels"
    return " ".join(str(error).split()) or type(error).__name__


def _nesting(body: bytes) -> int:
    deepest = depth = 0
    for byte in _STRINGS.sub(b"", body):
        if byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    return deepest
