"""What the worker reads: a checkpoint of a store, pinned and unchanging."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from quiesce.v1.database_pb2 import Database


class SnapshotSource(Protocol):
    """Implemented by nodes.store.CheckpointReader."""

    @property
    def applied(self) -> tuple[int, int]:
        """The (index, term) of the entry that was applied last."""

    def databases(self) -> list[Database]:
        """Return the databases, without `system`."""

    def pages(self, database_id: int) -> Iterable[tuple[int, int, int]]:
        """Yield (cluster, page, stamp) of every page that was ever written, in order."""

    def records_of(
        self, database_id: int, cluster: int, first_position: int, last_position: int
    ) -> Iterable[tuple[int, int, int, bytes]]:
        """Yield (position, version, kind, body) from the first position to the last, both included."""
