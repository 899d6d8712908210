"""Typed errors on the wire: google.rpc.Status with ErrorInfo, and RetryInfo where a retry makes sense."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, NoReturn, TypeVar, cast

import grpc
import grpc.aio
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from quiesce import errors
from quiesce.errors import QuiesceError

DOMAIN = "quiesce"
_STATUS_KEY = "grpc-status-details-bin"
Handler = TypeVar("Handler", bound=Callable[..., Any])


# All of an error's fields together, in bytes. It travels as metadata, of which a receiver takes 8 KiB, and twice: as
# text, where a byte may take three, and as details, in base 64.
_MOST_FIELD_BYTES = 1_000


def _to_status(error: QuiesceError) -> status_pb2.Status:
    error = type(error)(**_shortened(error.fields))
    details = [_packed(error_details_pb2.ErrorInfo(reason=error.reason(), domain=DOMAIN, metadata=error.fields))]
    if error.retryable:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(error.fields.get("retry_ms", "50")))
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status_pb2.Status(code=error.status.value[0], message=error.message(), details=details)


def _shortened(fields: Mapping[str, str]) -> dict[str, str]:
    """Return fields that fit the metadata of an answer: the long ones are cut, and end in `…`."""
    encoded = {name: text.encode(errors="replace") for name, text in fields.items()}
    left, cut = _MOST_FIELD_BYTES, {}
    for number, name in enumerate(sorted(encoded, key=lambda name: len(encoded[name]))):
        raw, share = encoded[name], left // (len(encoded) - number)
        cut[name] = fields[name] if len(raw) <= share else raw[: share - 3].decode(errors="ignore") + "…"
        left -= min(len(raw), share)
    return {name: cut[name] for name in fields}


def _packed(message: Any) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def as_status(error: QuiesceError) -> grpc.Status:
    """Return an error as a call ends with it, in full.

    Whoever ends a call keeps this and not the error: the caller may be slow to take it, and the error's traceback holds
    the request and the answer all the while.
    """
    return cast("grpc.Status", rpc_status.to_status(_to_status(error)))


async def end_with(context: grpc.aio.ServicerContext[Any, Any], status: grpc.Status) -> NoReturn:
    """End the call of `context`."""
    await context.abort(status.code, status.details, status.trailing_metadata)
    raise AssertionError  # abort never returns


async def raise_for(context: grpc.aio.ServicerContext[Any, Any], error: QuiesceError) -> NoReturn:
    """End the call of `context` with `error`, in full."""
    await end_with(context, as_status(error))


def error_of(
    error: grpc.RpcError, *, addresses: str, seconds: float = 0.0, operation: str = "the call"
) -> QuiesceError:
    """Return the typed error that a failed call carried, or the one that fits its status."""
    failed = cast("grpc.aio.AioRpcError", error)
    for key, value in failed.trailing_metadata() or ():
        if key == _STATUS_KEY:
            for detail in status_pb2.Status.FromString(cast("bytes", value)).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info) and info.domain == DOMAIN:
                    return errors.from_reason(info.reason, dict(info.metadata))
    text = failed.details() or failed.code().name
    match failed.code():
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.CANCELLED:
            return errors.Unavailable(addresses=addresses, seconds=f"{seconds:g}", detail=text)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return errors.DeadlineExceeded(operation=operation, seconds=f"{seconds:g}")
        case grpc.StatusCode.RESOURCE_EXHAUSTED | grpc.StatusCode.INVALID_ARGUMENT:
            return errors.InvalidRequest(detail=text)
        case grpc.StatusCode.UNIMPLEMENTED:
            detail = f"{addresses} does not know it (a coordinator where a node was meant, or the other way round)"
            return errors.InvalidRequest(detail=detail)
        case _:
            return QuiesceError(detail=f"{failed.code().name}: {text}")


def typed_errors(handler: Handler) -> Handler:
    """Let an asynchronous handler raise QuiesceError and have it arrive as such; unary and server-streaming."""
    if hasattr(handler, "__wrapped__"):
        return handler
    import inspect

    if inspect.isasyncgenfunction(handler):

        @functools.wraps(handler)
        async def stream(self: Any, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            try:
                async for answer in handler(self, request, context):
                    yield answer
                return
            except QuiesceError as error:
                status = as_status(error)
            del request
            await end_with(context, status)

        return cast("Handler", stream)

    @functools.wraps(handler)
    async def unary(self: Any, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await cast("Awaitable[Any]", handler(self, request, context))
        except QuiesceError as error:
            status = as_status(error)
        del request
        return await end_with(context, status)

    return cast("Handler", unary)
