"""The asynchronous client."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from quiesce.client.admin import Admin
from quiesce.client.answers import Found, Lookup
from quiesce.client.attempts import Effect
from quiesce.client.calls import ATTEMPT_TIMEOUT_S, Calls
from quiesce.client.connections import Connection
from quiesce.client.limits import check_batch
from quiesce.client.routing import To
from quiesce.client.scans import scan_records
from quiesce.client.writes import Writes
from quiesce.records import RID, Record, encode_key
from quiesce.v1 import database_pb2, record_pb2
from quiesce.v1.database_pb2 import Database, SchemaChange
from quiesce.v1.record_pb2 import Operation, ScanIndexResponse, ScanResponse, WriteResponse

if TYPE_CHECKING:
    from grpc.aio import UnaryUnaryMultiCallable

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class AsyncClient:
    """A client of one cluster: finds its nodes and its leader, moves off nodes that do not serve, retries safely.

    It can be used by many tasks of one event loop at once. Use it as an asynchronous context manager, or call `close`.

    Every call ends within its time: with an answer, or a typed error of `quiesce.errors`. A write is applied exactly
    once however often the client has to send it; where it cannot find out whether it was applied, it raises
    OutcomeUnknown.
    """

    def __init__(
        self,
        addresses: str | Sequence[str],
        *,
        timeout_s: float = 10.0,
        attempt_timeout_s: float = ATTEMPT_TIMEOUT_S,
        name: str = "",
    ) -> None:
        """Make a client; it connects when it is first used.

        Args:
            addresses: `host:port` of one node or more, as list or separated by commas; the others are found by asking.
            timeout_s: seconds for a call with all its attempts.
            attempt_timeout_s: seconds after which an attempt is given up and another node asked, at first; at most a
                third of `timeout_s`, and longer from attempt to attempt.
            name: who this is; shown with the sessions of the cluster.
        """
        self._calls = Calls(addresses, timeout_s=timeout_s, attempt_timeout_s=attempt_timeout_s)
        self._writes = Writes(self._calls, name or f"{socket.gethostname()}:{os.getpid()}")
        self.admin = Admin(self._calls)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Cut what still runs, and the connections."""
        await self._writes.close()
        await self._calls.close()

    @property
    def cluster_id(self) -> str | None:
        """The cluster this client talks to, once it has talked to it; it refuses to go on with another."""
        return self._calls.discovery.cluster_id

    # --- records

    async def get(
        self,
        database: str,
        ids: Iterable[RID],
        *,
        stale: bool = False,
        min_index: int = 0,
        timeout_s: float | None = None,
    ) -> Found:
        """Read records, all at one moment; those that do not exist are not in the answer.

        Args:
            database: its name.
            ids: the records, 10,000 at most.
            stale: take what the asked node has, which may lack the latest writes.
            min_index: but what this log index made, and all before it, at least: that of a write, or of another read.
            timeout_s: seconds, instead of the client's.
        """
        request = record_pb2.GetRequest(
            database=database,
            ids=[RID.message(rid) for rid in ids],
            consistency=_consistency(stale),
            min_index=min_index,
        )
        attempts = self._calls.attempts("the read", Effect.NONE, timeout_s)
        answer = await self._calls.unary(lambda node: node.records.Get, request, attempts)
        return Found(answer.index, map(Record.of, answer.records))

    async def write(
        self, database: str, operations: Sequence[Operation], *, timeout_s: float | None = None
    ) -> WriteResponse:
        """Apply operations (of `quiesce.records`) as one transaction: all of them, or none.

        Many writes may be in flight; more than 1,024 wait for each other. Their order is then the cluster's choice.

        Returns:
            The log index of the write, and for each operation the record's id and version, in order.

        Raises:
            StaleVersion, DuplicateKey, ConstraintViolated, UnknownRecord, ...: nothing was applied.
            OutcomeUnknown: it may or may not have been applied.
        """
        check_batch(operations)
        return await self._writes.write(database, operations, timeout_s)

    def scan(
        self,
        database: str,
        *,
        cluster: int | None = None,
        class_name: str | None = None,
        whole: bool = False,
        stale: bool = False,
        min_index: int = 0,
        after: RID | None = None,
        limit: int = 0,
        resume: bool = False,
        timeout_s: float | None = None,
    ) -> AsyncIterator[ScanResponse]:
        """Stream the records of a cluster, of a class with its sub-classes, or of the whole database.

        The records come in batches, in order of their ids, as they were at one moment; the first batch carries the
        database's definition.

        Args:
            database: its name.
            cluster: one of the three: a cluster's id,
            class_name: a class,
            whole: or everything.
            stale: take what the asked node has, which may lack the latest writes.
            min_index: as in `get`.
            after: go on behind this record.
            limit: the most records; 0 is all.
            resume: when the node fails midway, go on at another one, which shows a later moment. Otherwise a scan that
                breaks after its first batch raises Unavailable.
            timeout_s: seconds to wait for each batch, instead of the client's.
        """
        request = record_pb2.ScanRequest(
            database=database, consistency=_consistency(stale), limit=limit, min_index=min_index
        )
        if cluster is not None:
            request.cluster = cluster
        if class_name is not None:
            request.class_name = class_name
        if whole:
            request.whole_database = True
        if after is not None:
            request.after.CopyFrom(after.message())
        return scan_records(self._calls, request, resume=resume, timeout_s=timeout_s)

    def scan_packed(self, database: str) -> AsyncIterator[bytes]:
        """Stream a whole database as `scan` does, each batch as a ScanResponse on the wire.

        For those who read it without an object for each record, as quiesce.orientdb does.
        """
        request = record_pb2.ScanRequest(database=database, consistency=_consistency(stale=False), whole_database=True)
        return self._calls.stream(lambda node: node.packed_scan, request, self._calls.attempts("the scan", Effect.NONE))

    async def lookup(
        self,
        database: str,
        index_name: str,
        keys: Sequence[Sequence[Any]],
        *,
        limit: int = 0,
        stale: bool = False,
        min_index: int = 0,
        timeout_s: float | None = None,
    ) -> Lookup:
        """Find records by the keys of an index.

        Args:
            database: its name.
            index_name: the index.
            keys: each a sequence with one value a field of the index.
            limit: the most records a key; 0 is the server's limit.
            stale: take what the asked node has, which may lack the latest writes.
            min_index: as in `get`.
            timeout_s: seconds, instead of the client's.

        Returns:
            The records found, for each key, in order.
        """
        request = record_pb2.LookupRequest(
            database=database,
            index_name=index_name,
            keys=[encode_key(key) for key in keys],
            consistency=_consistency(stale),
            limit=limit,
            min_index=min_index,
        )
        attempts = self._calls.attempts("the lookup", Effect.NONE, timeout_s)
        answer = await self._calls.unary(lambda node: node.records.Lookup, request, attempts)
        return Lookup(answer)

    async def scan_index(
        self,
        database: str,
        index_name: str,
        *,
        stale: bool = False,
        min_index: int = 0,
        timeout_s: float | None = None,
    ) -> AsyncIterator[ScanIndexResponse]:
        """Stream the entries of an index in key order, as they were at one moment, in batches."""
        request = record_pb2.ScanIndexRequest(
            database=database, index_name=index_name, consistency=_consistency(stale), min_index=min_index
        )
        attempts = self._calls.attempts("the scan of the index", Effect.NONE, timeout_s)
        batches = self._calls.stream(lambda node: node.records.ScanIndex, request, attempts)
        try:
            async for batch in batches:
                yield batch
        finally:
            await batches.aclose()

    # --- databases

    async def create_database(self, name: str, *, importing: bool = False) -> Database:
        """Create a database; one made for an import is empty and shows when it is published."""
        request = database_pb2.CreateDatabaseRequest(name=name, importing=importing)
        return await self._change(lambda node: node.databases.CreateDatabase, request, "creating the database")

    async def drop_database(self, name: str) -> None:
        """Remove a database with all that is in it."""
        request = database_pb2.DropDatabaseRequest(name=name)
        await self._change(lambda node: node.databases.DropDatabase, request, "dropping the database")

    async def list_databases(self, *, all: bool = False) -> list[Database]:  # noqa: A002  the word of the command line
        """Return the databases; with `all` also those being imported, and `system`."""
        request = database_pb2.ListDatabasesRequest(all=all)
        attempts = self._calls.attempts("listing the databases", Effect.NONE)
        answer = await self._calls.unary(lambda node: node.databases.ListDatabases, request, attempts)
        return list(answer.databases)

    async def database(self, name: str) -> Database:
        """Return a database's clusters, classes and indexes."""
        request = database_pb2.GetDatabaseRequest(name=name)
        attempts = self._calls.attempts("asking for the database", Effect.NONE)
        return await self._calls.unary(lambda node: node.databases.GetDatabase, request, attempts)

    async def alter_schema(
        self, name: str, changes: Sequence[SchemaChange], *, timeout_s: float | None = None
    ) -> Database:
        """Apply all the changes to a database's schema, or none; an index over many records takes its time."""
        request = database_pb2.AlterSchemaRequest(database=name, changes=changes)
        attempts = self._calls.attempts("changing the schema", Effect.TWICE, timeout_s)
        return await self._calls.unary(lambda node: node.databases.AlterSchema, request, attempts, to=To.LEADER)

    async def publish_database(self, name: str) -> Database:
        """Make a database that was imported visible."""
        request = database_pb2.PublishDatabaseRequest(name=name)
        return await self._change(lambda node: node.databases.PublishDatabase, request, "publishing the database")

    async def _change(
        self,
        select: Callable[[Connection], UnaryUnaryMultiCallable[Request, Answer]],
        request: Request,
        operation: str,
    ) -> Answer:
        attempts = self._calls.attempts(operation, Effect.TWICE)
        return await self._calls.unary(select, request, attempts, to=To.LEADER)


def _consistency(stale: bool) -> record_pb2.ReadConsistency.ValueType:
    return record_pb2.READ_CONSISTENCY_STALE if stale else record_pb2.READ_CONSISTENCY_LINEARIZABLE
