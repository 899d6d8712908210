"""etcd over gRPC from Python, so that both systems pay the same for their client."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

# Compiled when imported; the path is looked up on sys.path, whose first entry is the project's root.
protos: Any
services: Any
protos, services = grpc.protos_and_services("benchmarks/etcd/rpc.proto")

_OPTIONS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.use_local_subchannel_pool", 1)]


class EtcdClient:
    """Writes go to the leader, which spares etcd a hop; linearizable reads go round all members."""

    def __init__(self, addresses: Sequence[str], leader: str) -> None:
        self._channels = [grpc.aio.insecure_channel(address, options=_OPTIONS) for address in addresses]
        stubs = [services.KVStub(channel) for channel in self._channels]
        self._readers = stubs
        self._writer = stubs[list(addresses).index(leader)]
        self._maintenance = services.MaintenanceStub(self._channels[0])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for channel in self._channels:
            await channel.close()

    async def put(self, key: bytes, value: bytes) -> None:
        await self._writer.Put(protos.PutRequest(key=key, value=value))

    async def put_all(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Put all of them as one transaction; etcd takes 128 at most."""
        operations = [protos.RequestOp(request_put=protos.PutRequest(key=key, value=value)) for key, value in pairs]
        answer = await self._writer.Txn(protos.TxnRequest(success=operations))
        assert answer.succeeded

    async def get(self, key: bytes, turn: int) -> bytes:
        answer = await self._readers[turn % len(self._readers)].Range(protos.RangeRequest(key=key))
        assert len(answer.kvs) == 1, f"{key!r} is not there"
        return bytes(answer.kvs[0].value)

    async def save_snapshot(self, path: Path) -> int:
        """Stream a snapshot of one member into a file, synced, as `etcdctl snapshot save` does; return its bytes."""
        total = 0
        with path.open("wb") as file:
            async for part in self._maintenance.Snapshot(protos.SnapshotRequest()):
                file.write(part.blob)
                total += len(part.blob)
            file.flush()
            await asyncio.to_thread(_sync, file.fileno())
        return total


def _sync(descriptor: int) -> None:
    import os

    os.fsync(descriptor)
