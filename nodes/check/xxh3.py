"""XXH3-64 with seed 0: the checksum that RocksDB puts behind the blocks of a table. Pure.

Only small blocks are checked by it: RocksDB itself checks all that it reads in a scan, and does that fast.
Specification: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md.
"""

from __future__ import annotations

import struct

_SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)
_M32, _M64 = (1 << 32) - 1, (1 << 64) - 1
_P32_1, _P32_2, _P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
_P64_1, _P64_2, _P64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P64_4, _P64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
_PMX1, _PMX2 = 0x165667919E3779F9, 0x9FB21C651E98DF25
_STRIPE = 64
# A block of stripes: each takes another eight bytes of the secret.
_STRIPES = (len(_SECRET) - _STRIPE) // 8
_LANES = struct.Struct("<8Q")
_KEYS = tuple(_LANES.unpack_from(_SECRET, 8 * stripe) for stripe in range(_STRIPES))


def xxh3(data: bytes) -> int:
    """Return the hash of some bytes."""
    length = len(data)
    if length > 240:
        return _long(data)
    if length > 128:
        return _middle(data)
    if length > 16:
        return _short(data)
    return _least(data)


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _u64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def _fold(one: int, other: int) -> int:
    product = one * other
    return (product & _M64) ^ (product >> 64)


def _avalanche(value: int) -> int:
    value = (value ^ value >> 37) * _PMX1 & _M64
    return value ^ value >> 32


def _xxh64_avalanche(value: int) -> int:
    value = (value ^ value >> 33) * _P64_2 & _M64
    value = (value ^ value >> 29) * _P64_3 & _M64
    return value ^ value >> 32


def _mix16(data: bytes, at: int, secret: int) -> int:
    return _fold(_u64(data, at) ^ _u64(_SECRET, secret), _u64(data, at + 8) ^ _u64(_SECRET, secret + 8))


def _least(data: bytes) -> int:
    length = len(data)
    if length > 8:
        low = _u64(data, 0) ^ _u64(_SECRET, 24) ^ _u64(_SECRET, 32)
        high = _u64(data, length - 8) ^ _u64(_SECRET, 40) ^ _u64(_SECRET, 48)
        swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
        return _avalanche((length + swapped + high + _fold(low, high)) & _M64)
    if length >= 4:
        value = _u32(data, length - 4) + (_u32(data, 0) << 32) ^ _u64(_SECRET, 8) ^ _u64(_SECRET, 16)
        value ^= _rotated(value, 49) ^ _rotated(value, 24)
        value = value * _PMX2 & _M64
        value = (value ^ (value >> 35) + length) * _PMX2 & _M64
        return value ^ value >> 28
    if length:
        combined = data[0] << 16 | data[length >> 1] << 24 | data[-1] | length << 8
        return _xxh64_avalanche(combined ^ _u32(_SECRET, 0) ^ _u32(_SECRET, 4))
    return _xxh64_avalanche(_u64(_SECRET, 56) ^ _u64(_SECRET, 64))


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> 64 - bits) & _M64


def _short(data: bytes) -> int:
    length = len(data)
    found = length * _P64_1
    for pair in range((length - 1) // 32 + 1):
        found += _mix16(data, 16 * pair, 32 * pair) + _mix16(data, length - 16 * (pair + 1), 32 * pair + 16)
    return _avalanche(found & _M64)


def _middle(data: bytes) -> int:
    length = len(data)
    found = length * _P64_1
    for part in range(8):
        found += _mix16(data, 16 * part, 16 * part)
    found = _avalanche(found & _M64)
    for part in range(8, length // 16):
        found += _mix16(data, 16 * part, 16 * (part - 8) + 3)
    return _avalanche(found + _mix16(data, length - 16, 136 - 17) & _M64)


def _long(data: bytes) -> int:
    lanes = [_P32_3, _P64_1, _P64_2, _P64_3, _P64_4, _P32_2, _P64_5, _P32_1]
    length = len(data)
    stripes = (length - 1) // _STRIPE
    for stripe in range(stripes):
        _accumulate(lanes, _LANES.unpack_from(data, stripe * _STRIPE), _KEYS[stripe % _STRIPES])
        if stripe % _STRIPES == _STRIPES - 1:
            _scramble(lanes)
    last = _LANES.unpack_from(_SECRET, len(_SECRET) - _STRIPE - 7)
    _accumulate(lanes, _LANES.unpack_from(data, length - _STRIPE), last)
    found = length * _P64_1
    for pair in range(4):
        found += _fold(
            lanes[2 * pair] ^ _u64(_SECRET, 11 + 16 * pair), lanes[2 * pair + 1] ^ _u64(_SECRET, 19 + 16 * pair)
        )
    return _avalanche(found & _M64)


def _accumulate(lanes: list[int], data: tuple[int, ...], keys: tuple[int, ...]) -> None:
    for lane in range(8):
        value = data[lane]
        key = value ^ keys[lane]
        lanes[lane ^ 1] += value
        lanes[lane] += (key & _M32) * (key >> 32)
    for lane in range(8):
        lanes[lane] &= _M64


_SCRAMBLE = _LANES.unpack_from(_SECRET, len(_SECRET) - _STRIPE)


def _scramble(lanes: list[int]) -> None:
    for lane in range(8):
        value = lanes[lane]
        lanes[lane] = (value ^ value >> 47 ^ _SCRAMBLE[lane]) * _P32_1 & _M64
