"""One call to one address, its failure as a typed error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, TypeVar, cast

import grpc.aio

from quiesce.errors import DeadlineExceeded, QuiesceError
from quiesce.rpc import error_of

if TYPE_CHECKING:
    from grpc.aio import UnaryStreamMultiCallable, UnaryUnaryMultiCallable

Request = TypeVar("Request")
Answer = TypeVar("Answer")
_NOT_CONNECTED = "failed to connect to all addresses"
Metadata = tuple[tuple[str, str], ...]


def never_sent(error: QuiesceError) -> bool:
    """Whether a call certainly did not reach a node: gRPC says so in words only."""
    return error.fields.get("detail", "").startswith(_NOT_CONNECTED)


def _typed(failed: grpc.RpcError, address: str, operation: str, seconds: float) -> QuiesceError:
    error = error_of(failed, addresses=address, seconds=seconds, operation=operation)
    if never_sent(error):
        # Of the many words only the last ones tell something, as in "...: Connection refused".
        error.fields["detail"] = f"{_NOT_CONNECTED}: {error.fields['detail'].rpartition(': ')[2]}"
        return type(error)(**error.fields)
    return error


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
        raise _typed(failed, address, operation, timeout_s) from None


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
            asked = time.monotonic()
            try:
                async with asyncio.timeout(limit_s):
                    answer = await stream.read()
            except TimeoutError:
                raise DeadlineExceeded(operation=operation, seconds=f"{limit_s:g}") from None
            except grpc.aio.AioRpcError as failed:
                # A stream breaks long before its limit; the message tells how long this answer was waited for.
                waited_s = max(round(time.monotonic() - asked, 1), 0.1)
                raise _typed(failed, address, operation, waited_s) from None
            if answer is grpc.aio.EOF:
                return
            yield cast("Answer", answer)
            limit_s = idle_s
    finally:
        stream.cancel()
