"""The files that RocksDB writes as a log, its MANIFEST and its WAL: where the first wrong byte is. Pure.

Format: https://github.com/facebook/rocksdb/wiki/Write-Ahead-Log-File-Format. RocksDB takes a record that reaches beyond
the end of the file for one that a crash cut short, and leaves it out in silence; but a length with one wrong bit
looks the same, and what is left out may be the files of the last flush. Here the two are told apart.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_BLOCK = 32_768
# Masked CRC-32C of type and data, length of the data, type.
_HEADER = struct.Struct("<IHB")
# Recyclable types have the log's number in their header: this store recycles no logs.
_MOST_TYPE = 11
_MASK_DELTA = 0xA282EAD8


def _table() -> tuple[int, ...]:
    found = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)  # noqa: PLW2901
        found.append(value)
    return tuple(found)


_CRC32C = _table()


def masked_crc32c(data: bytes) -> int:
    """Return the CRC-32C of some bytes as RocksDB stores it."""
    crc, table = 0xFFFFFFFF, _CRC32C
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class LogEnd:
    """How far a log file is sound: `records` end at byte `at`; `damage` says what is wrong there.

    Where there is no damage and `at` is before the file's end, a crash has cut off what follows.
    """

    records: int
    at: int
    damage: str | None = None


def read_log(data: bytes) -> LogEnd:
    """Check every record of a log file."""
    at = records = 0
    while at < len(data):
        left = _BLOCK - at % _BLOCK
        if left < _HEADER.size:
            # A header never spans blocks.
            if any(data[at : at + left]):
                return LogEnd(records, at, "the zeros at the end of a block are none")
            at = min(at + left, len(data))
            continue
        if at + _HEADER.size > len(data):
            return LogEnd(records, at)
        crc, length, kind = _HEADER.unpack_from(data, at)
        end = at + _HEADER.size + length
        if kind <= _MOST_TYPE and length <= left - _HEADER.size and end <= len(data):
            if masked_crc32c(data[at + 6 : end]) == crc:
                records, at = records + 1, end
                continue
            if not any(data[at:]):
                # Space that was reserved and never used.
                return LogEnd(records, at)
        return LogEnd(records, at, _damage(data, at, crc, end))
    return LogEnd(records, at)


def _damage(data: bytes, at: int, crc: int, end: int) -> str | None:
    """Return what is wrong with the record at `at`, or None where it is what a crash has left of the last one."""
    if (following := _following(data, at + 1)) is not None:
        return f"the record is not valid, and another follows it at byte {following}"
    if end <= len(data):
        return "the record's checksum is wrong"
    if masked_crc32c(data[at + 6 :]) == crc:
        return "the length of the record is wrong, and all of its data is there"
    return None


def _following(data: bytes, begin: int) -> int | None:
    """Return where the next record stands that is valid, or None."""
    for at in range(begin, len(data) - _HEADER.size):
        crc, length, kind = _HEADER.unpack_from(data, at)
        end = at + _HEADER.size + length
        fits = 0 < kind <= _MOST_TYPE and length > 0 and end <= len(data) and at % _BLOCK + end - at <= _BLOCK
        # Little of what is no record gets so far.
        if fits and masked_crc32c(data[at + 6 : end]) == crc:
            return at
    return None
