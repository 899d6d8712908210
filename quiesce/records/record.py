"""A record as it is read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from quiesce.errors import InvalidRequest
from quiesce.records.decoding import decode_document
from quiesce.records.rid import RID
from quiesce.records.types import Document
from quiesce.v1 import record_pb2


class RecordKind(IntEnum):
    """What a record's body is."""

    DOCUMENT = record_pb2.RECORD_KIND_DOCUMENT
    BLOB = record_pb2.RECORD_KIND_BLOB


@dataclass(frozen=True, slots=True)
class Record:
    """A record: where it is, its version, and its body as stored (docs/formats/record.md)."""

    rid: RID
    version: int
    kind: RecordKind
    body: bytes

    @classmethod
    def of(cls, message: record_pb2.Record) -> Record:
        """Return the record that travelled as `message`."""
        return cls(RID(message.cluster, message.position), message.version, RecordKind(message.kind), message.body)

    def document(self) -> Document:
        """Return the fields.

        Raises:
            InvalidRequest: the record is a blob; its bytes are `body`.
            InvalidDocument: the body is damaged.
        """
        if self.kind is RecordKind.BLOB:
            raise InvalidRequest(detail=f"record {self.rid} is a blob and has no fields")
        return decode_document(self.body, where=str(self.rid))
