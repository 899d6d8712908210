"""Makes every gRPC channel."""

from __future__ import annotations

import grpc.aio

from quiesce.rpc.limits import CHANNEL_OPTIONS


def open_channel(address: str) -> grpc.aio.Channel:
    """Return a channel to `host:port`; it connects when it is first used, and again whenever it must."""
    # A subchannel pool of its own: a process that talks to several clusters must not share back-off between them.
    return grpc.aio.insecure_channel(address, options=[*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1)])
