"""Keys of indexes: values of a record as bytes whose order is the order of the values; docs/formats/index-key.md.

Every field ends by itself (fixed length or terminator), so fields can follow each other, a key is never the prefix
of another key of the same index, and the record id that non-unique entries append does not disturb the order.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from quiesce.records.rid import MAX_CLUSTER_ID, MAX_POSITION

NULL = b"\x01"
VALUE = b"\x02"

INTEGERS = {"BYTE": 8, "SHORT": 16, "INTEGER": 32, "LONG": 64, "DATE": 64, "DATETIME": 64}
FLOATS = frozenset(("FLOAT", "DOUBLE"))
# JSON has no numbers for them; a body holds them as text.
NOT_FINITE = frozenset(("NaN", "Infinity", "-Infinity"))
KEY_TYPES = frozenset((*INTEGERS, *FLOATS, "BOOLEAN", "DECIMAL", "STRING", "BINARY", "LINK", "ANY"))

_I64 = struct.Struct(">Q")
_F64 = struct.Struct(">d")
_LINK = struct.Struct(">HQ")
_SIGN = 1 << 63
_ALL = (1 << 64) - 1
_RID = re.compile(r"#(\d{1,5}):(\d{1,19})")
# A key of more digits or bytes would cost every comparison; OrientDB's own limit is about the same.
MAX_KEY_BYTES = 16_384
_MAX_EXPONENT = 1 << 40
_TERMINATOR = b"\x00\x00"
# So many characters are never over the limit, whatever they are.
_SHORT = MAX_KEY_BYTES // 4 - 4


class UnfitKey(ValueError):
    """A value that its key type cannot hold; the text says why."""


@dataclass(frozen=True, slots=True)
class KeyField:
    """How one field of an index is encoded: OrientDB's name of the type, and whether case matters."""

    key_type: str
    case_insensitive: bool = False


def encode_key(fields: Sequence[KeyField], values: Sequence[Any]) -> bytes:
    """Return the key of one value a field; values as JSON has them, decimals as Decimal.

    Raises:
        UnfitKey: a value does not fit its field's type, or the key is over 16 KiB.
    """
    key = b"".join([encode_value(field, value) for field, value in zip(fields, values, strict=True)])
    if len(key) > MAX_KEY_BYTES:
        raise UnfitKey(f"a key of {len(key)} bytes is over the limit of {MAX_KEY_BYTES}")
    return key


def one_field_encoder(field: KeyField) -> Callable[[Any], bytes]:
    """Return `encode_key` for an index of one field; quick where the value is what the field's type suggests."""
    key_type, fields = field.key_type, (field,)

    def careful(value: Any) -> bytes:
        return encode_key(fields, (value,))

    if key_type in INTEGERS:
        half, pack = 1 << INTEGERS[key_type] - 1, _I64.pack

        def integer(value: Any) -> bytes:
            return VALUE + pack(value + _SIGN) if type(value) is int and -half <= value < half else careful(value)

        return integer
    if key_type == "STRING" and not field.case_insensitive:

        def text(value: Any) -> bytes:
            if type(value) is not str or "\0" in value or len(value) > _SHORT:
                return careful(value)
            return VALUE + value.encode() + _TERMINATOR

        return text
    return careful


def encode_value(field: KeyField, value: Any) -> bytes:
    """Return one field of a key.

    Raises:
        UnfitKey: the value does not fit the field's type.
    """
    if value is None:
        return NULL
    key_type = field.key_type
    if key_type == "STRING":
        return VALUE + _text(field, value)
    if key_type in INTEGERS:
        return VALUE + _integer(value, INTEGERS[key_type])
    if key_type == "LINK":
        return VALUE + _link(value)
    if key_type in FLOATS:
        return VALUE + _float(value)
    if key_type == "DECIMAL":
        return VALUE + _decimal(value)
    if key_type == "BOOLEAN":
        if not isinstance(value, bool):
            raise UnfitKey(f"{_shown(value)} is not a boolean")
        return b"\x02\x01" if value else b"\x02\x00"
    if key_type == "BINARY":
        return VALUE + _terminated(_binary(value))
    return VALUE + _any(field, value)


def decode_key(fields: Sequence[KeyField], key: bytes) -> tuple[list[Any], int]:
    """Return the values of a key, as JSON has them, and how many bytes it took.

    Raises:
        UnfitKey: the bytes are not a key of these fields.
    """
    values: list[Any] = []
    at = 0
    try:
        for field in fields:
            tag = key[at : at + 1]
            at += 1
            if tag == NULL:
                values.append(None)
            elif tag == VALUE:
                value, at = _decode_value(field.key_type, key, at)
                values.append(value)
            else:
                raise UnfitKey(f"byte {at - 1} is neither null nor value")
    except (struct.error, IndexError, ValueError) as error:
        raise UnfitKey(f"not a key: {error}") from error
    return values, at


def key_text(fields: Sequence[KeyField], key: bytes) -> str:
    """Return a key for people: its value, or a list of them."""
    values, _ = decode_key(fields, key)
    shown = json.dumps(values[0] if len(values) == 1 else values, ensure_ascii=False, default=str)
    return shown if len(shown) <= 200 else shown[:199] + "…"


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _integer(value: Any, bits: int) -> bytes:
    # copy_abs and comparisons stay outside the thread's decimal context, which could round or raise.
    if isinstance(value, Decimal) and value.copy_abs() < _SIGN << 1 and value == value.to_integral_value():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UnfitKey(f"{_shown(value)} is not an integer")
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise UnfitKey(f"{_shown(value)} does not fit {bits} bits")
    return _I64.pack(value + _SIGN)


