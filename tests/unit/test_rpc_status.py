"""What the errors of gRPC itself become, and how our own travel."""

from typing import Any, cast

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc.aio import AioRpcError, Metadata
from grpc_status import rpc_status

from quiesce.errors import DeadlineExceeded, InvalidRequest, Overloaded, QuiesceError, Unavailable, UnknownClass
from quiesce.rpc import error_of, open_server, typed_errors
from quiesce.v1 import node_pb2, node_pb2_grpc


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
        (grpc.StatusCode.UNIMPLEMENTED, InvalidRequest),
        (grpc.StatusCode.DATA_LOSS, QuiesceError),
    ],
)
def test_a_status_without_details(code: grpc.StatusCode, kind: type[QuiesceError]) -> None:
    failed = AioRpcError(code, Metadata(), Metadata(), details="why")
    assert type(error_of(failed, addresses="10.0.0.1:7100", seconds=2)) is kind


def test_the_wrong_daemon_is_named() -> None:
    failed = AioRpcError(grpc.StatusCode.UNIMPLEMENTED, Metadata(), Metadata(), details="Method not found!")
    assert "10.0.0.1:7100" in str(error_of(failed, addresses="10.0.0.1:7100"))


class Refusing(node_pb2_grpc.NodeServicer):
    def __init__(self, error: QuiesceError) -> None:
        self.error = error

    @typed_errors
    async def Status(self, _: node_pb2.StatusRequest, context: Any) -> node_pb2.NodeStatus:  # noqa: N802
        raise self.error


async def refused(error: QuiesceError) -> AioRpcError:
    """Return what a caller without our client library gets."""
    server = open_server("127.0.0.1:0")
    node_pb2_grpc.add_NodeServicer_to_server(Refusing(error), server.grpc)
    port = await server.start(["quiesce.v1.Node"])
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(AioRpcError) as failed:
                await node_pb2_grpc.NodeStub(channel).Status(node_pb2.StatusRequest())
            return failed.value
    finally:
        await server.stop(0)


@pytest.mark.parametrize("retry_ms", [1, 100, 1000, 2500])
async def test_overload_says_in_the_standard_way_when_to_come_again(retry_ms: int) -> None:
    failed = await refused(Overloaded(node_id=1, waiting=5, retry_ms=retry_ms))
    assert failed.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    status = rpc_status.from_call(cast("grpc.Call", failed))
    assert status is not None
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert info.metadata["retry_ms"] == str(retry_ms)
    assert retry.retry_delay.ToMilliseconds() == retry_ms
    # A duration of a second or more in nanoseconds alone is none.
    assert retry.retry_delay.nanos < 1_000_000_000


@pytest.mark.parametrize("name", ["x" * 1_000_000, "\N{SNOWMAN}" * 5_000, "a\0b" * 3_000])
async def test_an_error_arrives_whatever_it_names(name: str) -> None:
    # The details travel as metadata, of which a caller takes 8 KiB.
    found = error_of(await refused(UnknownClass(class_name=name, database="shop")), addresses="a")
    assert type(found) is UnknownClass
    assert found.fields["database"] == "shop"
    assert name.startswith(found.fields["class_name"].removesuffix("…"))
