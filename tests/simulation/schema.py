"""The database that the clients of a simulation work on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

from quiesce.v1 import database_pb2 as db
from quiesce.v1.record_pb2 import Create, Delete, Operation, RecordKind, Update

DATABASE = "bank"
# What each account begins with.
BALANCE = 100


class Clusters(NamedTuple):
    """The clusters of the classes."""

    register: int
    account: int
    named: int

    @classmethod
    def of(cls, database: db.Database) -> Clusters:
        """Find them; -1 where a class is not there yet."""
        found = {definition.name: definition.default_cluster_id for definition in database.classes}
        return cls(found.get("Register", -1), found.get("Account", -1), found.get("Named", -1))


def INDEXED(clusters: Clusters) -> Iterator[tuple[int, str, str]]:  # noqa: N802
    """Yield cluster, index and field of the indexes that are there."""
    if clusters.named >= 0:
        yield clusters.named, "Named.name", "name"
        yield clusters.named, "Named.colour", "colour"


def changes() -> list[db.SchemaChange]:
    """Return what makes the schema."""
    names = ("Register", "Account", "Named")
    classes = [db.SchemaChange(create_class=db.ClassDefinition(name=name)) for name in names]
    return [
        *classes,
        _index("name", "UNIQUE"),
        _index("colour", "NOTUNIQUE"),
    ]


def _index(field: str, kind: str) -> db.SchemaChange:
    fields = [db.IndexField(name=field, key_type="STRING")]
    definition = db.IndexDefinition(name=f"Named.{field}", type=kind, class_name="Named", fields=fields)
    return db.SchemaChange(create_index=definition)


def body(class_name: str, **fields: object) -> bytes:
    """Return the body of a record."""
    return json.dumps({"@class": class_name, **fields}).encode()


def create(class_name: str, **fields: object) -> Operation:
    """Return an operation."""
    record = Create(class_name=class_name, kind=RecordKind.RECORD_KIND_DOCUMENT, body=body(class_name, **fields))
    return Operation(create=record)


def update(rid: tuple[int, int], version: int | None, class_name: str, **fields: object) -> Operation:
    """Return an operation."""
    changed = Update(cluster=rid[0], position=rid[1], expected_version=version, body=body(class_name, **fields))
    return Operation(update=changed)


def delete(rid: tuple[int, int], version: int | None) -> Operation:
    """Return an operation."""
    return Operation(delete=Delete(cluster=rid[0], position=rid[1], expected_version=version))
