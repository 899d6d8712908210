"""The syntax tree of what OrientDB's console adds to SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from quiesce.records import RID
from quiesce.sql.statements import ClassTarget, ClusterTarget


@dataclass(frozen=True, slots=True)
class Connect:
    """CONNECT or USE: go to a database."""

    database: str


@dataclass(frozen=True, slots=True)
class Disconnect:
    """DISCONNECT: leave the database."""


@dataclass(frozen=True, slots=True)
class CreateDatabase:
    """CREATE DATABASE."""

    name: str


@dataclass(frozen=True, slots=True)
class DropDatabase:
    """DROP DATABASE; without a name the one that is in use."""

    name: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """LIST DATABASES, CLASSES, CLUSTERS, INDEXES or PROPERTIES (the console's settings)."""

    what: str


@dataclass(frozen=True, slots=True)
class Info:
    """INFO, or of one CLASS, PROPERTY (`class.property`), CLUSTER or INDEX."""

    what: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Browse:
    """BROWSE CLASS or CLUSTER."""

    target: ClassTarget | ClusterTarget
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class LoadRecord:
    """LOAD RECORD."""

    rid: RID


@dataclass(frozen=True, slots=True)
class DisplayRecord:
    """DISPLAY RECORD: a row of the last result, from 0."""

    number: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """EXPORT, IMPORT, BACKUP, RESTORE or CHECK DATABASE, EXPORT SCHEMA or RECORD; what follows is theirs to read."""

    verb: str
    what: str
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """SET name value."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class ShowSetting:
    """GET name."""

    name: str


@dataclass(frozen=True, slots=True)
class Help:
    """HELP, or about one command."""

    topic: str = ""


@dataclass(frozen=True, slots=True)
class Exit:
    """EXIT or QUIT."""


ConsoleStatement: TypeAlias = (
    Connect
    | Disconnect
    | CreateDatabase
    | DropDatabase
    | Listing
    | Info
    | Browse
    | LoadRecord
    | DisplayRecord
    | Transfer
    | Setting
    | ShowSetting
    | Help
    | Exit
)
