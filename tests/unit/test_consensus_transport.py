import asyncio
from collections.abc import AsyncIterator

import grpc.aio
import pytest
from consensus_cluster import free_port

from nodes.consensus import transport
from nodes.consensus.transport import PeerLink
from quiesce.rpc import open_server
from quiesce.v1.peer_pb2 import RaftBatch, RaftStreamEnd
from quiesce.v1.peer_pb2_grpc import PeerServicer, add_PeerServicer_to_server

pytestmark = pytest.mark.timeout(30)


class Deaf(PeerServicer):
    """Reads nothing of the first stream, and everything of those that follow."""

    def __init__(self) -> None:
        self.streams = 0
        self.heard = asyncio.Event()

    async def Raft(  # noqa: N802
        self, request_iterator: AsyncIterator[RaftBatch], context: grpc.aio.ServicerContext[RaftBatch, RaftStreamEnd]
    ) -> RaftStreamEnd:
        self.streams += 1
        if self.streams == 1:
            await asyncio.Event().wait()
        async for _ in request_iterator:
            self.heard.set()
        return RaftStreamEnd()


async def test_a_peer_that_took_nothing_for_long_is_reached_again(monkeypatch):
    monkeypatch.setattr(transport, "_WRITE_TIMEOUT_S", 0.3)
    peer, lost = Deaf(), []
    server = open_server(f"127.0.0.1:{free_port()}")
    add_PeerServicer_to_server(peer, server.grpc)
    await server.start(["quiesce.v1.Peer"])
    link = PeerLink(
        node_id=1,
        peer_id=2,
        address=server.address,
        cluster_id="c",
        own_address="127.0.0.1:1",
        most_bytes=1 << 24,
        clock_ms=lambda: 0,
        disk_full=lambda: False,
        on_lost=lost.append,
        on_refused=lambda _: None,
    )
    link.start()
    while not peer.heard.is_set():
        link.enqueue(bytes(1 << 20))
        await asyncio.sleep(0.05)
    assert peer.streams >= 2
    assert lost
    await link.stop()
    await server.stop(0)
