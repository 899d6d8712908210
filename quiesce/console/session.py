"""What a console remembers from one statement to the next, and its way to the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from quiesce.client import Client
from quiesce.errors import NoDatabaseChosen
from quiesce.sql.catalog import Catalog
from quiesce.sql.reading import ClientReader
from quiesce.sql.rows import Element, Row
from quiesce.v1.record_pb2 import Operation, WriteResponse

# A cluster may be electing a leader meanwhile.
TIMEOUT_S = 30.0


@dataclass(slots=True)
class Settings:
    """What SET changes: `limit`, the rows that are shown (-1: all), and `width`, the characters of a line."""

    limit: int = 20
    width: int = 150


@dataclass(slots=True)
class Session:
    """A console's cluster, its coordinator, the database in use, and the last result."""

    client: Client
    cluster: str
    coordinator: str
    database: str | None = None
    settings: Settings = field(default_factory=Settings)
    result: list[Row] = field(default_factory=list)
    record: Element | None = None

    @property
    def name(self) -> str:
        """The database in use.

        Raises:
            NoDatabaseChosen: there is none.
        """
        if self.database is None:
            raise NoDatabaseChosen
        return self.database

    def reader(self) -> ClientReader:
        """Return a reader of the database in use, for one statement."""
        return ClientReader(self.client, self.name)

    def write(self, operations: Sequence[Operation]) -> WriteResponse:
        """Apply one transaction to the database in use, exactly once."""
        return self.client.write(self.name, operations)

    def catalog(self) -> Catalog:
        """Read the definition of the database in use."""
        return Catalog(self.client.database(self.name))
