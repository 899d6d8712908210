"""What a store says, held against itself: records, counters, pages, sessions, and what is known of the cluster."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from nodes.check.findings import Findings
from nodes.check.indexes import IndexExamination
from nodes.store import keys
from nodes.store.engine import META, PAGES, RECORDS, Engine
from nodes.store.keys import after
from nodes.store.schema import DatabaseSchema
from nodes.store.state import StoreState
from quiesce.errors import QuiesceError
from quiesce.v1.peer_pb2 import Outcome
from quiesce.v1.record_pb2 import RecordKind

_KINDS = (RecordKind.RECORD_KIND_DOCUMENT, RecordKind.RECORD_KIND_BLOB)
_PROGRESS_EVERY = 4096
_KNOWN = (keys.APPLIED, keys.CLOCK, keys.LEASE, keys.MEMBERSHIP, keys.FORMAT, keys.NEXT_DATABASE)
Place = tuple[int, int]


@dataclass(slots=True)
class Counts:
    """What was examined."""

    databases: int = 0
    records: int = 0
    entries: int = 0
    pages: int = 0
    sessions: int = 0
    outcomes: int = 0


@dataclass(slots=True)
class _Meta:
    counters: dict[Place, tuple[int, int]] = field(default_factory=dict)
    allocation: dict[int, tuple[int, int]] = field(default_factory=dict)
    # Forgotten through, by session.
    sessions: dict[int, int] = field(default_factory=dict)


class Content:
    """Examines one store, a column family after the other."""

    def __init__(
        self, engine: Engine, state: StoreState, where: str, findings: Findings, progress: Callable[[int], None]
    ) -> None:
        self.counts = Counts(databases=len(state.databases))
        self._engine = engine
        self._state = state
        self._where = where
        self._findings = findings
        self._progress = progress
        self._schemas = {schema.id: schema for schema in state.databases.values()}
        self._meta = _Meta()
        self._pages: dict[Place, set[int]] = {}
        self._indexes = IndexExamination(engine, self._schemas, self._add, progress)

    def examine(self, family: str) -> None:
        """Examine a column family; those of `ORDER` in their order.

        Raises:
            DamagedStore, DiskFailed: it cannot be read to its end.
        """
        {META: self._read_meta, PAGES: self._read_pages, RECORDS: self._read_records}.get(family, self._read_indexes)()

    def _add(self, key: str, detail: str) -> None:
        self._findings.add(f"{self._where}: {key}", detail)

    # --- meta

    def _read_meta(self) -> None:
        for key, value in self._engine.scan(META, b"", after(b"")):
            try:
                self._take_meta(key, value)
            except (ValueError, struct.error, DecodeError, QuiesceError) as error:
                self._add(f"meta key {key.hex()}", str(error))
        for session, forgotten in self._meta.sessions.items():
            if forgotten < 0:
                self._add(f"session {session}", "it has outcomes, and is not there")
        self._check_ids()

    def _take_meta(self, key: bytes, value: bytes) -> None:
        meta, kind = self._meta, key[:1]
        if key in _KNOWN:
            # Read with the state already.
            return
        if kind == keys.COUNTERS_PREFIX:
            following, count = keys.unpacked(keys.COUNTERS_VALUE, value)
            meta.counters[keys.counters_of(key)] = following, count
        elif kind == keys.ALLOCATION_PREFIX:
            (database,) = keys.DATABASE.unpack(key[1:])
            cluster, index = keys.unpacked(keys.ALLOCATION_VALUE, value)
            meta.allocation[database] = cluster, index
        elif kind == keys.SESSION_PREFIX:
            meta.sessions[keys.session_of(key)] = keys.SESSION_VALUE.unpack_from(value)[1]
            self.counts.sessions += 1
        elif kind == keys.OUTCOME_PREFIX:
            self._take_outcome(key, value)
        else:
            self._findings.note(f"{self._where}: meta key {key.hex()} is not known to this version")

    def _take_outcome(self, key: bytes, value: bytes) -> None:
        self.counts.outcomes += 1
        session, sequence = keys.outcome_of(key)
        Outcome.FromString(value)
        # Outcomes come before sessions in the order of keys.
        self._meta.sessions.setdefault(session, -1)
        if sequence == 0:
            raise ValueError("it is the outcome of no sequence")

    def _check_ids(self) -> None:
        state = self._state
        for schema in self._schemas.values():
            clusters, indexes = self._meta.allocation.get(schema.id, (0, 1))
            if schema.id >= state.next_database:
                self._add(f"database `{schema.name}`", f"its id {schema.id} is still to be given")
            for what, first, there in (
                ("clusters", clusters, schema.clusters),
                ("indexes", indexes, [index.id for index in schema.message.indexes]),
            ):
                if any(number >= first for number in there):
                    self._add(
                        f"database `{schema.name}`", f"it has {what} from {first} on, which are still to be given"
                    )

    # --- pages

    def _read_pages(self) -> None:
        newest = self._state.applied[0] + bool(self._state.commands_done)
        for key, value in self._engine.scan(PAGES, b"", after(b"")):
            self.counts.pages += 1
            try:
                database, cluster, page = keys.RECORD.unpack(key)
                (stamp,) = keys.unpacked(keys.STAMP, value)
            except (struct.error, QuiesceError) as error:
                self._add(f"page key {key.hex()}", str(error))
                continue
            self._pages.setdefault((database, cluster), set()).add(page)
            if stamp > newest:
                text = f"page {page} of cluster {cluster} of database {database}"
                self._add(text, f"it was changed by entry {stamp}, and {newest} is the last that is applied")

    # --- records

    def _read_records(self) -> None:
        here: Place | None = None
        count = last = 0
        for key, value in self._engine.scan(RECORDS, b"", after(b"")):
            try:
                database, cluster, position = keys.RECORD.unpack(key)
            except struct.error as error:
                self._add(f"record key {key.hex()}", str(error))
                continue
            if (database, cluster) != here:
                self._end_cluster(here, count, last)
                here, count = (database, cluster), 0
                self._begin_cluster(database, cluster)
            count, last = count + 1, position
            self._take_record(database, cluster, position, value)
            self.counts.records += 1
            if self.counts.records % _PROGRESS_EVERY == 0:
                self._progress(_PROGRESS_EVERY)
        self._end_cluster(here, count, last)
        for place, (_, there) in self._meta.counters.items():
            # What is left has no records.
            if there and place[1] in self._clusters(place[0]):
                self._add(_cluster_text(*place), f"it should have {there} records, and has none")

    def _begin_cluster(self, database: int, cluster: int) -> None:
        if cluster not in self._clusters(database):
            self._add(_cluster_text(database, cluster), "it has records, and is not in the schema")

    def _end_cluster(self, place: Place | None, count: int, last: int) -> None:
        if place is None:
            return
        following, there = self._meta.counters.pop(place, (0, 0))
        if count != there:
            self._add(_cluster_text(*place), f"it should have {there} records, and has {count}")
        if last >= following:
            self._add(_cluster_text(*place), f"position {following} is the next to be given, and there is a {last}")

    def _take_record(self, database: int, cluster: int, position: int, value: bytes) -> None:
        problem = None
        if len(value) < keys.RECORD_HEADER.size:
            problem = "it has no header"
        else:
            version, kind = keys.RECORD_HEADER.unpack_from(value)
            if not 0 < version <= keys.MAX_VERSION or kind not in _KINDS:
                problem = f"version {version} of kind {kind} cannot be"
            elif position >> keys.PAGE_SHIFT not in self._pages.get((database, cluster), ()):
                problem = f"its page {position >> keys.PAGE_SHIFT} has no stamp"
            elif kind == RecordKind.RECORD_KIND_DOCUMENT:
                problem = self._indexes.take(database, cluster, position, value[keys.RECORD_HEADER.size :])
        if problem is not None:
            self._add(f"record {keys.rid_text(cluster, position)} of {self._name(database)}", problem)

    # --- indexes

    def _read_indexes(self) -> None:
        next_ids = {database: index for database, (_, index) in self._meta.allocation.items()}
        self.counts.entries = self._indexes.compare(next_ids, self._findings.note)

    def _clusters(self, database: int) -> dict[int, object]:
        schema: DatabaseSchema | None = self._schemas.get(database)
        return dict(schema.clusters) if schema else {}

    def _name(self, database: int) -> str:
        schema = self._schemas.get(database)
        return f"`{schema.name}`" if schema else f"database {database}"


def _cluster_text(database: int, cluster: int) -> str:
    return f"cluster {cluster} of database {database}"
