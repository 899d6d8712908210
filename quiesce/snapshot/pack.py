"""Packs: many compressed segments in one object whose name is the BLAKE3-256 of its bytes.

Format: docs/formats/snapshot.md, "Pack". An index at the end makes a pack useful without any manifest.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import lz4.frame
from blake3 import blake3

from quiesce.snapshot.malformed import MalformedObject

PACK_BYTES = 32 << 20
_MAGIC = b"QPK\x01"
_END = b"QPX\x01"
_ENTRY = struct.Struct(">32sIII")
# BLAKE3 of the entries, their number, magic.
_TAIL = struct.Struct(">32sI4s")
# A segment is 4 MiB and one record at most; what claims more is no segment.
_MOST_RAW = 64 << 20


class PackEntry(NamedTuple):
    """Where a segment lies in a pack; lengths and offset in bytes, `digest` that of the raw bytes."""

    digest: bytes
    offset: int
    stored_length: int
    raw_length: int


def digest(data: bytes) -> bytes:
    """Return the BLAKE3-256 of `data`."""
    return blake3(data).digest()


def compress(raw: bytes) -> bytes:
    """Return `raw` as one LZ4 frame that carries its length and a checksum of its content."""
    compressed: bytes = lz4.frame.compress(
        raw, block_size=lz4.frame.BLOCKSIZE_MAX4MB, content_checksum=True, store_size=True
    )
    return compressed


def decompress(frame: bytes, raw_length: int) -> bytes:
    """Return the content of exactly one LZ4 frame.

    Raises:
        MalformedObject: it is no whole frame, or its content is not `raw_length` bytes long.
    """
    if not 0 <= raw_length <= _MOST_RAW:
        raise MalformedObject(f"a length of {raw_length} bytes is over the limit of {_MOST_RAW}")
    try:
        raw: bytes
        raw, used = lz4.frame.decompress(frame, return_bytes_read=True)
    except (RuntimeError, ValueError, MemoryError) as error:
        raise MalformedObject(f"LZ4: {error}") from error
    if used != len(frame) or len(raw) != raw_length:
        raise MalformedObject(f"an LZ4 frame holds {len(raw)} bytes in {used}, not {raw_length} in {len(frame)}")
    return raw


class PackBuilder:
    """Collects compressed segments in memory until the pack is as large as it should be."""

    def __init__(self) -> None:
        self._parts: list[bytes] = [_MAGIC]
        self._entries: list[PackEntry] = []
        self.size = len(_MAGIC)

    def __len__(self) -> int:
        return len(self._entries)

    def fits(self, frame: bytes) -> bool:
        """Return whether `frame` goes in without passing the size of a pack; one always goes in."""
        return not self._entries or self.size + len(frame) <= PACK_BYTES

    def add(self, raw_digest: bytes, frame: bytes, raw_length: int) -> int:
        """Append a compressed segment and return its offset in the pack."""
        offset = self.size
        self._parts.append(frame)
        self._entries.append(PackEntry(raw_digest, offset, len(frame), raw_length))
        self.size += len(frame)
        return offset

    def vary(self, nonce: bytes) -> None:
        """Make it another object than the same segments would be, by one more that no page table names."""
        self.add(digest(nonce), compress(nonce), len(nonce))

    def finish(self) -> tuple[bytes, bytes]:
        """Return the bytes of the pack and their digest, which is its name."""
        entries = b"".join(_ENTRY.pack(*entry) for entry in self._entries)
        data = b"".join((*self._parts, entries, _TAIL.pack(digest(entries), len(self._entries), _END)))
        return data, digest(data)


def pack_index(size: int, tail: bytes) -> list[PackEntry] | int:
    """Return the segments of a pack of `size` bytes from its last bytes, or how many last bytes that takes.

    Raises:
        MalformedObject: there is no whole index at the end.
    """
    if len(tail) < _TAIL.size:
        if size < len(_MAGIC) + _TAIL.size:
            raise MalformedObject(f"a pack of {size} bytes is too short")
        return _TAIL.size
    checksum, count, magic = _TAIL.unpack(tail[-_TAIL.size :])
    needed: int = _TAIL.size + count * _ENTRY.size
    if magic != _END or needed + len(_MAGIC) > size:
        raise MalformedObject("a pack has no index at its end")
    if len(tail) < needed:
        return needed
    entries = tail[len(tail) - needed : len(tail) - _TAIL.size]
    if digest(entries) != checksum:
        raise MalformedObject("the index of a pack does not fit its checksum")
    return [PackEntry(*fields) for fields in _ENTRY.iter_unpack(entries)]
