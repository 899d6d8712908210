"""How the Raft log lies in its files: docs/formats/raft-log.md. Pure: bytes in, values out."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

FORMAT_VERSION = 1
SECTOR = 512

_SEGMENT_MAGIC = b"QSCRAFT\n"
# magic, format version, segment number, sequence of the first record, salt; a CRC-32 of these follows.
_SEGMENT = struct.Struct("<8sIQQI")
_CRC = struct.Struct("<I")
SEGMENT_HEADER_BYTES = _SEGMENT.size + _CRC.size

RECORD_MAGIC = b"\xf5rec"
# magic, type, length of the payload, sequence, CRC-32 of the payload; a CRC-32 of these follows.
_RECORD = struct.Struct("<4sB3xIQI")
RECORD_HEADER_BYTES = _RECORD.size + _CRC.size

STATE = 1
APPEND = 2

_STATE = struct.Struct("<QQQQQBHH")
_APPEND = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQI")
_DISCARD = 1


class HardState(NamedTuple):
    """What Raft must not forget: the term, whom this node voted for in it (0: nobody), and the commit index."""

    term: int
    vote: int
    commit: int


@dataclass(frozen=True, slots=True)
class Point:
    """A place in the log."""

    index: int
    term: int


# Not frozen, though nobody changes one: that makes them take three times as long to make, and a log has a million.
@dataclass(slots=True, unsafe_hash=True)
class StoredEntry:
    """An entry of the log; `data` is the encoded eraftpb.Entry."""

    index: int
    term: int
    data: bytes


@dataclass(frozen=True, slots=True)
class LogState:
    """All that a log is beside its entries. `base` is the entry before the first one that is kept."""

    hard_state: HardState
    base: Point
    voters: tuple[int, ...]
    learners: tuple[int, ...] = ()
    # The entries before this record do not belong to the log any more: a snapshot has replaced them.
    discard: bool = False

    def encode(self) -> bytes:
        """Return the payload of a STATE record."""
        nodes = (*self.voters, *self.learners)
        base, flags = self.base, _DISCARD if self.discard else 0
        fixed = _STATE.pack(*self.hard_state, base.index, base.term, flags, len(self.voters), len(self.learners))
        return fixed + struct.pack(f"<{len(nodes)}Q", *nodes)

    @classmethod
    def decode(cls, payload: bytes) -> LogState:
        """Read the payload of a STATE record. Raises ValueError."""
        try:
            term, vote, commit, index, base_term, flags, voters, learners = _STATE.unpack_from(payload)
            nodes = struct.unpack(f"<{voters + learners}Q", payload[_STATE.size :])
        except struct.error as error:
            raise ValueError(str(error)) from error
        hard_state = HardState(term, vote, commit)
        return cls(hard_state, Point(index, base_term), nodes[:voters], nodes[voters:], bool(flags & _DISCARD))

    def with_hard_state(self, hard_state: HardState) -> LogState:
        """Return this state with another hard state."""
        return replace(self, hard_state=hard_state)


def encode_append(hard_state: HardState, entries: Sequence[StoredEntry]) -> bytes:
    """Return the payload of an APPEND record: the hard state and the entries become durable together."""
    parts = [_APPEND.pack(*hard_state, len(entries))]
    parts.extend(_ENTRY.pack(entry.index, entry.term, len(entry.data)) for entry in entries)
    parts.extend(entry.data for entry in entries)
    return b"".join(parts)


def decode_append(payload: bytes) -> tuple[HardState, list[StoredEntry]]:
    """Read the payload of an APPEND record. Raises ValueError."""
    try:
        term, vote, commit, count = _APPEND.unpack_from(payload)
        at = _APPEND.size
        data_at = at + count * _ENTRY.size
        entries = []
        for index, entry_term, length in _ENTRY.iter_unpack(payload[at:data_at]):
            entries.append(StoredEntry(index, entry_term, payload[data_at : data_at + length]))
            data_at += length
    except struct.error as error:
        raise ValueError(str(error)) from error
    if data_at != len(payload) or len(entries) != count:
        raise ValueError("lengths do not add up")
    return HardState(term, vote, commit), entries


class SegmentHeader(NamedTuple):
    """The head of a segment file. The salt is random, so that no bytes of a user can pass for a record."""

    number: int
    first_sequence: int
    salt: int

    def encode(self) -> bytes:
        """Return the bytes at the start of the file."""
        fixed = _SEGMENT.pack(_SEGMENT_MAGIC, FORMAT_VERSION, *self)
        return fixed + _CRC.pack(zlib.crc32(fixed))

    @classmethod
    def decode(cls, data: bytes) -> SegmentHeader:
        """Read the start of a segment file. Raises ValueError."""
        head = data[: _SEGMENT.size]
        if len(data) < SEGMENT_HEADER_BYTES or _CRC.unpack_from(data, _SEGMENT.size)[0] != zlib.crc32(head):
            raise ValueError("the head of the segment is not valid")
        magic, version, number, first_sequence, salt = _SEGMENT.unpack(head)
        if magic != _SEGMENT_MAGIC or version != FORMAT_VERSION:
            raise ValueError(f"this is not a log of format {FORMAT_VERSION}")
        return cls(number, first_sequence, salt)


class RecordHeader(NamedTuple):
    """The head of a record."""

    type: int
    length: int
    sequence: int
    payload_crc: int


def encode_record(record_type: int, sequence: int, payload: bytes, salt: int) -> bytes:
    """Return a whole record."""
    head = _RECORD.pack(RECORD_MAGIC, record_type, len(payload), sequence, zlib.crc32(payload, salt))
    return head + _CRC.pack(zlib.crc32(head, salt)) + payload


def one_bit_in_head(data: bytes, at: int, salt: int) -> bool:
    """Return whether the head of a record stands at `at`, if one of its bits were another."""
    head = data[at : at + RECORD_HEADER_BYTES]
    for bit in range(8 * len(head)):
        flipped = bytearray(head)
        flipped[bit // 8] ^= 1 << bit % 8
        if decode_record_header(bytes(flipped), 0, salt) is not None:
            return True
    return False


def decode_record_header(data: bytes, at: int, salt: int) -> RecordHeader | None:
    """Return the head of the record at `at`, or None where there is no valid one."""
    if at + RECORD_HEADER_BYTES > len(data):
        return None
    head = data[at : at + _RECORD.size]
    if _CRC.unpack_from(data, at + _RECORD.size)[0] != zlib.crc32(head, salt):
        return None
    magic, record_type, length, sequence, payload_crc = _RECORD.unpack(head)
    if magic != RECORD_MAGIC:
        return None
    return RecordHeader(record_type, length, sequence, payload_crc)
