"""From the text of one record in an export to its id, version and body."""

from __future__ import annotations

import binascii
import re
from typing import Any, NamedTuple, NoReturn

import msgspec

from quiesce.orientdb.escapes import Number, Pairs, merge_field_types, one_field_types, pairs, written
from quiesce.orientdb.import_traps import restore
from quiesce.v1.record_pb2 import RecordKind

LARGEST_CLUSTER = 32_767
LARGEST_POSITION = (1 << 63) - 1
LARGEST_VERSION = (1 << 31) - 1

# How every engine since 1.4 begins a record; anything else takes the slow way.
_LEAD = re.compile(
    rb'\{"@type":"[dve]","@rid":"#(\d{1,5}):(\d{1,19})","@version":(\d{1,10})'
    rb'(?:,("@class":"[^"\\]*"))?(?:,"@fieldTypes":"([^"\\]*)")?(?:,|(?=\}))'
)
# The beginning of an embedded document with an early @fieldTypes: engine 3.2 writes it again at the end.
_EMBEDDED_EARLY = re.compile(rb'\{"@type":"d","@version":0(?:,"@class":"[^"\\]*")?(,"@fieldTypes":"[^"\\]*")')
# The @-keys of embedded documents in their usual places, and any other.
_AT_KEYS = re.compile(
    rb'\{"@type":"d","@version":0(?:,"@class":"[^"\\]*")?(?!,"@fieldTypes")|,"@fieldTypes":"[^"\\]*"\}|"@'
)
_DOCUMENT = RecordKind.RECORD_KIND_DOCUMENT
_BLOB = RecordKind.RECORD_KIND_BLOB
_LATE_TYPES = b',"@fieldTypes":"'


class ExportedRecord(NamedTuple):
    """A record as it stands in an export.

    `body` is in the form of docs/formats/record.md; of a blob and of OrientDB's old flat records, the bytes.
    """

    cluster: int
    position: int
    version: int
    kind: RecordKind.ValueType
    body: bytes
    # Where it begins in the unpacked file.
    byte: int
    # OrientDB's ORecordFlat, a string without fields; an export writes it so again.
    flat: bool = False


class NotARecord(ValueError):
    """The text is JSON (or nearly) but no record; the message says why."""


class _Anything(msgspec.Struct):
    """Decoding into this checks JSON and builds nothing."""


_check = msgspec.json.Decoder(_Anything).decode


def parse_record(text: bytes, byte: int) -> ExportedRecord:
    """Return the record of an object's text, cut off exactly. Raises NotARecord."""
    lead = _LEAD.match(text)
    if lead:
        body = _cut(text, lead)
        if body is not None:
            cluster, position, version = int(lead[1]), int(lead[2]), int(lead[3])
            if cluster > LARGEST_CLUSTER or position > LARGEST_POSITION or version > LARGEST_VERSION:
                _refuse_id(cluster, position, version)
            # Old engines write bare NaN, which the slow way puts right.
            if _fault(body) is None:
                return ExportedRecord(cluster, position, version, _DOCUMENT, restore(body), byte)
    return _rebuilt(text, byte)


def _fault(body: bytes) -> Exception | None:
    """Return what keeps a body from being JSON in UTF-8."""
    try:
        _check(body)
        if not body.isascii():
            body.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return error
    return None


def _cut(text: bytes, lead: re.Match[bytes]) -> bytes | None:
    """Return the body by leaving out the leading @-keys, or None where there is more to do than that."""
    class_text, early = lead[4], lead[5]
    rest = text[lead.end() :]
    late_at = rest.rfind(_LATE_TYPES) if rest.endswith(b'"}') else -1
    late = rest[late_at + len(_LATE_TYPES) : -2] if late_at >= 0 else None
    if late is not None and (b'"' in late or b"\\" in late):
        late_at, late = -1, None
    if rest.find(b'"@', 0, late_at + 1 if late_at >= 0 else len(rest)) >= 0:
        once = _embedded_once(rest)
        if once is None or b'"@' in _AT_KEYS.findall(once):
            return None
        rest = once
    if early is not None:
        if late is None:
            rest = rest[:-1] + (b"," if len(rest) > 1 else b"") + b'"@fieldTypes":"' + early + b'"}'
        elif not _holds(late, early):
            return None
    if class_text is None:
        return b"{" + rest
    return b"{" + class_text + (b"," if len(rest) > 1 else b"") + rest


