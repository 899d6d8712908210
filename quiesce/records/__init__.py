"""Records: ids, documents with OrientDB's types, and the operations of a write."""

from quiesce.records.decoding import decode_document
from quiesce.records.encoding import encode_document, encode_key
from quiesce.records.operations import create, create_blob, delete, expect, expect_free_key, update
from quiesce.records.record import Record, RecordKind
from quiesce.records.rid import RID
from quiesce.records.types import (
    Byte,
    Custom,
    Document,
    EmbeddedSet,
    Float,
    LinkBag,
    LinkList,
    LinkMap,
    LinkSet,
    Long,
    Short,
)

__all__ = [
    "RID",
    "Byte",
    "Custom",
    "Document",
    "EmbeddedSet",
    "Float",
    "LinkBag",
    "LinkList",
    "LinkMap",
    "LinkSet",
    "Long",
    "Record",
    "RecordKind",
    "Short",
    "create",
    "create_blob",
    "decode_document",
    "delete",
    "encode_document",
    "encode_key",
    "expect",
    "expect_free_key",
    "update",
]
