"""Documents of one class in the cluster's own database `system`, each changed only by who has seen its last state.

What the coordinator knows lies here and nowhere else: it may die at any moment, and another goes on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import structlog

from quiesce import records
from quiesce.errors import (
    DatabaseExists,
    InvalidDocument,
    InvalidSchemaChange,
    OutcomeUnknown,
    StaleVersion,
    UnknownClass,
    UnknownDatabase,
)
from quiesce.records import RID, Record
from quiesce.v1.database_pb2 import (
    ClassDefinition,
    CreateProperty,
    Database,
    IndexDefinition,
    IndexField,
    PropertyDefinition,
    SchemaChange,
)
from quiesce.v1.record_pb2 import Operation, ScanResponse, WriteResponse

log = structlog.get_logger()

DATABASE = "system"
Value = TypeVar("Value")


class Documents(Protocol):
    """The part of `quiesce.AsyncClient` that the coordinator keeps its state with."""

    async def create_database(self, name: str, *, importing: bool = False) -> Database:
        """See `AsyncClient.create_database`."""
        ...

    async def alter_schema(self, name: str, changes: Sequence[SchemaChange]) -> Database:
        """See `AsyncClient.alter_schema`."""
        ...

    async def database(self, name: str) -> Database:
        """See `AsyncClient.database`."""
        ...

    async def write(
        self, database: str, operations: Sequence[Operation], *, timeout_s: float | None = None
    ) -> WriteResponse:
        """See `AsyncClient.write`."""
        ...

    async def get(
        self, database: str, ids: Sequence[RID], *, stale: bool = False, timeout_s: float | None = None
    ) -> dict[RID, Record]:
        """See `AsyncClient.get`."""
        ...

    def scan(self, database: str, *, class_name: str | None = None) -> AsyncIterator[ScanResponse]:
        """See `AsyncClient.scan`."""
        ...


@dataclass(slots=True)
class Entry(Generic[Value]):
    """A document: where it is, the version that was last seen, and what it says."""

    rid: RID
    version: int
    value: Value


@dataclass(frozen=True, slots=True)
class Kind(Generic[Value]):
    """A class of documents.

    Args:
        name: of the class.
        key: the field whose values are unique.
        encode: returns the fields of a document.
        decode: returns what a document says; KeyError, TypeError or ValueError where it is not one.
    """

    name: str
    key: str
    encode: Callable[[Value], dict[str, Any]]
    decode: Callable[[Mapping[str, Any]], Value]


# The store of another document, that document, and what it says from then on.
Beside: TypeAlias = "tuple[DocumentStore[Value], Entry[Value], Value]"


class DocumentStore(Generic[Value]):
    """Reads and writes the documents of one class."""

    def __init__(self, documents: Documents, kind: Kind[Value]) -> None:
        self._documents = documents
        self._kind = kind

    async def ensure(self) -> None:
        """Create the database and the class where they are missing; several may do so at once."""
        await _ensure_class(self._documents, self._kind.name, key=self._kind.key)

    async def create(self, value: Value, *, beside: Beside[Any] | None = None) -> Entry[Value]:
        """Write a new document, in one step with a change of another one.

        Raises:
            DuplicateKey: there is one of that key.
            StaleVersion, UnknownRecord: someone else has changed or removed the other.
        """
        operations = [records.create(self._document(value), class_name=self._kind.name)]
        if beside is not None:
            store, other, changed = beside
            operations.append(store.update(other, changed))
        try:
            answer = await self._documents.write(DATABASE, operations)
        except OutcomeUnknown:
            # Nobody would see to what was begun and is not known here.
            for entry in await self.load():
                if entry.value == value:
                    return entry
            raise
        if beside is not None:
            other.version, other.value = answer.written[1].version, changed
        return Entry(RID.of(answer.written[0]), answer.written[0].version, value)

    def update(self, entry: Entry[Value], value: Value) -> Operation:
        """Return what changes a document, unless someone else has."""
        return records.update(entry.rid, self._document(value), expected_version=entry.version)

    async def advance(self, entry: Entry[Value], value: Value) -> None:
        """Write a new state, unless someone else has changed the document.

        Raises:
            StaleVersion, UnknownRecord: someone else has changed or removed it.
        """
        try:
            version = (await self._documents.write(DATABASE, [self.update(entry, value)])).written[0].version
        except (OutcomeUnknown, StaleVersion):
            # It may have been this very write whose answer was lost.
            found = (await self._documents.get(DATABASE, [entry.rid])).get(entry.rid)
            if found is None or self._kind.decode(found.document()) != value:
                raise
            version = found.version
        entry.version, entry.value = version, value

    async def remove(self, entry: Entry[Value]) -> None:
        """Remove a document, unless someone else has changed it.

        Raises:
            StaleVersion, UnknownRecord: someone else has changed or removed it.
        """
        await self._documents.write(DATABASE, [records.delete(entry.rid, expected_version=entry.version)])

    async def load(self) -> list[Entry[Value]]:
        """Return all of them, in no order; a document that cannot be read is left out, and logged."""
        entries = []
        try:
            async for answer in self._documents.scan(DATABASE, class_name=self._kind.name):
                for message in answer.records:
                    found = Record.of(message)
                    try:
                        entries.append(Entry(found.rid, found.version, self._kind.decode(found.document())))
                    except (InvalidDocument, KeyError, TypeError, ValueError) as error:
                        log.warning(
                            "a document cannot be read", of=self._kind.name, rid=str(found.rid), error=str(error)
                        )
        except (UnknownDatabase, UnknownClass):
            return []
        return entries

    def _document(self, value: Value) -> dict[str, Any]:
        return {"@class": self._kind.name, **self._kind.encode(value)}


async def _ensure_class(documents: Documents, name: str, *, key: str) -> None:
    """Create the system database, and a class in it whose `key` is unique, where they are missing.

    Several may do so at once.
    """
    try:
        database = await documents.database(DATABASE)
    except UnknownDatabase:
        try:
            database = await documents.create_database(DATABASE)
        except DatabaseExists:
            database = await documents.database(DATABASE)
    if any(known.name == name for known in database.classes):
        return
    try:
        await documents.alter_schema(DATABASE, _schema(name, key))
    except InvalidSchemaChange:
        database = await documents.database(DATABASE)
        if not any(known.name == name for known in database.classes):
            raise


def _schema(name: str, key: str) -> list[SchemaChange]:
    definition = PropertyDefinition(name=key, type="STRING", mandatory=True, not_null=True)
    unique = IndexDefinition(
        name=f"{name}.{key}",
        type="UNIQUE",
        class_name=name,
        fields=[IndexField(name=key, key_type="STRING", by=IndexField.BY_VALUE)],
        maintained=True,
    )
    return [
        SchemaChange(create_class=ClassDefinition(name=name)),
        SchemaChange(create_property=CreateProperty(class_name=name, property=definition)),
        SchemaChange(create_index=unique),
    ]