def _float(value: Any) -> bytes:
    if isinstance(value, str) and value in NOT_FINITE:
        # As in Java, all NaN are equal, and greater than infinity.
        bits = _I64.unpack(_F64.pack(float(value)))[0]
        return _I64.pack(bits ^ _ALL if bits & _SIGN else bits ^ _SIGN)
    if not isinstance(value, int | float | Decimal) or isinstance(value, bool):
        raise UnfitKey(f"{_shown(value)} is not a number")
    try:
        # Adding zero turns -0.0 into 0.0: they are equal, so they must be one key.
        number = float(value) + 0.0
    except OverflowError as error:
        raise UnfitKey(f"{_shown(value)} does not fit a double") from error
    if not math.isfinite(number):
        raise UnfitKey(f"{_shown(value)} does not fit a double")
    bits = _I64.unpack(_F64.pack(number))[0]
    return _I64.pack(bits ^ _ALL if bits & _SIGN else bits ^ _SIGN)


def _decimal(value: Any) -> bytes:
    """Sign, exponent of the first digit, digits without trailing zeros; complemented where negative."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise UnfitKey(f"{_shown(value)} is not a number")
    try:
        number = value if isinstance(value, Decimal) else Decimal(value)
        negative, digits, exponent = number.as_tuple()
    except (InvalidOperation, ValueError) as error:
        raise UnfitKey(f"{_shown(value)} is not a decimal") from error
    if not isinstance(exponent, int) or abs(exponent) > _MAX_EXPONENT:
        raise UnfitKey(f"{_shown(value)} is not a decimal of bounded size")
    text = "".join(map(str, digits)).lstrip("0")
    exponent += len(text)
    text = text.rstrip("0")
    if not text:
        return b"\x01"
    magnitude = _I64.pack(exponent + _SIGN) + text.encode() + b"\x00"
    return b"\x00" + bytes(b ^ 0xFF for b in magnitude) if negative else b"\x02" + magnitude


def _text(field: KeyField, value: Any) -> bytes:
    if not isinstance(value, str):
        # OrientDB converts too: a number in a property of type STRING is its text.
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, int | float | Decimal):
            value = str(value)
        else:
            raise UnfitKey(f"{_shown(value)} is not a string")
    if field.case_insensitive:
        value = value.casefold()
    return _terminated(value.encode())


def _terminated(raw: bytes) -> bytes:
    return raw.replace(b"\x00", b"\x00\xff") + _TERMINATOR


def _link(value: Any) -> bytes:
    found = _RID.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise UnfitKey(f"{_shown(value)} is not a record id")
    cluster, position = int(found[1]), int(found[2])
    if cluster > MAX_CLUSTER_ID or position > MAX_POSITION:
        raise UnfitKey(f"{value} is not a record id")
    return _LINK.pack(cluster, position)


def _binary(value: Any) -> bytes:
    try:
        if not isinstance(value, str):
            raise UnfitKey(f"{_shown(value)} is not base64")
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnfitKey(f"{_shown(value)} is not base64") from error


def _any(field: KeyField, value: Any) -> bytes:
    if isinstance(value, bool):
        return b"\x11" if value else b"\x10"
    if isinstance(value, int | float | Decimal):
        return b"\x20" + _decimal(value)
    if isinstance(value, str):
        return b"\x30" + _text(field, value)
    raise UnfitKey("an object or a list cannot be a key")


def _decode_value(key_type: str, key: bytes, at: int) -> tuple[Any, int]:
    if key_type in INTEGERS:
        return _I64.unpack_from(key, at)[0] - _SIGN, at + 8
    if key_type in FLOATS:
        bits = _I64.unpack_from(key, at)[0]
        return _F64.unpack(_I64.pack(bits ^ _SIGN if bits & _SIGN else bits ^ _ALL))[0], at + 8
    if key_type == "LINK":
        cluster, position = _LINK.unpack_from(key, at)
        return f"#{cluster}:{position}", at + _LINK.size
    if key_type == "BOOLEAN":
        return key[at] == 1, at + 1
    if key_type == "DECIMAL":
        return _decode_decimal(key, at)
    if key_type in ("STRING", "BINARY"):
        raw, at = _until_terminator(key, at)
        return raw.decode() if key_type == "STRING" else base64.b64encode(raw).decode(), at
    tag = key[at]
    if tag in (0x10, 0x11):
        return tag == 0x11, at + 1
    return _decode_decimal(key, at + 1) if tag == 0x20 else _decode_value("STRING", key, at + 1)


def _decode_decimal(key: bytes, at: int) -> tuple[Decimal, int]:
    sign = key[at]
    if sign == 1:
        return Decimal(0), at + 1
    flip = 0xFF if sign == 0 else 0
    end = key.index(flip, at + 9)
    magnitude = bytes(b ^ flip for b in key[at + 1 : end])
    digits = magnitude[8:].decode()
    exponent = _I64.unpack_from(magnitude)[0] - _SIGN - len(digits)
    return Decimal((1 if sign == 0 else 0, tuple(map(int, digits)), exponent)), end + 1


def _until_terminator(key: bytes, at: int) -> tuple[bytes, int]:
    end = at
    while True:
        end = key.index(b"\x00", end)
        if key[end + 1] == 0:
            return key[at:end].replace(b"\x00\xff", b"\x00"), end + 2
        end += 2
