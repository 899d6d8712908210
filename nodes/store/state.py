"""What a store knows of itself besides records: how far it has applied, the log's time, lease, members, databases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from nodes.store import keys
from nodes.store.engine import META, RECORDS, SCHEMA, Engine
from nodes.store.keys import after
from nodes.store.schema import DatabaseSchema
from quiesce.errors import DamagedStore
from quiesce.v1.database_pb2 import Database
from quiesce.v1.node_pb2 import RotationLease
from quiesce.v1.peer_pb2 import Membership

# Rises when an older program could not read a newer store.
STORE_FORMAT = b"\x00\x00\x00\x01"


@dataclass(frozen=True, slots=True)
class StoreState:
    """One state of the store; changed by making another."""

    # Index and term of the last log entry whose effects are all in.
    applied: tuple[int, int] = (0, 0)
    # How many commands of the entry after that are in as well.
    commands_done: int = 0
    log_time_ms: int = 0
    lease: RotationLease | None = None
    # None: what the node was started with holds until the cluster has written it down.
    membership: Membership | None = None
    databases: Mapping[str, DatabaseSchema] = field(default_factory=lambda: MappingProxyType({}))
    next_database: int = 1


def load_state(engine: Engine) -> StoreState:
    """Read the state of a store; an empty one gets the initial state.

    Raises:
        DamagedStore: it is of another format, or a value is not what it should be.
    """
    found = engine.get(META, keys.FORMAT)
    if found is None:
        if any(True for family in (RECORDS, META) for _ in engine.scan(family, b"", after(b""))):
            raise DamagedStore(path=engine.directory, detail="a restore into it was not finished")
        return StoreState()
    if found != STORE_FORMAT:
        raise DamagedStore(path=engine.directory, detail=f"its format {found.hex()} is not known to this version")
    try:
        index, term, done = keys.APPLIED_VALUE.unpack(engine.get(META, keys.APPLIED) or bytes(20))
        lease = engine.get(META, keys.LEASE)
        membership = engine.get(META, keys.MEMBERSHIP)
        databases = [Database.FromString(value) for _, value in engine.scan(SCHEMA, b"", after(b""))]
        return StoreState(
            applied=(index, term),
            commands_done=done,
            log_time_ms=int.from_bytes(engine.get(META, keys.CLOCK) or b"", "big"),
            lease=RotationLease.FromString(lease) if lease else None,
            membership=Membership.FromString(membership) if membership else None,
            databases=MappingProxyType({database.name: DatabaseSchema(database) for database in databases}),
            next_database=int.from_bytes(engine.get(META, keys.NEXT_DATABASE) or b"\x01", "big"),
        )
    except ValueError as error:
        raise DamagedStore(path=engine.directory, detail=str(error)) from error


def encoded_database(message: Database) -> bytes:
    """Return a database's value in the schema column family: the same bytes on every replica."""
    return message.SerializeToString(deterministic=True)
