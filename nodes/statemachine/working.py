"""The state that commands change: pending changes of the store, and what is kept decoded in memory beside it."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from nodes.statemachine.pending import Pending
from nodes.statemachine.sessions import Sessions
from nodes.store import keys
from nodes.store.engine import META, SCHEMA
from nodes.store.schema import DatabaseSchema
from nodes.store.state import STORE_FORMAT, StoreState, encoded_database
from nodes.store.store import Store
from quiesce.errors import UnknownDatabase
from quiesce.v1.database_pb2 import Database
from quiesce.v1.node_pb2 import RotationLease
from quiesce.v1.peer_pb2 import Membership


class Working:
    """One state in the making: `flush` writes it to the store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.state: StoreState = store.state
        self.pending = Pending(store.engine)
        self.sessions = Sessions(self.pending)
        # False while a write to the store is under way: what it then ends with cannot be taken back.
        self.sound = True
        self._before = self.state

    # --- one command

    def begin(self) -> None:
        """Note from here on what `roll_back` needs; sessions are not part of it."""
        self._before = self.state
        self.pending.begin()

    def end(self) -> None:
        """Let what was changed since `begin` stand."""
        self.pending.end()

    def roll_back(self) -> None:
        """Take back all since `begin`, or since the last flush if that came later."""
        self.state = self._before
        self.pending.roll_back()

    # --- progress

    def advance(self, index: int, term: int) -> None:
        """Note that all of an entry is applied."""
        self.state = replace(self.state, applied=(index, term), commands_done=0)

    def flush(self, *, commands_done: int = 0) -> None:
        """Write everything pending in one batch, within an entry with how many of its commands that are."""
        self.sound = False
        state = self.state = replace(self.state, commands_done=commands_done)
        put = self.pending.put
        put(META, keys.APPLIED, keys.APPLIED_VALUE.pack(*state.applied, commands_done))
        put(META, keys.CLOCK, state.log_time_ms.to_bytes(8, "big"))
        put(META, keys.FORMAT, STORE_FORMAT)
        put(META, keys.NEXT_DATABASE, state.next_database.to_bytes(4, "big"))
        self.store.commit(self.pending.batch(), state)
        self._before = state
        self.sound = True

    # --- clock, lease, members

    def set_clock(self, log_time_ms: int) -> None:
        """Set the log's time."""
        self.state = replace(self.state, log_time_ms=log_time_ms)

    def set_lease(self, lease: RotationLease | None) -> None:
        """Set or end the rotation lease."""
        self.pending.put(META, keys.LEASE, None if lease is None else lease.SerializeToString(deterministic=True))
        self.state = replace(self.state, lease=lease)

    def set_membership(self, membership: Membership) -> None:
        """Set who belongs to the cluster."""
        self.pending.put(META, keys.MEMBERSHIP, membership.SerializeToString(deterministic=True))
        self.state = replace(self.state, membership=membership)

    # --- databases

    def database(self, name: str) -> DatabaseSchema:
        """Return a database's schema.

        Raises:
            UnknownDatabase: there is none of that name.
        """
        found = self.state.databases.get(name)
        if found is None:
            raise UnknownDatabase(database=name)
        return found

    def set_database(self, message: Database) -> DatabaseSchema:
        """Put a database's definition in place of the one of that name, if there is one."""
        schema = DatabaseSchema(message)
        self.pending.put(SCHEMA, keys.DATABASE.pack(message.id), encoded_database(message))
        self.state = replace(self.state, databases=MappingProxyType({**self.state.databases, message.name: schema}))
        return schema

    def remove_database(self, name: str) -> None:
        """Take a database's definition out."""
        schema = self.database(name)
        self.pending.put(SCHEMA, keys.DATABASE.pack(schema.id), None)
        databases = {other: kept for other, kept in self.state.databases.items() if other != name}
        self.state = replace(self.state, databases=MappingProxyType(databases))

    def new_database_id(self) -> int:
        """Return an id that no database ever had."""
        number = self.state.next_database
        self.state = replace(self.state, next_database=number + 1)
        return number

    def allocation(self, database: int) -> tuple[int, int]:
        """Return the lowest cluster and index ids that were never given in a database."""
        found = self.pending.get(META, keys.allocation_key(database))
        if found is None:
            return 0, 1
        cluster, index = keys.unpacked(keys.ALLOCATION_VALUE, found)
        return cluster, index

    def set_allocation(self, database: int, cluster: int, index: int) -> None:
        """Set the lowest cluster and index ids that were never given in a database."""
        self.pending.put(META, keys.allocation_key(database), keys.ALLOCATION_VALUE.pack(cluster, index))

    def counted(self, schema: DatabaseSchema) -> Database:
        """Return a database with the counts of its clusters."""
        message = Database()
        message.CopyFrom(schema.message)
        for cluster in message.clusters:
            cluster.next_position, cluster.records = self.pending.counter(schema.id, cluster.id)
        return message
