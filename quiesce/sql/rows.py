"""What a query goes over: records, and rows that were computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from quiesce.records import RID, Document, Record, RecordKind


@dataclass(slots=True, eq=False)
class Element:
    """A record and its fields; a blob has one field, `value`."""

    rid: RID
    version: int
    document: Document
    kind: RecordKind = RecordKind.DOCUMENT
    # Bytes of its body, which say about how much memory it takes.
    size: int = 0

    @classmethod
    def of(cls, record: Record) -> Element:
        """Read a record.

        Raises:
            InvalidDocument: its body is damaged.
        """
        document = Document(value=record.body) if record.kind is RecordKind.BLOB else record.document()
        return cls(record.rid, record.version, document, record.kind, len(record.body))

    def get(self, name: str) -> Any:
        """Return a field or an attribute; None where it is absent."""
        match name:
            case "@rid" | "@this":
                return self.rid
            case "@version":
                return self.version
            case _:
                return self.document.get(name)

    def has(self, name: str) -> bool:
        """Return whether the field is there, if only as null."""
        return name in self.document or name in ("@rid", "@this", "@version")

    def fields(self) -> Iterable[tuple[str, Any]]:
        """Return names and values, without attributes."""
        return ((name, value) for name, value in self.document.items() if name != "@class")

    @property
    def class_name(self) -> str | None:
        """The record's class."""
        return self.document.class_name


@dataclass(slots=True, eq=False)
class Computed:
    """A row of computed columns."""

    values: dict[str, Any]
    size: int = 0

    def get(self, name: str) -> Any:
        """Return a column; None where there is none of that name."""
        return self.values.get(name)

    def has(self, name: str) -> bool:
        """Return whether there is such a column."""
        return name in self.values

    def fields(self) -> Iterable[tuple[str, Any]]:
        """Return names and values."""
        return self.values.items()

    @property
    def class_name(self) -> str | None:
        """Of a computed row, what a column of that name holds."""
        found = self.values.get("@class")
        return found if isinstance(found, str) else None


class Row(Protocol):
    """What expressions are computed of."""

    @property
    def size(self) -> int:
        """About how many bytes it takes."""

    @property
    def class_name(self) -> str | None:
        """Its class."""

    def get(self, name: str) -> Any:
        """Return a field or an attribute; None where it is absent."""

    def has(self, name: str) -> bool:
        """Return whether it has such a field, if only as null."""

    def fields(self) -> Iterable[tuple[str, Any]]:
        """Return names and values, without attributes."""


def row_of(values: Mapping[str, Any]) -> Computed:
    """Return a document or map as a row."""
    return Computed(dict(values))
