"""Commands on databases and their schema."""

from __future__ import annotations

import re

from nodes.statemachine.working import Working
from nodes.store import index_fill, keys
from nodes.store.engine import INDEXES, META, PAGES, RECORDS
from nodes.store.schema import DatabaseSchema
from nodes.store.schema_changes import SchemaResult, change_schema, new_database
from quiesce.errors import DatabaseExists, DatabaseNotImporting, DefinitionTooLarge, InvalidDatabaseName
from quiesce.rpc.limits import DATABASES, DEFINITION_BYTES, DEFINITIONS_BYTES
from quiesce.v1.database_pb2 import (
    AlterSchemaRequest,
    CreateDatabaseRequest,
    Database,
    DatabaseState,
    DropDatabaseRequest,
    PublishDatabaseRequest,
)

_NAME = re.compile(r"[A-Za-z0-9$_-]{1,128}")


def create(working: Working, request: CreateDatabaseRequest, index: int) -> Database:
    """Create a database.

    Raises:
        DatabaseExists, InvalidDatabaseName: it cannot have that name.
        DefinitionTooLarge: there are too many.
    """
    name = request.name
    if _NAME.fullmatch(name) is None:
        raise InvalidDatabaseName(database=name)
    if name in working.state.databases:
        raise DatabaseExists(database=name)
    if len(working.state.databases) >= DATABASES:
        raise DefinitionTooLarge(
            database=name, size=len(working.state.databases) + 1, unit="databases", limit=DATABASES
        )
    result = new_database(name, working.new_database_id(), importing=request.importing)
    _check_size(working, result)
    return working.counted(_store(working, result, index))


def publish(working: Working, request: PublishDatabaseRequest, index: int) -> Database:
    """Bring an imported database into service.

    Raises:
        UnknownDatabase: there is none of that name.
        DatabaseNotImporting: it is in service already.
    """
    schema = working.database(request.name)
    if not schema.importing:
        raise DatabaseNotImporting(database=request.name)
    message = Database()
    message.CopyFrom(schema.message)
    message.state = DatabaseState.DATABASE_STATE_ONLINE
    message.changed_at = index
    return working.counted(working.set_database(message))


def drop(working: Working, request: DropDatabaseRequest, commands_done: int) -> None:
    """Remove a database with everything in it.

    Raises:
        UnknownDatabase: there is none of that name.
    """
    schema = working.database(request.name)
    # A range is removed before anything that its batch puts, so what is pending has to be in the store already.
    working.flush(commands_done=commands_done)
    working.remove_database(request.name)
    begin, end = keys.database_range(schema.id)
    pending = working.pending
    pending.dropped.extend((family, begin, end) for family in (RECORDS, INDEXES, PAGES))
    pending.dropped.append((META, *keys.counters_range(schema.id)))
    pending.put(META, keys.allocation_key(schema.id), None)
    for key in [key for key in pending.counters if key[0] == schema.id]:
        del pending.counters[key]
    working.flush(commands_done=commands_done + 1)


def alter(working: Working, request: AlterSchemaRequest, index: int, commands_done: int) -> Database:
    """Apply changes of a schema, all or none.

    Raises:
        UnknownDatabase, InvalidSchemaChange, UnknownClass: they are not possible.
        DefinitionTooLarge: the definition would have no place in a message.
        DuplicateKey, InvalidDocument: a new index cannot hold the records that are there.
    """
    before = working.database(request.database)
    next_cluster, next_index = working.allocation(before.id)
    result = change_schema(before, request.changes, next_cluster=next_cluster, next_index=next_index)
    _check_size(working, result)
    if not _needs_data(working, before, result):
        _reserve(working, result)
        return working.counted(_store(working, result, index))
    working.flush(commands_done=commands_done)
    _bring_data_along(working, before, result)
    _reserve(working, result)
    answer = working.counted(_store(working, result, index))
    # The last thing: what is written cannot be taken back.
    working.flush(commands_done=commands_done + 1)
    return answer


def _reserve(working: Working, result: SchemaResult) -> None:
    for cluster, position in sorted(result.reserved.items()):
        following, count = working.pending.counter(result.message.id, cluster)
        working.pending.set_counter(result.message.id, cluster, (max(following, position), count))


def _check_size(working: Working, result: SchemaResult) -> None:
    """Check that the definition fits a message, and those of all databases together another."""
    message = result.message
    size = message.ByteSize()
    before = working.state.databases.get(message.name)
    if before is not None and size <= before.size:
        # What is too large may always become less.
        return
    everything = size + sum(schema.size for name, schema in working.state.databases.items() if name != message.name)
    for found, unit, limit in (
        (size, "bytes", DEFINITION_BYTES),
        (everything, "bytes with those of the other databases", DEFINITIONS_BYTES),
    ):
        if found > limit:
            raise DefinitionTooLarge(database=message.name, size=found, unit=unit, limit=limit)


def _store(working: Working, result: SchemaResult, index: int) -> DatabaseSchema:
    result.message.changed_at = index
    working.set_allocation(result.message.id, result.next_cluster, result.next_index)
    return working.set_database(result.message)


def _needs_data(working: Working, before: DatabaseSchema, result: SchemaResult) -> bool:
    """Return whether records or entries are there that the change concerns."""
    if result.dropped_clusters or result.dropped_indexes:
        return True
    fills, removals = index_fill.index_work(before, DatabaseSchema(result.message), before.clusters)
    return any(
        working.pending.counter(before.id, cluster)[1] for _, clusters in (*fills, *removals) for cluster in clusters
    )


def _bring_data_along(working: Working, before: DatabaseSchema, result: SchemaResult) -> None:
    engine, database = working.store.engine, before.id
    after = DatabaseSchema(result.message)
    recreated = set(result.created_clusters)
    fills, removals = index_fill.index_work(before, after, before.clusters.keys() & after.clusters.keys() - recreated)
    created = set(result.created_indexes)
    for number in created:
        # What an attempt left that a crash cut short.
        index_fill.clear(engine, database, number)
    begun = engine.new_batch()
    try:
        # What leaves an index first: a key that is put in stays.
        for index, clusters in removals:
            index_fill.removal(engine, begun, database, index, clusters)
        for index, clusters in fills:
            if index.id in created:
                index_fill.fill(engine, database, index, clusters)
            else:
                index_fill.addition(engine, begun, database, index, clusters)
    except Exception:
        for number in created:
            index_fill.clear(engine, database, number)
        raise
    pending = working.pending
    pending.begun = begun
    for cluster in result.dropped_clusters:
        begin, end = keys.cluster_range(database, cluster)
        pending.dropped.extend(((RECORDS, begin, end), (PAGES, begin, end)))
        # The next position stays: an id that is given again goes on where it was.
        pending.set_counter(database, cluster, (pending.counter(database, cluster)[0], 0))
    for number in result.dropped_indexes:
        pending.dropped.append((INDEXES, *keys.index_range(database, number)))
