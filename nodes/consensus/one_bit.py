"""Whether one flipped bit explains a wrong CRC-32: bytes were changed on the disk then, not lost in a crash. Pure."""

from __future__ import annotations

import zlib

# A longer payload may match by chance: one in 2,000 here.
MOST_BYTES = 256 << 10


def _table() -> tuple[int, ...]:
    found = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)  # noqa: PLW2901
        found.append(value)
    return tuple(found)


_TABLE = _table()
_BY_HIGH_BYTE = {value >> 24: (index, value) for index, value in enumerate(_TABLE)}
_ONE_BIT = frozenset(_TABLE[1 << bit] for bit in range(8))


def one_bit_is_wrong(data: bytes, crc: int, salt: int) -> bool:
    """Return whether `data` would have this CRC, salted, if one of its bits, or of the CRC's, were another."""
    difference = zlib.crc32(data, salt) ^ crc
    if difference.bit_count() == 1:
        return True
    if len(data) > MOST_BYTES:
        return False
    # The CRC is linear: the difference is that of the flipped bit alone, carried on over the bytes behind it. Going
    # back byte by byte it must come to what one bit makes.
    for _ in range(len(data)):
        if difference in _ONE_BIT:
            return True
        index, value = _BY_HIGH_BYTE[difference >> 24]
        difference = (difference ^ value) << 8 & 0xFFFFFFFF | index
    return False
