"""The coordinator's service: files in OrientDB's export format, into the cluster and out of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import grpc
import grpc.aio

from quiesce.client.coordinator import CoordinatorClient
from quiesce.errors import DeadlineExceeded, FileUnusable, QuiesceError
from quiesce.rpc.limits import WINDOW_BYTES
from quiesce.rpc.status import error_of
from quiesce.v1 import transfer_pb2_grpc
from quiesce.v1.transfer_pb2 import (
    ExportRequest,
    ExportResponse,
    ImportHeader,
    ImportRequest,
    ImportResponse,
    ImportSettings,
)

if TYPE_CHECKING:
    from quiesce.v1.transfer_pb2_grpc import TransferAsyncStub

    _Client = CoordinatorClient[TransferAsyncStub]
else:
    _Client = CoordinatorClient

CHUNK_BYTES = 1 << 20


Answer = TypeVar("Answer", ImportResponse, ExportResponse)


class Call(Protocol):
    """A call whose answers are a stream."""

    def read(self) -> Awaitable[object]: ...  # noqa: D102
    def cancel(self) -> bool: ...  # noqa: D102
    async def code(self) -> grpc.StatusCode: ...  # noqa: D102
    async def details(self) -> str: ...  # noqa: D102


class _Window:
    """How far the bytes of a file may go: no message is under way when the coordinator refuses (grpc/grpc#36066)."""

    def __init__(self) -> None:
        self._end = 0
        self._opened = asyncio.Event()

    def received(self, size: int) -> None:
        self._end = size + WINDOW_BYTES
        self._opened.set()

    async def opened_to(self, end: int) -> None:
        while end > self._end:
            self._opened.clear()
            await self._opened.wait()


class Transfers(_Client):
    """A client of a coordinator for imports and exports by way of it."""

    def __init__(self, addresses: str, *, timeout_s: float = 10.0, idle_s: float = 700.0) -> None:
        """Make a client of the coordinators at `host:port,…`; it connects when it is first used.

        Args:
            addresses: the coordinator's `host:port`; of several with commas between them the first one is asked.
            timeout_s: seconds for a call.
            idle_s: the most seconds from one answer to the next.
        """
        super().__init__(addresses, timeout_s, transfer_pb2_grpc.TransferStub)
        self._idle_s = idle_s

    async def import_file(
        self, path: Path, database: str, settings: ImportSettings | None = None
    ) -> AsyncGenerator[ImportResponse, None]:
        """Send a file and yield how its import goes on; the last answer holds the report.

        Leaving the stream ends the import, and what it had begun is taken back.

        Raises:
            FileUnusable: it cannot be read.
            TransferRefused: the coordinator has too many, or the file is too large for it.
            QuiesceError: as `quiesce.orientdb.import_export`.
        """
        try:
            file = path.open("rb")
        except OSError as error:
            raise FileUnusable(file=path, detail=error.strerror or error) from error
        with file:
            header = ImportHeader(database=database, file_name=str(path), settings=settings)
            window = _Window()

            async def requests() -> AsyncIterator[ImportRequest]:
                yield ImportRequest(header=header)
                sent = 0
                while data := await asyncio.to_thread(file.read, CHUNK_BYTES):
                    sent += len(data)
                    await window.opened_to(sent)
                    yield ImportRequest(data=data)

            answers = self._answers(self._stub().Import(requests()), ImportResponse, "the import")
            try:
                async for answer in answers:
                    if answer.WhichOneof("event") == "received":
                        window.received(answer.received)
                    yield answer
            finally:
                await answers.aclose()

    async def export(self, database: str, *, plain: bool = False) -> AsyncGenerator[ExportResponse, None]:
        """Yield how an export goes on, then the file's bytes, then the report.

        Raises:
            QuiesceError: as `quiesce.orientdb.export_database`, and TransferRefused.
        """
        request = ExportRequest(database=database, plain=plain)
        answers = self._answers(self._stub().Export(request), ExportResponse, "the export")
        try:
            async for answer in answers:
                yield answer
        finally:
            await answers.aclose()

    async def _answers(self, call: Call, kind: type[Answer], operation: str) -> AsyncGenerator[Answer, None]:
        """Yield the answers of a call, which ends with the stream."""
        try:
            while True:
                try:
                    async with asyncio.timeout(self._idle_s):
                        answer = await call.read()
                except TimeoutError:
                    raise DeadlineExceeded(operation=operation, seconds=f"{self._idle_s:g}") from None
                except grpc.aio.AioRpcError as failed:
                    raise error_of(failed, addresses=self._address, seconds=self._idle_s, operation=operation) from None
                if answer is grpc.aio.EOF:
                    # How the call ended shows only now.
                    if await call.code() is not grpc.StatusCode.OK:
                        raise QuiesceError(detail=f"{operation} ended early: {await call.details()}")
                    return
                assert isinstance(answer, kind)  # noqa: S101 - its service has no other
                yield answer
        finally:
            call.cancel()
