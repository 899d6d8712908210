"""What RocksDB does not look at, or does without, in a table: its filter, its properties, its footer. Pure.

Damage there never makes a wrong answer, but it is damage. Data and index blocks are checked by reading the store.
Format: https://github.com/facebook/rocksdb/wiki/Rocksdb-BlockBasedTable-Format, version 5.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from nodes.check.xxh3 import xxh3

_FOOTER_BYTES = 53
_MAGIC = 0x88E241B785F4CFF7
_VERSION = 5
_XXH3 = 4
# Compression and checksum, behind each block.
_TRAILER = struct.Struct("<BI")
_LAST_BYTE_PRIME = 0x6B9083D9
_RESTART = struct.Struct("<I")

Fault = tuple[int, str]


def check_table(data: bytes) -> tuple[int, list[Fault]]:
    """Return how many blocks were checked, and what is wrong at which byte of a table file."""
    if len(data) < _FOOTER_BYTES:
        return 0, [(0, f"{len(data)} bytes are no table")]
    at = len(data) - _FOOTER_BYTES
    footer = data[at:]
    version, magic = struct.unpack_from("<IQ", footer, 41)
    if (footer[0], version, magic) != (_XXH3, _VERSION, _MAGIC):
        return 0, [(at, f"the footer is not that of a table of version {_VERSION}")]
    try:
        metaindex, after = _handle(footer, 1)
        _, after = _handle(footer, after)
    except IndexError:
        return 0, [(at, "the footer cannot be read")]
    faults: list[Fault] = []
    if any(footer[after:41]):
        faults.append((at + after, "the footer has other bytes than zeros where it has none"))
    checked = 1
    faults += _fault(data, metaindex, "block that lists the others")
    if not faults:
        try:
            for name, handle in _entries(data[metaindex[0] : sum(metaindex)]):
                checked += 1
                faults += _fault(data, handle, name)
        except (IndexError, ValueError, struct.error):
            faults.append((metaindex[0], "the block that lists the others cannot be read"))
    return checked, faults


def block_checksum(block: bytes, compression: int) -> int:
    """Return the checksum of a block."""
    last_byte = compression * _LAST_BYTE_PRIME & 0xFFFFFFFF
    return xxh3(block) & 0xFFFFFFFF ^ last_byte


def _fault(data: bytes, handle: tuple[int, int], name: str) -> list[Fault]:
    at, size = handle
    if at + size + _TRAILER.size > len(data):
        return [(at, f"the {name} reaches beyond the end of the file")]
    compression, checksum = _TRAILER.unpack_from(data, at + size)
    if block_checksum(data[at : at + size], compression) != checksum:
        return [(at, f"the checksum of the {name} does not match")]
    return []


def _entries(block: bytes) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield name and handle of each entry of the block that lists the others; it is never compressed."""
    (restarts,) = _RESTART.unpack_from(block, len(block) - _RESTART.size)
    end = len(block) - _RESTART.size * (restarts + 1)
    at, name = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        size, at = _varint(block, at)
        name = name[:shared] + block[at : at + own]
        handle, _ = _handle(block, at + own)
        at += own + size
        yield name.decode(), handle


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return (offset, size), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
