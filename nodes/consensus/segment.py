"""Reads one segment of the Raft log, and tells a torn tail from damage. Pure."""

from __future__ import annotations

import zlib
from typing import NamedTuple

from nodes.consensus.one_bit import one_bit_is_wrong
from nodes.consensus.record import (
    RECORD_HEADER_BYTES,
    RECORD_MAGIC,
    SECTOR,
    SEGMENT_HEADER_BYTES,
    RecordHeader,
    SegmentHeader,
    decode_record_header,
    one_bit_in_head,
)


class Record(NamedTuple):
    """A record as it was found."""

    at: int
    type: int
    payload: bytes


class Segment(NamedTuple):
    """The valid content of a segment. `length` is less than the file's where its tail is torn."""

    header: SegmentHeader
    records: list[Record]
    length: int


class Damage(Exception):
    """The log is damaged at byte `at`; becomes DamagedLog where the file is known."""

    def __init__(self, at: int, detail: str) -> None:
        super().__init__(detail)
        self.at = at
        self.detail = detail


def read_segment(data: bytes, *, last: bool) -> Segment:
    """Return the records of a segment file.

    Every record is synced before the next is written, so a crash can tear only the very last one of the last segment:
    there the file ends early, or sectors that never reached the disk read as zeros. Anything else is damage.

    Raises:
        Damage: a byte is wrong where no crash can have made it so.
    """
    try:
        header = SegmentHeader.decode(data)
    except ValueError as error:
        raise Damage(0, str(error)) from error
    records: list[Record] = []
    at = SEGMENT_HEADER_BYTES
    while at < len(data):
        sequence = header.first_sequence + len(records)
        head = decode_record_header(data, at, header.salt)
        if head is not None and head.sequence != sequence:
            raise Damage(at, f"record {sequence} was expected and {head.sequence} found")
        end = at + RECORD_HEADER_BYTES + (head.length if head else 0)
        payload = data[at + RECORD_HEADER_BYTES : end]
        if head is None or end > len(data) or zlib.crc32(payload, header.salt) != head.payload_crc:
            if not last:
                raise Damage(at, "the record is not valid, and others were written after it")
            _must_be_torn(data, at, header.salt, head)
            break
        records.append(Record(at, head.type, payload))
        at = end
    return Segment(header, records, at)


def _must_be_torn(data: bytes, at: int, salt: int, head: RecordHeader | None) -> None:
    """Raise Damage unless what stands at `at` can be the remains of one write that a crash cut short."""
    if head is None and len(data) - at < RECORD_HEADER_BYTES:
        return
    end = None if head is None else at + RECORD_HEADER_BYTES + head.length
    if end is not None and end > len(data):
        return
    if end is not None and end < len(data):
        raise Damage(at, "the record's checksum is wrong, and more follows it")
    # A record may well hold zeros: what follows would take it for torn.
    payload = data[at + RECORD_HEADER_BYTES :]
    if one_bit_in_head(data, at, salt) if head is None else one_bit_is_wrong(payload, head.payload_crc, salt):
        raise Damage(at, "one bit of the record is wrong")
    following = data.find(RECORD_MAGIC, at + 1)
    while following >= 0:
        if decode_record_header(data, following, salt) is not None:
            raise Damage(at, f"the record is not valid, and another follows it at byte {following}")
        following = data.find(RECORD_MAGIC, following + 1)
    if not _has_zero_sector(data, at):
        raise Damage(at, "the record's checksum is wrong")


def _has_zero_sector(data: bytes, at: int) -> bool:
    while at < len(data):
        end = min((at // SECTOR + 1) * SECTOR, len(data))
        if not any(data[at:end]):
            return True
        at = end
    return False
