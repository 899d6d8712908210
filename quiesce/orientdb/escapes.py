"""Strings and numbers as OrientDB's export writes them."""

from __future__ import annotations

import json
import re
from typing import Any

# What an export holds literally; everything else is \uXXXX. OrientDB's importer takes no other escapes than these
# three for certain: it knows no \b, and reads \u0022 as the end of the string.
_ESCAPED = re.compile(r"[^ !#-\[\]-~]")
_NOT_ASCII = re.compile(r"[^ -~]")
# An escape in JSON text. Matching all of them keeps `\\u0022`, a backslash and five characters, apart from `\u0022`.
_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{4}|.)", re.DOTALL)
_BETTER = {
    b"\\b": b"\\u0008",
    b"\\f": b"\\u000c",
    b"\\n": b"\\u000a",
    b"\\r": b"\\u000d",
    b"\\t": b"\\u0009",
    b"\\/": b"/",
}


class Number(str):
    """A number's text, so that no digit of it is lost."""

    __slots__ = ()


class Constant(str):
    """NaN, Infinity or -Infinity, which old exports write bare."""

    __slots__ = ()


def quoted(text: str) -> str:
    """Return a JSON string in ASCII."""
    return '"' + _ESCAPED.sub(_escape, text) + '"'


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if character in '"\\':
        return "\\" + character
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def ascii_json(text: bytes) -> bytes:
    """Rewrite the strings of JSON text in the escapes that OrientDB reads; numbers stay as they are.

    `text` must be valid JSON in UTF-8 without white space other than blanks outside its strings.
    """
    if not text.isascii() or b"\x7f" in text:
        text = _NOT_ASCII.sub(_escape, text.decode()).encode("ascii")
    if b"\\" in text:
        text = _ESCAPE.sub(_orientdb_escape, text)
    return text


def _orientdb_escape(found: re.Match[bytes]) -> bytes:
    escape = found[0]
    if escape[1:2] != b"u":
        return _BETTER.get(escape, escape)
    code = int(escape[2:].decode(), 16)
    if code in (0x22, 0x5C):
        return b"\\" + bytes([code])
    return bytes([code]) if 0x20 <= code < 0x7F else escape.lower()


class Pairs(list[tuple[str, Any]]):
    """An object's keys and values in their order, repeated keys included."""

    __slots__ = ()


_PAIRS = json.JSONDecoder(object_pairs_hook=Pairs, parse_float=Number, parse_int=Number, parse_constant=Constant)


def pairs(text: bytes) -> Any:
    """Parse JSON text without losing anything: objects become Pairs, numbers Number, bare NaN Constant.

    Raises ValueError.
    """
    return _PAIRS.decode(text.decode())


def written(value: Any) -> str:
    """Return the JSON text of what `pairs` returned: compact, ASCII, one @fieldTypes an object as its last key.

    A Constant becomes a string: bare, it would not be JSON.
    """
    if isinstance(value, Number):
        return value
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{quoted(key)}:{written(item)}" for key, item in one_field_types(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return _LITERALS[value]


_LITERALS = {None: "null", True: "true", False: "false"}


def one_field_types(fields: Pairs) -> Pairs:
    """Return the pairs with their @fieldTypes merged into one, as the last key."""
    lists = [item for key, item in fields if key == "@fieldTypes"]
    if not lists:
        return fields
    merged = merge_field_types([item if isinstance(item, str) else "" for item in lists])
    return Pairs([*((key, item) for key, item in fields if key != "@fieldTypes"), ("@fieldTypes", merged)])


def merge_field_types(lists: list[str]) -> str:
    """Return the union of several `name=code` lists: the last one, and behind it what only earlier ones hold."""
    merged = list(filter(None, lists[-1].split(",")))
    # The name may be empty; what has no code says nothing.
    named = {entry.rpartition("=")[0] for entry in merged if "=" in entry}
    for earlier in reversed(lists[:-1]):
        for entry in earlier.split(","):
            name, equals, _ = entry.rpartition("=")
            if equals and name not in named:
                named.add(name)
                merged.append(entry)
    return ",".join(merged)
