"""One call to one address."""

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from quiesce.client.direct import read
from quiesce.errors import Unavailable


class Broken:
    """A stream whose server dies at once."""

    async def read(self) -> None:
        raise AioRpcError(grpc.StatusCode.UNAVAILABLE, Metadata(), Metadata(), details="Socket closed")

    def cancel(self) -> None:
        pass


async def test_a_broken_stream_does_not_claim_to_have_waited_for_its_whole_limit() -> None:
    with pytest.raises(Unavailable) as caught:
        async for _ in read(
            lambda *_, **__: Broken(), None, address="a:1", operation="Watch", first_s=9000.0, idle_s=9000.0
        ):
            pass
    assert float(caught.value.fields["seconds"]) < 9000
