"""Builds what a write does: one Operation for each record it touches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quiesce.errors import InvalidRequest
from quiesce.records.encoding import encode_document, encode_key
from quiesce.records.rid import RID
from quiesce.v1 import record_pb2
from quiesce.v1.record_pb2 import Operation

_DOCUMENT = record_pb2.RECORD_KIND_DOCUMENT


def create(
    document: Mapping[str, Any] | bytes,
    *,
    class_name: str | None = None,
    cluster: int | None = None,
    position: int | None = None,
) -> Operation:
    """Return the creation of a document.

    Args:
        document: its fields, or a body that is encoded already (then with its `@class`, if it has one).
        class_name: its class; it goes into the class's default cluster.
        cluster: the cluster it goes into; with `class_name` the cluster decides the place.
        position: the position that it has to get, so that the batch may link to it; PositionTaken otherwise.

    Raises:
        InvalidDocument: a field's name or value cannot be written.
        InvalidRequest: neither class nor cluster is given, or the class contradicts the document's own.
    """
    if isinstance(document, bytes):
        body = document
    else:
        own = document.get("@class")
        if class_name is not None and own is not None and own != class_name:
            raise InvalidRequest(detail=f"a document of class {own} cannot be created in class {class_name}")
        class_name = class_name or own
        body = encode_document({"@class": class_name, **document} if class_name is not None else document)
    message = record_pb2.Create(kind=_DOCUMENT, body=body, position=position)
    if cluster is not None:
        message.cluster = cluster
    elif class_name is not None:
        message.class_name = class_name
    else:
        raise InvalidRequest(detail="a record needs a class or a cluster to go into")
    return Operation(create=message)


def create_blob(content: bytes, *, cluster: int, position: int | None = None) -> Operation:
    """Return the creation of a blob in a cluster; `position` as in `create`."""
    kind = record_pb2.RECORD_KIND_BLOB
    message = record_pb2.Create(cluster=cluster, kind=kind, body=content, position=position)
    return Operation(create=message)


def update(rid: RID, document: Mapping[str, Any] | bytes, *, expected_version: int | None = None) -> Operation:
    """Return the replacement of a record's whole content.

    Args:
        rid: the record.
        document: all its fields, with `@class` if it has a class; bytes replace a blob's content, or are a document's
            encoded body.
        expected_version: refuse with StaleVersion unless the record is at this version.

    Raises:
        InvalidDocument: a field's name or value cannot be written.
    """
    body = document if isinstance(document, bytes) else encode_document(document, where=str(rid))
    message = record_pb2.Update(
        cluster=rid.cluster, position=rid.position, body=body, expected_version=expected_version
    )
    return Operation(update=message)


def delete(rid: RID, *, expected_version: int | None = None) -> Operation:
    """Return the deletion of a record; refused with StaleVersion unless it is at `expected_version`, if given."""
    message = record_pb2.Delete(cluster=rid.cluster, position=rid.position, expected_version=expected_version)
    return Operation(delete=message)


def expect(rid: RID, *, version: int | None = None) -> Operation:
    """Return the expectation that a record is there, and is at `version` if that is given; nothing is changed.

    The batch is refused with UnknownRecord or StaleVersion where it was not so before the batch. With it, a batch may
    depend on records that it only read.
    """
    record = record_pb2.ExpectRecord(cluster=rid.cluster, position=rid.position, version=version)
    return Operation(expect=record_pb2.Expect(record=record))


def expect_free_key(index_name: str, key: Sequence[Any]) -> Operation:
    """Return the expectation that no record has a key of a unique index; nothing is changed.

    The batch is refused with DuplicateKey where one had it before the batch.

    Args:
        index_name: the index.
        key: one value a field of the index.
    """
    free_key = record_pb2.ExpectFreeKey(index_name=index_name, key=encode_key(key))
    return Operation(expect=record_pb2.Expect(free_key=free_key))
