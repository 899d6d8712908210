"""Two values at which OrientDB's importer ends, though its own export writes them so.

Its code `b` stands for BYTE and BINARY, told apart by the length of the text: at a byte below -99 all engines from 2.2
to 3.2 end the import, at an empty binary 2.2 does (3.x make it null). Without the code neither happens; Quiesce's own
entry `name==b` (docs/formats/record.md) keeps what the value is, and the import of Quiesce puts it back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from quiesce.orientdb.escapes import Number, Pairs, pairs, written

_CODED = "=b"
_OURS = "==b"
_SUSPECT = re.compile(rb':(?:-1[0-2]\d[,}]|"")')
_Change = Callable[[str, dict[str, Any]], tuple[str, dict[str, Any]]]


def avoid(body: bytes) -> bytes:
    """Return a document's body without what OrientDB's importer ends at."""
    if b"=b" not in body or not _SUSPECT.search(body):
        return body
    return _rewritten(body, _avoided)


def restore(body: bytes) -> bytes:
    """Return the body that `avoid` was given."""
    return _rewritten(body, _restored) if b"==b" in body else body


def _rewritten(body: bytes, change: _Change) -> bytes:
    return written(_document(pairs(body), change)).encode("ascii")


def _document(value: Any, change: _Change) -> Any:
    if isinstance(value, Pairs):
        fields = Pairs((key, _document(item, change)) for key, item in value)
        named = dict(fields)
        entries = named.get("@fieldTypes")
        if not isinstance(entries, str):
            return fields
        changed: list[str] = []
        for entry in entries.split(","):
            new, values = change(entry, named)
            changed.append(new)
            named.update(values)
        named["@fieldTypes"] = ",".join(changed)
        return Pairs((key, named[key]) for key, _ in fields)
    return [_document(item, change) for item in value] if isinstance(value, list) else value


def _avoided(entry: str, named: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = entry.removesuffix(_CODED)
    if not entry.endswith(_CODED) or name not in named:
        return entry, {}
    if _is_trap(named[name]):
        return name + _OURS, {}
    return (name + _OURS, {name: None}) if named[name] == "" else (entry, {})


def _restored(entry: str, named: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = entry.removesuffix(_OURS)
    if not entry.endswith(_OURS) or name not in named:
        return entry, {}
    if _is_trap(named[name]):
        return name + _CODED, {}
    return (name + _CODED, {name: ""}) if named[name] is None else (entry, {})


def _is_trap(value: Any) -> bool:
    """Whether a byte's text has the four characters that pass for base64."""
    return isinstance(value, Number) and len(value) == len("-100") and value[0] == "-"
