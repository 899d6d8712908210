"""The Databases service."""
# ruff: noqa: N802

from __future__ import annotations

from nodes.proposals import Proposals
from nodes.service.calls import Calls, Context
from nodes.service.reads import Reads
from nodes.service.validation import check_database
from quiesce.rpc import typed_errors
from quiesce.v1 import database_pb2, database_pb2_grpc, record_pb2

SYSTEM = "system"


class DatabasesService(database_pb2_grpc.DatabasesServicer):
    """Databases and their schema; changes on the leader."""

    def __init__(self, calls: Calls, reads: Reads, proposals: Proposals) -> None:
        self._calls = calls
        self._reads = reads
        self._proposals = proposals

    @typed_errors
    async def CreateDatabase(
        self, request: database_pb2.CreateDatabaseRequest, context: Context
    ) -> database_pb2.Database:
        """Propose a new database."""
        check_database(request.name)
        with self._calls.change(context) as timeout_s:
            return (await self._proposals.propose(timeout_s=timeout_s, create_database=request)).database

    @typed_errors
    async def DropDatabase(
        self, request: database_pb2.DropDatabaseRequest, context: Context
    ) -> database_pb2.DropDatabaseResponse:
        """Propose its end."""
        check_database(request.name)
        with self._calls.change(context) as timeout_s:
            await self._proposals.propose(timeout_s=timeout_s, drop_database=request)
            return database_pb2.DropDatabaseResponse()

    @typed_errors
    async def AlterSchema(self, request: database_pb2.AlterSchemaRequest, context: Context) -> database_pb2.Database:
        """Propose changes, all or none."""
        check_database(request.database)
        with self._calls.change(context) as timeout_s:
            return (await self._proposals.propose(timeout_s=timeout_s, alter_schema=request)).database

    @typed_errors
    async def PublishDatabase(
        self, request: database_pb2.PublishDatabaseRequest, context: Context
    ) -> database_pb2.Database:
        """Propose that an imported database is finished."""
        check_database(request.name)
        with self._calls.change(context) as timeout_s:
            return (await self._proposals.propose(timeout_s=timeout_s, publish_database=request)).database

    @typed_errors
    async def ListDatabases(
        self, request: database_pb2.ListDatabasesRequest, context: Context
    ) -> database_pb2.ListDatabasesResponse:
        """Read the databases that exist."""
        async with self._calls.read(context) as timeout_s:
            with await self._reads.view(record_pb2.READ_CONSISTENCY_LINEARIZABLE, timeout_s) as view:
                found = [database for database in view.databases() if request.all or _listed(database)]
                return database_pb2.ListDatabasesResponse(databases=found)

    @typed_errors
    async def GetDatabase(self, request: database_pb2.GetDatabaseRequest, context: Context) -> database_pb2.Database:
        """Read one database, also one that is being imported."""
        check_database(request.name)
        async with self._calls.read(context) as timeout_s:
            with await self._reads.view(record_pb2.READ_CONSISTENCY_LINEARIZABLE, timeout_s) as view:
                return view.database(request.name)


def _listed(database: database_pb2.Database) -> bool:
    return database.name != SYSTEM and database.state != database_pb2.DATABASE_STATE_IMPORTING
