"""Reads the keys of index entries back into values; the format is docs/formats/index-key.md."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from quiesce.errors import InvalidDocument
from quiesce.records import RID, Long
from quiesce.v1.database_pb2 import IndexField

_WORD = struct.Struct(">Q")
_DOUBLE = struct.Struct(">d")
_LINK = struct.Struct(">HQ")
_TOP = 1 << 63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def decode_key(fields: Sequence[IndexField], key: bytes) -> Any:
    """Return the value of a key; of a composite one a list of them.

    Raises:
        InvalidDocument: the key is not of these fields.
    """
    reader = _Reader(key)
    try:
        values = [reader.field(part.key_type) for part in fields]
    except (IndexError, ValueError, ArithmeticError, struct.error) as error:
        raise InvalidDocument(where="an index key", detail=str(error)) from None
    return values[0] if len(values) == 1 else values


class _Reader:
    def __init__(self, key: bytes) -> None:
        self._key = key
        self._at = 0

    def field(self, kind: str) -> Any:
        if self._take(1) == b"\x01":
            return None
        return self._value(kind)

    def _value(self, kind: str) -> Any:
        match kind:
            case "BYTE" | "SHORT" | "INTEGER":
                return self._whole()
            case "LONG":
                return Long(self._whole())
            case "DATE" | "DATETIME":
                return _EPOCH + timedelta(milliseconds=self._whole())
            case "FLOAT" | "DOUBLE":
                return self._real()
            case "DECIMAL":
                return self._decimal()
            case "BOOLEAN":
                return self._take(1) == b"\x01"
            case "STRING":
                return self._ended().decode()
            case "BINARY":
                return self._ended()
            case "LINK":
                return RID(*_LINK.unpack(self._take(_LINK.size)))
            case _:
                return self._any()

    def _any(self) -> Any:
        tag = self._take(1)
        if tag in (b"\x10", b"\x11"):
            return tag == b"\x11"
        return self._ended().decode() if tag == b"\x30" else self._decimal()

    def _take(self, count: int) -> bytes:
        found = self._key[self._at : self._at + count]
        if len(found) < count:
            raise IndexError("the key ends too early")
        self._at += count
        return found

    def _whole(self) -> int:
        return int(_WORD.unpack(self._take(8))[0]) - _TOP

    def _real(self) -> float:
        bits = int(_WORD.unpack(self._take(8))[0])
        bits = bits ^ _TOP if bits & _TOP else bits ^ ((1 << 64) - 1)
        return float(_DOUBLE.unpack(_WORD.pack(bits))[0])

    def _ended(self) -> bytes:
        """Take bytes up to their end, 00 00; 00 FF stands for 00."""
        found = bytearray()
        while True:
            one = self._take(1)
            if one != b"\x00":
                found += one
            elif self._take(1) == b"\x00":
                return bytes(found)
            else:
                found += one

    def _decimal(self) -> Decimal:
        sign = self._take(1)
        if sign == b"\x01":
            return Decimal(0)
        flip = 0xFF if sign == b"\x00" else 0
        exponent = int(_WORD.unpack(bytes(byte ^ flip for byte in self._take(8)))[0]) - _TOP
        digits = bytearray()
        while (digit := self._take(1)[0] ^ flip) != 0:
            digits.append(digit)
        whole = tuple(int(chr(digit)) for digit in digits)
        return Decimal((int(flip != 0), whole, exponent - len(whole)))
