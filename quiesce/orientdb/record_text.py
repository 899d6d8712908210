"""From the text of one record in an export to its id, version and body: the way for records of any form."""

from __future__ import annotations

import binascii
import json
import re
from typing import Any, NamedTuple, NoReturn

import msgspec

from quiesce.orientdb.escapes import Number, Pairs, merge_field_types, one_field_types, pairs, written
from quiesce.orientdb.import_traps import restore
from quiesce.orientdb.oddities import Oddities
from quiesce.v1.record_pb2 import RecordKind

LARGEST_CLUSTER = 32_767
LARGEST_POSITION = (1 << 63) - 1
LARGEST_VERSION = (1 << 31) - 1

DOCUMENT = RecordKind.RECORD_KIND_DOCUMENT
_BLOB = RecordKind.RECORD_KIND_BLOB
_BLOB_KEYS = frozenset({"@type", "@rid", "@version", "@class", "@fieldTypes", "value"})
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_CONSTANT = re.compile(rb"[:\[, \t\r\n](-?Infinity|NaN)[,\]} \t\r\n]")


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


def has_half_pair(text: bytes) -> bool:
    """Whether a string in JSON text holds half of a surrogate pair, which is no character."""
    if not _SURROGATE.search(text):
        return False
    try:
        # Lists of pairs keep what stands under a key that comes again.
        json.dumps(json.loads(text, object_pairs_hook=list), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _fault(body: bytes) -> Exception | None:
    """Return what keeps a body from being JSON in UTF-8."""
    try:
        _check(body)
        if not body.isascii():
            body.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return error
    return None


def parse_record(text: bytes, byte: int, oddities: Oddities) -> ExportedRecord:
    """Return the record of an object's text, cut off exactly, whatever its form: parse everything, write it again.

    Raises NotARecord.
    """
    try:
        fields = pairs(text)
    except (ValueError, RecursionError) as error:
        raise NotARecord(str(error)) from error
    if not isinstance(fields, Pairs):
        raise NotARecord("a record must be an object")
    named: dict[str, Any] = dict(fields)
    cluster, position = _record_id(named.get("@rid"))
    version = _integer(named.get("@version", Number("1")))
    if has_half_pair(text):
        raise NotARecord(f"record #{cluster}:{position}: half of a surrogate pair, which is no character")
    oddities.note("bare NaN and infinities", len(_CONSTANT.findall(text)))
    if cluster > LARGEST_CLUSTER or position > LARGEST_POSITION or not 0 <= version <= LARGEST_VERSION:
        _refuse_id(cluster, position, version)
    match named.get("@type", "d"):
        case "d" | "v" | "e":
            try:
                body = _document(fields, named)
            except RecursionError as error:
                raise NotARecord(f"record #{cluster}:{position} is nested too deeply") from error
            fault = _fault(body)
            if fault is not None:
                raise NotARecord(f"record #{cluster}:{position}: {fault}")
            return ExportedRecord(cluster, position, version, DOCUMENT, restore(body), byte)
        case "b" | "f" as kind:
            oddities.note("keys of blobs that are left out", len(named.keys() - _BLOB_KEYS))
            value = named.get("value")
            blob = _base64(value) if kind == "b" else _flat(value)
            return ExportedRecord(cluster, position, version, _BLOB, blob, byte, flat=kind == "f")
        case other:
            raise NotARecord(f"record #{cluster}:{position} is of the unknown type {other!r}")


def _check_types(value: Any) -> None:
    """Raises NotARecord where @fieldTypes of a document, embedded ones included, is no text."""
    if isinstance(value, Pairs):
        for key, item in value:
            if key == "@fieldTypes" and (not isinstance(item, str) or isinstance(item, Number)):
                raise NotARecord("@fieldTypes is no string")
            _check_types(item)
    elif isinstance(value, list):
        for item in value:
            _check_types(item)


def _document(fields: Pairs, named: dict[str, Any]) -> bytes:
    class_name = named.get("@class")
    if not isinstance(class_name, str | None) or isinstance(class_name, Number):
        raise NotARecord(f"@class is no string: {class_name}")
    _check_types(fields)
    types = [item for key, item in fields if key == "@fieldTypes"]
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
