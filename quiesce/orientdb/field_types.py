"""Which types the values of documents have, and which values are unusual or change in OrientDB's own import."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import msgspec

from quiesce.orientdb.oddities import Oddities
from quiesce.records.shapes import parse_shape, types_of

# Codes of @fieldTypes; `b` is a BYTE where it is a number.
NAMES = {
    "l": "LONG", "f": "FLOAT", "d": "DOUBLE", "s": "SHORT", "b": "BINARY", "c": "DECIMAL", "t": "DATETIME", "a": "DATE",
    "x": "LINK", "n": "LINKSET", "z": "LINKLIST", "m": "LINKMAP", "g": "LINKBAG", "e": "EMBEDDEDSET", "u": "CUSTOM",
}  # fmt: skip
_INFERRED = {
    bool: "BOOLEAN",
    int: "INTEGER",
    float: "DOUBLE",
    str: "STRING",
    list: "EMBEDDEDLIST",
    type(None): "null",
}
_RID = re.compile(r"#-?\d+:-?\d+")
_NO_NUMBER = re.compile(r"(?:NaN|-?Infinity)[df]?")
_OLD_NO_NUMBER = re.compile(r"(?:NaN|-?Infinity)[df]")
_LEAST_BYTE = -99
_decode = msgspec.json.Decoder().decode


class FieldTypes:
    """Counts the types of values, and notes what is unusual among them."""

    def __init__(self, counts: Counter[str], oddities: Oddities, *, links_untyped: bool = False) -> None:
        """Count into `counts`; `links_untyped`: the file is of an engine that wrote links without a type."""
        self._counts = counts
        self._oddities = oddities
        self._like_links = (
            "links, or texts like them, that engines before 2.0 wrote without type"
            if links_untyped
            else "texts without type that OrientDB's import makes links"
        )

    def look_at(self, body: bytes) -> None:
        """Count the values of a document, those of embedded documents included."""
        self._document(_decode(body))

    def _document(self, fields: dict[str, Any]) -> None:
        listed = fields.get("@fieldTypes")
        codes, shapes = types_of(listed if isinstance(listed, str) else "", fields)
        for name, value in fields.items():
            if name[:1] == "@":
                continue
            if "=" in name:
                self._oddities.note("fields with `=` in their name")
            code = codes.get(name)
            if code is None and name in shapes:
                code = parse_shape(shapes[name]).code
            if not code:
                self._untyped(value)
            else:
                self._typed(value, code)

    def _typed(self, value: Any, code: str) -> None:
        name = NAMES.get(code)
        if name is None:
            self._oddities.note(f"unknown type code `{code}`")
            name = f"code {code}"
        if code == "b" and isinstance(value, int):
            name = "BYTE"
            if value < _LEAST_BYTE:
                self._oddities.note("bytes below -99, at which OrientDB's import ends")
        elif code == "b" and value == "":
            self._oddities.note("empty binaries, which OrientDB's import makes null")
        elif isinstance(value, str) and code in "ta":
            self._oddities.note("dates as text")
        elif isinstance(value, str) and code in "df" and _NO_NUMBER.fullmatch(value):
            self._oddities.note("NaN and infinities, which OrientDB's import makes null")
        self._counts["null" if value is None else name] += 1
        self._inside(value)

    def _untyped(self, value: Any) -> None:
        if isinstance(value, dict):
            self._counts["EMBEDDED" if "@type" in value else "EMBEDDEDMAP"] += 1
        else:
            self._counts[_INFERRED[type(value)]] += 1
            if isinstance(value, list) and _taken_for_links(value):
                self._oddities.note("lists that begin with a text like a record id, at which OrientDB's import ends")
            if isinstance(value, str) and _OLD_NO_NUMBER.fullmatch(value):
                self._oddities.note("texts as engines up to 1.7 wrote for NaN and infinities, without type")
            if isinstance(value, str) and value[:1] == "#" and _RID.fullmatch(value):
                self._oddities.note(self._like_links)
        self._inside(value)

    def _inside(self, value: Any) -> None:
        if isinstance(value, dict):
            if "@type" in value:
                self._document(value)
            else:
                for item in value.values():
                    self._inside(item)
        elif isinstance(value, list):
            for item in value:
                self._inside(item)


def _taken_for_links(items: list[Any]) -> bool:
    """Whether OrientDB's import, which looks at the first item alone, takes something else for a link."""
    if not items or not isinstance(items[0], str) or not _RID.fullmatch(items[0]):
        return False
    return any(item is not None and not (isinstance(item, str) and _RID.fullmatch(item)) for item in items)
