"""What a server takes in is bounded before it is read, and what it has ready to go out as well."""

import asyncio
from collections.abc import AsyncIterator, Callable, Container, Mapping
from typing import Any

import grpc
import grpc.aio
import pytest

from quiesce.errors import DeadlineExceeded, InvalidRequest, NotLeader, Overloaded, QuiesceError
from quiesce.rpc import Intake, error_of, intake, open_channel, open_server, reading, typed_errors
from quiesce.rpc.limits import CHANNEL_OPTIONS
from quiesce.v1 import record_pb2, record_pb2_grpc

pytestmark = pytest.mark.timeout(60)
MIB = 1 << 20


class Records(record_pb2_grpc.RecordsServicer):
    def __init__(self) -> None:
        self.hold = asyncio.Event()
        self.hold.set()
        self.entered = 0
        self.answer_bytes = 10
        self.error: QuiesceError | None = None
        self.scanned = b""

    @typed_errors
    async def Get(self, request: record_pb2.GetRequest, context: Any) -> record_pb2.GetResponse:  # noqa: N802
        self.entered += 1
        await self.hold.wait()
        if self.error is not None:
            raise self.error
        return record_pb2.GetResponse(
            index=len(request.ids), records=[record_pb2.Record(body=bytes(self.answer_bytes))]
        )

    @typed_errors
    async def Scan(self, request: record_pb2.ScanRequest, context: Any) -> None:  # type: ignore[override]  # noqa: N802
        await context.write(self.scanned or record_pb2.ScanResponse(index=request.limit))

    @typed_errors
    async def ScanIndex(self, request: record_pb2.ScanIndexRequest, context: Any) -> AsyncIterator[Any]:  # type: ignore[override]  # noqa: N802
        for _ in request.database:
            yield record_pb2.ScanIndexResponse()


