"""The syntax tree of statements on the schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

# Names and values of attributes, as in MANDATORY TRUE: the value is a word, a number, a text or null.
Attributes: TypeAlias = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class CreateClass:
    """CREATE CLASS."""

    name: str
    super_classes: tuple[str, ...] = ()
    clusters: tuple[int, ...] = ()
    abstract: bool = False
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class AlterClass:
    """ALTER CLASS name attribute value."""

    name: str
    attribute: str
    value: str | None


@dataclass(frozen=True, slots=True)
class DropClass:
    """DROP CLASS; of vertices and edges only with UNSAFE, as their links would stay."""

    name: str
    if_exists: bool = False
    unsafe: bool = False


@dataclass(frozen=True, slots=True)
class CreateProperty:
    """CREATE PROPERTY class.name type [linked type or class] (attributes)."""

    class_name: str
    name: str
    type: str
    linked: str | None = None
    attributes: Attributes = ()
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class AlterProperty:
    """ALTER PROPERTY class.name attribute value."""

    class_name: str
    name: str
    attribute: str
    value: str | None


@dataclass(frozen=True, slots=True)
class DropProperty:
    """DROP PROPERTY; `force`: with the indexes on it."""

    class_name: str
    name: str
    if_exists: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class CreateCluster:
    """CREATE CLUSTER."""

    name: str
    id: int | None = None
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class AlterCluster:
    """ALTER CLUSTER name attribute value."""

    name: str
    attribute: str
    value: str | None


@dataclass(frozen=True, slots=True)
class DropCluster:
    """DROP CLUSTER, by name or number."""

    name: str
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class IndexedField:
    """A field of an index; `by` is KEY or VALUE for the keys or values of a map, else empty."""

    name: str
    by: str = ""
    collate: str = ""


@dataclass(frozen=True, slots=True)
class CreateIndex:
    """CREATE INDEX: on fields of a class, or on the one that its name says (`class.field`)."""

    name: str
    type: str
    class_name: str | None = None
    fields: tuple[IndexedField, ...] = ()
    ignore_nulls: bool = False
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropIndex:
    """DROP INDEX."""

    name: str
    if_exists: bool = False


SchemaStatement: TypeAlias = (
    CreateClass
    | AlterClass
    | DropClass
    | CreateProperty
    | AlterProperty
    | DropProperty
    | CreateCluster
    | AlterCluster
    | DropCluster
    | CreateIndex
    | DropIndex
)