def _embedded_once(text: bytes) -> bytes | None:
    """Leave out the early @fieldTypes of embedded documents; None where the late one is another, or hard to find."""
    parts = []
    at = 0
    for early in _EMBEDDED_EARLY.finditer(text):
        # The first brace that closes must be the document's own, with the same list right before it.
        end = text.find(b"}", early.end())
        if text.find(b"{", early.end(), end) >= 0 or not text.endswith(early[1], early.end(), end):
            return None
        parts.append(text[at : early.start(1)])
        at = early.end()
    return b"".join((*parts, text[at:])) if at else text


def _holds(late: bytes, early: bytes) -> bool:
    return late == early or late.startswith(early + b",") or set(early.split(b",")) <= set(late.split(b","))


def _rebuilt(text: bytes, byte: int) -> ExportedRecord:
    """The way for any key order, white space and repetition: parse everything, write it again."""
    try:
        fields = pairs(text)
    except (ValueError, RecursionError) as error:
        raise NotARecord(str(error)) from error
    if not isinstance(fields, Pairs):
        raise NotARecord("a record must be an object")
    named: dict[str, Any] = dict(fields)
    cluster, position = _record_id(named.get("@rid"))
    version = _integer(named.get("@version", Number("1")))
    if cluster > LARGEST_CLUSTER or position > LARGEST_POSITION or not 0 <= version <= LARGEST_VERSION:
        _refuse_id(cluster, position, version)
    match named.get("@type", "d"):
        case "d" | "v" | "e":
            body = _document(fields, named)
            fault = _fault(body)
            if fault is not None:
                raise NotARecord(f"record #{cluster}:{position}: {fault}")
            return ExportedRecord(cluster, position, version, _DOCUMENT, restore(body), byte)
        case "b":
            blob = _base64(named.get("value"))
            return ExportedRecord(cluster, position, version, _BLOB, blob, byte)
        case "f":
            blob = _flat(named.get("value"))
            return ExportedRecord(cluster, position, version, _BLOB, blob, byte, flat=True)
        case other:
            raise NotARecord(f"record #{cluster}:{position} is of the unknown type {other!r}")


def _document(fields: Pairs, named: dict[str, Any]) -> bytes:
    class_name = named.get("@class")
    if not isinstance(class_name, str | None) or isinstance(class_name, Number):
        raise NotARecord(f"@class is no string: {class_name}")
    types = [item for key, item in fields if key == "@fieldTypes"]
    if not all(isinstance(item, str) and not isinstance(item, Number) for item in types):
        raise NotARecord("@fieldTypes is no string")
    body = Pairs([("@class", class_name)] if class_name is not None else [])
    leave_out = {"@type", "@rid", "@version", "@class", "@fieldTypes"}
    # Of a repeated key the last value counts, as every JSON parser has it.
    body += [(key, item) for key, item in named.items() if key not in leave_out]
    if types:
        body.append(("@fieldTypes", merge_field_types(types)))
    return written(one_field_types(body)).encode("ascii")


def _record_id(rid: Any) -> tuple[int, int]:
    found = re.fullmatch(r"#(\d{1,5}):(\d{1,19})", rid) if isinstance(rid, str) else None
    if not found:
        raise NotARecord(f"no record id: @rid is {rid!r}" if rid is not None else "a record has no @rid")
    return int(found[1]), int(found[2])


def _integer(value: Any) -> int:
    if not isinstance(value, Number) or not re.fullmatch(r"-?\d{1,10}", value):
        raise NotARecord(f"@version is no integer: {value!r}")
    return int(value)


def _base64(value: Any) -> bytes:
    if not isinstance(value, str) or isinstance(value, Number):
        raise NotARecord("a blob has no value in base64")
    try:
        return binascii.a2b_base64(value, strict_mode=True) if value else b""
    except (binascii.Error, ValueError) as error:
        raise NotARecord(f"the value of a blob is not base64: {error}") from error


def _flat(value: Any) -> bytes:
    if not isinstance(value, str) or isinstance(value, Number):
        raise NotARecord("a flat record has no value")
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise NotARecord(str(error)) from error


def _refuse_id(cluster: int, position: int, version: int) -> NoReturn:
    raise NotARecord(f"record id #{cluster}:{position} or version {version} is out of range")