class Served:
    def __init__(
        self,
        most_calls: int = 4,
        admit: Mapping[str, Callable[[Any], None]] | None = None,
        waited: Mapping[str, Callable[[float, float], None]] | None = None,
        packed: Container[str] = (),
    ) -> None:
        self.records = Records()
        self.server = open_server("127.0.0.1:0")
        self.intake = Intake(
            self.server.grpc, most_calls=most_calls, refusal=_refusal, admit=admit, waited=waited, packed=packed
        )
        record_pb2_grpc.add_RecordsServicer_to_server(self.records, self.intake.as_server)

    async def __aenter__(self) -> "Served":
        self.port = await self.server.start(["quiesce.v1.Records"])
        self.channel = open_channel(f"127.0.0.1:{self.port}")
        self.stub = record_pb2_grpc.RecordsStub(self.channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.records.hold.set()
        await self.channel.close()
        await self.server.stop(0)

    def reluctant_channel(self) -> grpc.aio.Channel:
        """A channel that lets nothing come but what is asked for; others take megabytes ahead where that is fast."""
        options = [*CHANNEL_OPTIONS, ("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 64 << 10)]
        return grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=options)

    async def empty(self) -> None:
        """Wait until no call is open."""
        await until(lambda: not self.intake.open)
        assert (self.intake.reading.large, self.intake.answer_bytes) == (0, 0)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


def _refusal(waiting: int) -> QuiesceError:
    return Overloaded(node_id=1, waiting=waiting, retry_ms=100)


async def refusal(call: Any) -> QuiesceError:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return error_of(failed.value, addresses="a")


def get(ids: int = 0) -> record_pb2.GetRequest:
    return record_pb2.GetRequest(database="d", ids=[record_pb2.RecordId()] * ids)


async def test_calls_pass_as_without_it() -> None:
    async with Served() as served:
        assert (await served.stub.Get(get(3))).index == 3
        [message] = [message async for message in served.stub.Scan(record_pb2.ScanRequest(limit=7))]
        assert message.index == 7
        entries = served.stub.ScanIndex(record_pb2.ScanIndexRequest(database="abc"))
        assert len([message async for message in entries]) == 3
        assert (await refusal(served.stub.Lookup(record_pb2.LookupRequest()))).reason() == "INVALID_REQUEST"
        await served.empty()


async def test_an_answer_that_is_packed_already_goes_as_it_is() -> None:
    async with Served(packed={"/quiesce.v1.Records/Scan"}) as served:
        served.records.scanned = record_pb2.ScanResponse(index=9).SerializeToString()
        [message] = [message async for message in served.stub.Scan(record_pb2.ScanRequest())]
        assert message.index == 9
        assert (await served.stub.Get(get(3))).index == 3


async def test_one_call_too_many_is_refused_unread_and_there_is_room_again() -> None:
    async with Served(most_calls=2) as served:
        served.records.hold.clear()
        waiting = [asyncio.ensure_future(served.stub.Get(get())) for _ in range(2)]
        await until(lambda: served.records.entered == 2)
        for call in (served.stub.Get(get()), _first(served.stub.Scan(record_pb2.ScanRequest()))):
            assert isinstance(await refusal(call), Overloaded)
        served.records.hold.set()
        await asyncio.gather(*waiting)
        await served.empty()
        assert (await served.stub.Get(get())).index == 0
        assert served.records.entered == 3


async def test_a_call_that_is_not_admitted_ends_before_its_request_has_come() -> None:
    def admit(_: Any) -> None:
        raise NotLeader(node_id=1, leader_address="n:2")

    async with Served(admit={"/quiesce.v1.Records/Get": admit}) as served:
        send: Any = served.channel.stream_unary("/quiesce.v1.Records/Get")
        # It never comes.
        assert isinstance(await refusal(send()), NotLeader)
        assert not served.records.entered
        [message] = [message async for message in served.stub.Scan(record_pb2.ScanRequest(limit=7))]
        assert message.index == 7
        await served.empty()


async def test_a_caller_who_goes_away_leaves_room() -> None:
    async with Served(most_calls=1) as served:
        served.records.hold.clear()
        call = served.stub.Get(get())
        await until(lambda: served.records.entered == 1)
        call.cancel()
        await served.empty()


async def test_only_so_many_requests_are_long_on_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOMENT_S", 0.05)
    monkeypatch.setattr(reading, "LARGE_REQUESTS", 2)
    async with Served(most_calls=10) as served:
        send: Any = served.channel.stream_unary("/quiesce.v1.Records/Get")
        # Calls whose request does not come.
        slow = [send() for _ in range(5)]
        ended = [call for call in slow if isinstance(await _within(call, 2.0), Overloaded)]
        assert len(ended) == 3
        # Small ones pass by them.
        assert (await served.stub.Get(get())).index == 0
        assert served.intake.reading.large == 2
        for call in slow:
            call.cancel()
        await served.empty()


async def test_no_more_are_read_at_once_than_there_are_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "READ_AT_ONCE", 2)
    monkeypatch.setattr(reading, "MOMENT_S", 0.3)
    monkeypatch.setattr(reading, "LARGE_REQUESTS", 0)
    async with Served(most_calls=10) as served:
        send: Any = served.channel.stream_unary("/quiesce.v1.Records/Get")
        slow = [send() for _ in range(2)]
        await until(lambda: served.intake.open == 2)
        small = asyncio.ensure_future(served.stub.Get(get(5)))
        await until(lambda: served.intake.open == 3)
        await asyncio.sleep(0.05)
        assert not served.records.entered
        # The slow ones leave their places, and it has its turn.
        assert (await small).index == 5
        assert [type(await refusal(call)) for call in slow] == [Overloaded] * 2
        await served.empty()
        assert not served.intake.reading.places.locked()


async def test_a_request_that_never_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOMENT_S", 0.02)
    monkeypatch.setattr(reading, "LONGEST_S", 0.1)
    async with Served() as served:
        send: Any = served.channel.stream_unary("/quiesce.v1.Records/Get")
        assert isinstance(await refusal(send()), Overloaded)
        await served.empty()


async def test_a_call_without_a_request() -> None:
    async with Served() as served:
        send: Any = served.channel.stream_unary("/quiesce.v1.Records/Get")
        call = send()
        await call.done_writing()
        assert isinstance(await refusal(call), InvalidRequest)


async def test_answers_that_wait_to_leave_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "ANSWERS_BYTES", 20 * MIB)
    async with Served(most_calls=100) as served, served.reluctant_channel() as channel:
        served.records.answer_bytes = 8 * MIB
        # Streams are read when one asks, so these answers stay with the server.
        stream: Any = channel.unary_stream(
            "/quiesce.v1.Records/Get", request_serializer=record_pb2.GetRequest.SerializeToString
        )
        waiting = []
        for ahead in range(2):
            waiting.append(stream(get()))
            await until(lambda: served.intake.answer_bytes > (8 * ahead + 7) * MIB)  # noqa: B023 - awaited here
        for _ in range(4):
            assert isinstance(await refusal(stream(get()).read()), Overloaded)
        # Small answers pass, and the others leave when they are taken.
        served.records.answer_bytes = 10
        await served.stub.Get(get())
        for call in waiting:
            assert len(await call.read()) > 8 * MIB
        await served.empty()


async def test_it_is_told_how_long_callers_waited_and_nothing_of_refusals() -> None:
    waits: list[float] = []
    counted = {"/quiesce.v1.Records/Get": lambda seconds, now: waits.append(seconds)}
    async with Served(most_calls=2, waited=counted) as served:
        await served.stub.Get(get())
        await served.stub.Scan(record_pb2.ScanRequest()).read()
        assert len(waits) == 1
        served.records.error = NotLeader(node_id=1, leader_id=2, address="a")
        await refusal(served.stub.Get(get()))
        assert len(waits) == 1
        served.records.error = DeadlineExceeded(operation="it", seconds=1)
        await refusal(served.stub.Get(get()))
        assert len(waits) == 2
        served.records.hold.clear()
        # Who gives up has waited; who is turned away at the door has not.
        given_up = [served.stub.Get(get(), timeout=0.3) for _ in range(2)]
        await until(lambda: served.records.entered == 5)
        assert isinstance(await refusal(served.stub.Get(get())), Overloaded)
        for call in given_up:
            await refusal(call)
        await until(lambda: len(waits) == 4)
        assert min(waits[2:]) > 0.1
        served.records.hold.set()
        await served.empty()
        assert len(waits) == 4


async def _first(stream: Any) -> Any:
    return await stream.read()


async def _within(call: Any, seconds: float) -> QuiesceError | None:
    """Return what a call ends with, or None where it goes on."""
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(refusal(call))), seconds)
    except TimeoutError:
        return None
