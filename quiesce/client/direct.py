"""One call to one address, its failure as a typed error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, TypeVar, cast

import grpc.aio

from quiesce.errors import DeadlineExceeded
from quiesce.rpc import error_of

if TYPE_CHECKING:
    from grpc.aio import UnaryStreamMultiCallable, UnaryUnaryMultiCallable

Request = TypeVar("Request")
Answer = TypeVar("Answer")
Metadata = tuple[tuple[str, str], ...]


async def call(
    method: UnaryUnaryMultiCallable[Request, Answer],
    request: Request,
    *,
    address: str,
    operation: str,
    timeout_s: float,
    metadata: Metadata = (),
) -> Answer:
    """Send a request and return the answer.

    Raises:
        QuiesceError: what the node raised, or Unavailable or DeadlineExceeded.
    """
    try:
        return await method(request, timeout=timeout_s, metadata=metadata)
    except grpc.aio.AioRpcError as failed:
        raise error_of(failed, addresses=address, seconds=timeout_s, operation=operation) from None


async def read(
    method: UnaryStreamMultiCallable[Request, Answer],
    request: Request,
    *,
    address: str,
    operation: str,
    first_s: float,
    idle_s: float,
    metadata: Metadata = (),
) -> AsyncGenerator[Answer, None]:
    """Send a request and yield the answers; the first may take `first_s` seconds, each other one `idle_s`.

    Raises:
        QuiesceError: what the node raised, or Unavailable or DeadlineExceeded.
    """
    # No deadline over the whole: a stream may last as long as it moves, and the caller may take its time.
    stream = method(request, metadata=metadata)
    limit_s = first_s
    try:
        while True:
            try:
                async with asyncio.timeout(limit_s):
                    answer = await stream.read()
            except TimeoutError:
                raise DeadlineExceeded(operation=operation, seconds=f"{limit_s:g}") from None
            except grpc.aio.AioRpcError as failed:
                raise error_of(failed, addresses=address, seconds=limit_s, operation=operation) from None
            if answer is grpc.aio.EOF:
                return
            yield cast("Answer", answer)
            limit_s = idle_s
    finally:
        stream.cancel()
