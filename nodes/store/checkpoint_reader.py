"""Reading what a snapshot holds: from a checkpoint directory, in another process than the node's, or from a store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nodes.store import keys
from nodes.store.engine import META, PAGES, RECORDS, Engine
from nodes.store.state import load_state
from quiesce.v1.database_pb2 import Database
from quiesce.v1.peer_pb2 import Membership

# The coordinator's own database: it is about this cluster, and is no part of a snapshot of it.
SYSTEM = "system"


class SnapshotReader:
    """What a snapshot of a store holds, read from an engine that somebody else has opened.

    Raises:
        DamagedStore: a checksum does not match (any method may find that).
        DiskFailed: the disk answers with an error.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._state = load_state(engine)

    @property
    def applied(self) -> tuple[int, int]:
        """Index and term of the last log entry whose effects are in it."""
        return self._state.applied

    @property
    def membership(self) -> Membership | None:
        """Who belonged to the cluster at that entry; None where nobody had said yet."""
        return self._state.membership

    @property
    def log_time_ms(self) -> int:
        """The log's time at that entry."""
        return self._state.log_time_ms

    def databases(self) -> list[Database]:
        """Return all databases but `system`, by name, with the counts of their clusters."""
        found = []
        for name, schema in sorted(self._state.databases.items()):
            if name != SYSTEM:
                message = Database()
                message.CopyFrom(schema.message)
                by_id = {cluster.id: cluster for cluster in message.clusters}
                for key, value in self._engine.scan(META, *keys.counters_range(schema.id)):
                    cluster = by_id.get(keys.counters_of(key)[1])
                    if cluster is not None:
                        cluster.next_position, cluster.records = keys.COUNTERS_VALUE.unpack(value)
                found.append(message)
        return found

    def pages(self, database_id: int) -> Iterator[tuple[int, int, int]]:
        """Yield cluster, page number and stamp of every page that was ever touched, in key order."""
        for key, value in self._engine.scan(PAGES, *keys.database_range(database_id)):
            _, cluster, page = keys.RECORD.unpack(key)
            yield cluster, page, keys.STAMP.unpack(value)[0]

    def records_of(
        self, database_id: int, cluster: int, first_position: int, last_position: int
    ) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield position, version, kind and body of the records from the first position to the last, inclusive."""
        begin = keys.RECORD.pack(database_id, cluster, first_position)
        end = keys.RECORD.pack(database_id, cluster, last_position) + b"\x00"
        for key, value in self._engine.scan(RECORDS, begin, end):
            version, kind, body = keys.split_record(value)
            yield keys.RECORD.unpack(key)[2], version, kind, body


class CheckpointReader(SnapshotReader):
    """A checkpoint, opened read-only; nothing is written to it, not even by recovery.

    Raises:
        DamagedStore: it is not a checkpoint, or a checksum does not match (any method may find that).
        DiskFailed: the disk answers with an error.
    """

    def __init__(self, directory: Path, *, whole: bool = True) -> None:
        super().__init__(Engine(directory, read_only=True, whole=whole))

    def __enter__(self) -> CheckpointReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files."""
        self._engine.close()
