"""The Transfer service."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc.aio
import msgspec

from coordinator.transfer.arguments import import_arguments
from coordinator.transfer.spool import Place, Spool, append
from coordinator.transfer.work import Line, Work
from quiesce.errors import DeadlineExceeded, InvalidRequest, TransferRefused
from quiesce.rpc import typed_errors
from quiesce.rpc.limits import WINDOW_BYTES
from quiesce.v1 import transfer_pb2
from quiesce.v1.transfer_pb2 import (
    ExportRequest,
    ExportResponse,
    ImportHeader,
    ImportRequest,
    ImportResponse,
    TransferMessage,
    TransferProgress,
)
from quiesce.v1.transfer_pb2_grpc import TransferServicer

SERVICE = transfer_pb2.DESCRIPTOR.services_by_name["Transfer"].full_name
_CHUNK_BYTES = 256 << 10
_WATCH_S = 0.2
Context = grpc.aio.ServicerContext[Any, Any]


class TransferService(TransferServicer):
    """See transfer.proto.

    Args (of the constructor):
        spool: where the files lie meanwhile.
        cluster: addresses of the nodes.
        stall_s: how long a caller may send nothing, or take nothing.
        idle_s: how long the work may say nothing.
    """

    def __init__(self, *, spool: Spool, cluster: Sequence[str], stall_s: float, idle_s: float) -> None:
        self._spool = spool
        self._cluster = ",".join(cluster)
        self._stall_s = stall_s
        self._idle_s = idle_s
        # Processes that are taking back what they have begun.
        self._ending: set[asyncio.Task[None]] = set()

    async def stop(self, limit_s: float) -> None:
        """Wait so many seconds for what is being taken back."""
        if self._ending:
            await asyncio.wait(self._ending, timeout=limit_s)

    @typed_errors
    async def Import(  # type: ignore[override]  # noqa: N802 - it writes to its context, which can be waited for
        self,
        request_iterator: AsyncIterator[ImportRequest],  # noqa: ARG002
        context: Context,
    ) -> None:
        """Take a file in, then import it."""
        header = await self._header(context)
        async with self._working() as (place, work):
            file = place.directory / "file"
            await self._receive(context, place, file)
            arguments = ["import", str(file), f"--database={header.database}", f"--cluster={self._cluster}"]
            arguments += import_arguments(header.settings)
            async for line in work.run(arguments, file_name=header.file_name or "the file"):
                await self._send(context, _import_response(line))

    @typed_errors
    async def Export(self, request: ExportRequest, context: Context) -> None:  # type: ignore[override]  # noqa: N802
        """Write a file here, then send it."""
        async with self._working() as (place, work):
            path = place.directory / ("file.json" if request.plain else "file.json.gz")
            arguments = ["export", f"--cluster={self._cluster}", *(["--plain"] if request.plain else [])]
            arguments += ["--", request.database, str(path)]
            result: Line = {}
            async with _bounded(place):
                async for line in work.run(arguments, file_name=request.database):
                    if line.get("type") == "result":
                        result = line
                    else:
                        await self._send(context, _export_response(line))
            with path.open("rb") as stream:
                while data := await asyncio.to_thread(stream.read, _CHUNK_BYTES):
                    await self._send(context, ExportResponse(data=data))
            await self._send(context, ExportResponse(report=_report(result)))

    @contextlib.asynccontextmanager
    async def _working(self) -> AsyncIterator[tuple[Place, Work]]:
        """Hold a place until the process that works in it has gone; the caller does not wait for that."""
        held = contextlib.ExitStack()
        place = held.enter_context(self._spool.place())
        work = Work(place, idle_s=self._idle_s)
        try:
            yield place, work
        finally:
            task = asyncio.create_task(_finish(work, held))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _header(self, context: Context) -> ImportHeader:
        request = await self._next(context)
        if request is None or request.WhichOneof("part") != "header":
            raise InvalidRequest(detail="a transfer begins with its header")
        return request.header

    async def _receive(self, context: Context, place: Place, path: Path) -> None:
        """Write what comes to a file.

        What has come is counted, and the caller told of it, by the window: one that waits has nothing under way
        when it is refused.
        """
        received = told = 0
        await self._send(context, ImportResponse(received=0))
        with path.open("wb") as file:
            while (request := await self._next(context)) is not None:
                if request.WhichOneof("part") != "data" or len(request.data) > WINDOW_BYTES:
                    raise InvalidRequest(detail=f"after the header come bytes, at most {WINDOW_BYTES} a message")
                await asyncio.to_thread(append, file, request.data)
                received += len(request.data)
                if received - told >= WINDOW_BYTES:
                    place.grow(received - told)
                    told = received
                    await self._send(context, ImportResponse(received=received))
        place.grow(received - told)
        await self._send(context, ImportResponse(received=received))

    async def _next(self, context: Context) -> ImportRequest | None:
        try:
            async with asyncio.timeout(self._stall_s):
                request = await context.read()
        except TimeoutError:
            raise DeadlineExceeded(operation="The next part of the file", seconds=f"{self._stall_s:g}") from None
        return None if request is grpc.aio.EOF else request

    async def _send(self, context: Context, message: ImportResponse | ExportResponse) -> None:
        try:
            async with asyncio.timeout(self._stall_s):
                await context.write(message)
        except TimeoutError:
            raise DeadlineExceeded(operation="Taking the next answer", seconds=f"{self._stall_s:g}") from None


@contextlib.asynccontextmanager
async def _bounded(place: Place) -> AsyncIterator[None]:
    """Count what a process writes while the block runs; where it is too much the block ends. Raises TransferRefused."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a handler runs in one
    refused: list[TransferRefused] = []

    async def watch() -> None:
        while True:
            try:
                place.grown_to(await asyncio.to_thread(_size, place.directory))
            except TransferRefused as error:
                refused.append(error)
                task.cancel()
                return
            await asyncio.sleep(_WATCH_S)

    watching = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if not refused:
            raise
        task.uncancel()
        raise refused[0] from None
    finally:
        watching.cancel()


def _size(directory: Path) -> int:
    size = 0
    for one in directory.iterdir():
        with contextlib.suppress(FileNotFoundError):
            size += one.stat().st_size
    return size


async def _finish(work: Work, held: contextlib.ExitStack) -> None:
    try:
        await work.end()
    finally:
        await asyncio.to_thread(held.close)


def _progress(line: Line) -> TransferProgress:
    return TransferProgress(
        title=str(line.get("title", "")),
        done=int(line.get("done", 0)),
        total=int(line.get("total") or 0),
        unit=str(line.get("unit", "")),
    )


def _message(line: Line) -> TransferMessage:
    facts = {name: value for name, value in line.items() if name not in {"type", "text"}}
    return TransferMessage(text=str(line.get("text", "")), facts=msgspec.json.encode(facts))


def _report(line: Line) -> bytes:
    return msgspec.json.encode({name: value for name, value in line.items() if name != "type"})


def _import_response(line: Line) -> ImportResponse:
    match line.get("type"):
        case "progress":
            return ImportResponse(progress=_progress(line))
        case "result":
            return ImportResponse(report=_report(line))
        case _:
            return ImportResponse(message=_message(line))


def _export_response(line: Line) -> ExportResponse:
    if line.get("type") == "progress":
        return ExportResponse(progress=_progress(line))
    return ExportResponse(message=_message(line))
