"""Scans: from one pinned view into messages of bounded size, in a thread, no faster than the caller reads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

from nodes.service.calls import Context
from nodes.service.validation import check_database, check_place
from nodes.store import StoreView
from nodes.store.packing import Packed
from quiesce.errors import InvalidRequest, ScanStalled
from quiesce.v1 import database_pb2, record_pb2

MESSAGE_RECORDS = 2_000
MESSAGE_BYTES = 512 << 10
Message = TypeVar("Message")


def check_scan(request: record_pb2.ScanRequest) -> None:
    """Check what a scan asks for.

    Raises:
        InvalidRequest: no database, no target, or a place out of range.
    """
    check_database(request.database)
    target = request.WhichOneof("target")
    if target is None or (target == "whole_database" and not request.whole_database):
        raise InvalidRequest(detail="it names no cluster and no class, and does not ask for the whole database")
    check_place("target", request.cluster, 0)
    check_place("after", request.after.cluster, request.after.position)


def target_clusters(view: StoreView, request: record_pb2.ScanRequest, database: database_pb2.Database) -> list[int]:
    """Return the ids of the clusters to scan, in order; those of a class with its sub-classes.

    Raises:
        UnknownClass: there is no such class.
    """
    match request.WhichOneof("target"):
        case "cluster":
            return [request.cluster]
        case "class_name":
            return sorted(view.class_clusters(request.database, request.class_name))
        case _:
            return sorted(cluster.id for cluster in database.clusters)


def scan_messages(view: StoreView, request: record_pb2.ScanRequest, database: database_pb2.Database) -> Iterator[bytes]:
    """Yield the answers to a scan, each a ScanResponse on the wire; the first one comes even without records."""
    head = record_pb2.ScanResponse(index=view.index).SerializeToString()
    parts = [record_pb2.ScanResponse(index=view.index, database=database).SerializeToString()]
    first, count, size = True, 0, 0
    for records, wire in _packed(view, request, database):
        parts.append(wire)
        count, size = count + records, size + len(wire)
        if count >= MESSAGE_RECORDS or size >= MESSAGE_BYTES:
            yield b"".join(parts)
            parts, first, count, size = [head], False, 0, 0
    if count or first:
        yield b"".join(parts)


def _packed(view: StoreView, request: record_pb2.ScanRequest, database: database_pb2.Database) -> Iterator[Packed]:
    after = request.after if request.HasField("after") else None
    left = request.limit or None
    for cluster in target_clusters(view, request, database):
        if after is not None and cluster < after.cluster:
            continue
        position = after.position if after is not None and cluster == after.cluster else None
        for packed in view.scan_packed(request.database, cluster, position, left):
            yield packed
            if left is not None:
                left -= packed.records
        if left == 0:
            return


def index_messages(view: StoreView, request: record_pb2.ScanIndexRequest) -> Iterator[record_pb2.ScanIndexResponse]:
    """Yield the answers to a scan of an index; at least one."""
    index = view.index
    message = record_pb2.ScanIndexResponse(index=index)
    size = 0
    for entry in _flat(view.scan_index(request.database, request.index_name)):
        message.entries.append(entry)
        size += len(entry.key) + 16
        if size >= MESSAGE_BYTES:
            yield message
            message, size = record_pb2.ScanIndexResponse(index=index), 0
    yield message


def _flat(batches: Iterable[list[record_pb2.IndexEntry]]) -> Iterator[record_pb2.IndexEntry]:
    for batch in batches:
        yield from batch


async def stream(
    context: Context, view: StoreView, messages: Iterator[Message], threads: Executor, stall_s: float
) -> None:
    """Send the messages, each made in a thread while the one before it is on its way; close the view at the end.

    Whatever ends it, the view is closed only once no thread is in it any more.

    Raises:
        ScanStalled: the caller took none for `stall_s` seconds.
    """
    pending: Future[Message | None] | None = None
    try:
        pending = threads.submit(next, messages, None)
        while (message := await asyncio.wrap_future(pending)) is not None:
            pending = threads.submit(next, messages, None)
            try:
                async with asyncio.timeout(stall_s):
                    await context.write(message)
            except TimeoutError:
                raise ScanStalled(seconds=f"{stall_s:g}") from None
    finally:
        if pending is None:
            view.close()
        else:
            pending.add_done_callback(lambda _: view.close())
