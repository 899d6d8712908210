"""What a server takes in, and what it has ready to go out: both are bounded before anything is read.

gRPC reads a request whole before its handler is called, so a bound in the handler comes too late: a thousand callers
with a large batch each are then in memory already. Behind an intake every handler is one of streams as far as gRPC
can see (on the wire there is no difference), and nothing of a request is read until the intake says so.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable, Container, Iterable, Mapping
from typing import Any, cast

import grpc
import grpc.aio

from quiesce.errors import InvalidRequest, QuiesceError
from quiesce.rpc.limits import ANSWERS_BYTES
from quiesce.rpc.reading import Reading
from quiesce.rpc.status import as_status, end_with

Context = grpc.aio.ServicerContext[Any, Any]
Admit = Callable[[Context], None] | None
_clock = time.monotonic
# Smaller answers are not counted: those of all open calls together are no more than a few large ones.
SMALL_ANSWER_BYTES = 32 << 10


class Intake:
    """Add servicers to it in place of the server.

    Args:
        server: where they go.
        most_calls: open at once; those whose answer nobody takes are open.
        refusal: makes the error for one too many, from how many there are.
        admit: by full name of a method, `/package.Service/Method`: called before its request is read, and raises where
            that would be for nothing.
        packed: full names of methods whose handlers write their answers as bytes, as they go on the wire.
        waited: by full name of a unary method: told how many seconds its callers waited, and what `time.monotonic`
            said then; from the arrival of the call to its answer, or until they gave up or its deadline ended it. Of a
            call that is refused or fails nothing is told: many that are refused must not make the others look quick.
    """

    def __init__(
        self,
        server: grpc.aio.Server,
        *,
        most_calls: int,
        refusal: Callable[[int], QuiesceError],
        admit: Mapping[str, Callable[[Context], None]] | None = None,
        packed: Container[str] = (),
        waited: Mapping[str, Callable[[float, float], None]] | None = None,
    ) -> None:
        self._server = server
        self.admit = dict(admit or {})
        self.packed = packed
        self.waited = dict(waited or {})
        self._most_calls = most_calls
        self._refusal = refusal
        self.open = 0
        self.reading = Reading()
        self.answer_bytes = 0

    @property
    def as_server(self) -> grpc.aio.Server:
        """What generated code takes for a server."""
        return cast("grpc.aio.Server", self)

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Add handlers; called by generated code."""
        self._server.add_generic_rpc_handlers(tuple(_Admitted(self, handler) for handler in handlers))

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """Do nothing, as an asynchronous server does; called by generated code."""

    async def read(self, context: Context, admit: Admit = None) -> Any:
        """Return the request of a call, once there is room for it.

        Raises:
            QuiesceError: there is no room, or the call is not admitted; nothing was read.
            InvalidRequest: there is no request.
        """
        if self.open >= self._most_calls:
            raise self._refusal(self.open)
        if admit is not None:
            admit(context)
        self.open += 1
        _when_done(context, self._closed)
        try:
            request = await self.reading.read(context)
        except TimeoutError:
            raise self._refusal(self.open) from None
        if request is grpc.aio.EOF:
            # Where it was too large, gRPC has said so itself.
            raise InvalidRequest(detail="the call carries no request")
        return request

    def takes(self, context: Context, answer: Any) -> bool:
        """Say whether an answer may leave, and count it until it has left; False where too much waits to leave."""
        size = answer.ByteSize()
        if size > SMALL_ANSWER_BYTES:
            if self.answer_bytes and self.answer_bytes + size > ANSWERS_BYTES:
                return False
            self.answer_bytes += size
            _when_done(context, lambda: self._left(size))
        return True

    def refusal(self) -> grpc.Status:
        """Return what a call that is one too many ends with."""
        return as_status(self._refusal(self.open))

    def _closed(self) -> None:
        self.open -= 1

    def _left(self, size: int) -> None:
        self.answer_bytes -= size


def _when_done(context: Context, call: Callable[[], None]) -> None:
    context.add_done_callback(cast("Any", lambda _: call()))


class _Admitted(grpc.GenericRpcHandler):
    """Handlers behind an intake."""

    def __init__(self, intake: Intake, handlers: grpc.GenericRpcHandler) -> None:
        self._intake = intake
        self._handlers = handlers
        self._found: dict[str, Any] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        found = self._found.get(method)
        if found is None:
            handler: Any = self._handlers.service(handler_call_details)
            if handler is None:
                # Not kept: names that callers make up are without end.
                return None
            found = self._found[method] = self._behind(method, handler)
        return found

    def _behind(self, method: str, handler: Any) -> Any:
        intake, admit = self._intake, self._intake.admit.get(method)
        serializers = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": None if method in intake.packed else handler.response_serializer,
        }
        if handler.unary_unary is not None:
            call = _unary(intake, handler.unary_unary, admit)
            if (waited := intake.waited.get(method)) is not None:
                call = _timed(call, waited)
            return grpc.stream_unary_rpc_method_handler(call, **serializers)
        if handler.unary_stream is not None:
            return grpc.stream_stream_rpc_method_handler(_stream(intake, handler.unary_stream, admit), **serializers)
        return handler


# None of these keeps a request or an answer while it waits for its caller to take how the call ends.


def _unary(intake: Intake, handler: Callable[[Any, Context], Any], admit: Admit) -> Callable[..., Any]:
    async def call(_: object, context: Context) -> Any:
        answer = await handler(await _read(intake, context, admit), context)
        if intake.takes(context, answer):
            return answer
        del answer
        return await end_with(context, intake.refusal())

    return call


def _timed(call: Callable[..., Any], waited: Callable[[float, float], None]) -> Callable[..., Any]:
    async def timed(requests: object, context: Context) -> Any:
        began = _clock()
        try:
            answer = await call(requests, context)
        except BaseException as error:
            late = context.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            if late or isinstance(error, asyncio.CancelledError):
                waited((now := _clock()) - began, now)
            raise
        waited((now := _clock()) - began, now)
        return answer

    return timed


def _stream(intake: Intake, handler: Callable[[Any, Context], Any], admit: Admit) -> Callable[..., Any]:
    if inspect.isasyncgenfunction(handler):

        async def generated(_: object, context: Context) -> AsyncIterator[Any]:
            async for answer in handler(await _read(intake, context, admit), context):
                yield answer

        return generated

    async def written(_: object, context: Context) -> None:
        await handler(await _read(intake, context, admit), context)

    return written


async def _read(intake: Intake, context: Context, admit: Admit) -> Any:
    try:
        return await intake.read(context, admit)
    except QuiesceError as error:
        status = as_status(error)
    return await end_with(context, status)
