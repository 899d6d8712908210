"""What the errors of gRPC itself become."""

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from quiesce.errors import DeadlineExceeded, InvalidRequest, QuiesceError, Unavailable
from quiesce.rpc import error_of


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
