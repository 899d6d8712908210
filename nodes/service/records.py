"""The Records service."""
# ruff: noqa: N802

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import TypeVar

from nodes.proposals import Proposals
from nodes.service.calls import Calls, Context
from nodes.service.large_answers import LargeAnswers
from nodes.service.reads import Reads
from nodes.service.scanning import check_scan, index_messages, scan_messages, stream
from nodes.service.validation import check_database, check_get, check_lookup, check_write
from nodes.store import StoreView
from quiesce.errors import AnswerTooLarge, DatabaseImporting, InvalidRequest
from quiesce.rpc import typed_errors
from quiesce.rpc.limits import ANSWER_BYTES
from quiesce.v1 import database_pb2, record_pb2, record_pb2_grpc

# A point read takes about a microsecond, a thread fifty: up to so many are read where the call is, unless they are
# large: nothing else happens meanwhile.
_INLINE_READS = 256
_INLINE_BYTES = 256 << 10

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class RecordsService(record_pb2_grpc.RecordsServicer):
    """Reads from any node in rotation; writes on the leader."""

    def __init__(
        self, calls: Calls, reads: Reads, proposals: Proposals, threads: Executor, *, scan_stall_s: float
    ) -> None:
        self._calls = calls
        self._reads = reads
        self._proposals = proposals
        self._threads = threads
        self._scan_stall_s = scan_stall_s
        self._large = LargeAnswers(calls)

    @typed_errors
    async def Get(self, request: record_pb2.GetRequest, context: Context) -> record_pb2.GetResponse:
        """Read records at one index."""
        check_get(request)
        async with self._calls.read(context) as timeout_s:
            view = await self._reads.view(request.consistency, timeout_s, request.min_index)
            return await self._read(context, view, _get, request, inline=len(request.ids) <= _INLINE_READS)

    @typed_errors
    async def Lookup(self, request: record_pb2.LookupRequest, context: Context) -> record_pb2.LookupResponse:
        """Read records by the keys of an index."""
        check_lookup(request)
        async with self._calls.read(context) as timeout_s:
            view = await self._reads.view(request.consistency, timeout_s, request.min_index)
            inline = len(request.keys) == 1 and 0 < request.limit <= _INLINE_READS
            return await self._read(context, view, _lookup, request, inline=inline)

    @typed_errors
    async def Scan(self, request: record_pb2.ScanRequest, context: Context) -> None:  # type: ignore[override]
        """Stream records from one view."""
        # Written with context.write: a generator that waits in `yield` for a slow caller could not be cut.
        check_scan(request)
        async with self._calls.scan(context) as timeout_s:
            view = await self._reads.view(request.consistency, timeout_s, request.min_index)
            try:
                database = online(view, request.database)
            except BaseException:
                view.close()
                raise
            await stream(context, view, scan_messages(view, request, database), self._threads, self._scan_stall_s)

    @typed_errors
    async def ScanIndex(self, request: record_pb2.ScanIndexRequest, context: Context) -> None:  # type: ignore[override]
        """Stream the entries of an index from one view."""
        check_database(request.database)
        if not request.index_name:
            raise InvalidRequest(detail="it names no index")
        async with self._calls.scan(context) as timeout_s:
            view = await self._reads.view(request.consistency, timeout_s, request.min_index)
            try:
                online(view, request.database)
            except BaseException:
                view.close()
                raise
            await stream(context, view, index_messages(view, request), self._threads, self._scan_stall_s)

    @typed_errors
    async def Write(self, request: record_pb2.WriteRequest, context: Context) -> record_pb2.WriteResponse:
        """Propose a batch."""
        check_write(request)
        with self._calls.change(context) as timeout_s:
            return (await self._proposals.propose(timeout_s=timeout_s, write=request)).write

    @typed_errors
    async def OpenSession(
        self, request: record_pb2.OpenSessionRequest, context: Context
    ) -> record_pb2.OpenSessionResponse:
        """Propose a session."""
        with self._calls.change(context) as timeout_s:
            return (await self._proposals.propose(timeout_s=timeout_s, open_session=request)).open_session

    async def _read(
        self,
        context: Context,
        view: StoreView,
        read: Callable[[StoreView, Request, int], Answer],
        request: Request,
        *,
        inline: bool,
    ) -> Answer:
        """Read here where it takes no time, else in a thread; close the view when no thread is in it any more."""
        future: Future[Answer] | None = None
        try:
            if inline:
                with contextlib.suppress(AnswerTooLarge):
                    return read(view, request, _INLINE_BYTES)
            await self._large.enter(context)
            future = self._threads.submit(read, view, request, ANSWER_BYTES)
            return await asyncio.wrap_future(future)
        finally:
            if future is None:
                view.close()
            else:
                # One that was cancelled before it began is done as well.
                future.add_done_callback(lambda _: view.close())


def online(view: StoreView, name: str) -> database_pb2.Database:
    """Return a database that may be read, without the clusters that a merge is filling.

    Raises:
        UnknownDatabase: there is none of that name.
        DatabaseImporting: it is not finished.
    """
    database = view.database(name)
    if database.state == database_pb2.DATABASE_STATE_IMPORTING:
        raise DatabaseImporting(database=name)
    seen = [cluster for cluster in database.clusters if not cluster.importing]
    if len(seen) < len(database.clusters):
        del database.clusters[:]
        database.clusters.extend(seen)
    return database


def _get(view: StoreView, request: record_pb2.GetRequest, most_bytes: int) -> record_pb2.GetResponse:
    records, missing = view.get(request.database, request.ids, most_bytes)
    return record_pb2.GetResponse(index=view.index, records=records, missing=missing)


def _lookup(view: StoreView, request: record_pb2.LookupRequest, most_bytes: int) -> record_pb2.LookupResponse:
    matches = view.lookup(request.database, request.index_name, request.keys, request.limit, most_bytes)
    if most_bytes < ANSWER_BYTES and any(len(match.records) < request.limit for match in matches if match.truncated):
        # Cut off at the bytes, not at the records asked for.
        raise AnswerTooLarge(records=len(matches), limit=most_bytes)
    return record_pb2.LookupResponse(index=view.index, matches=matches)
