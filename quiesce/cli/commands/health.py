"""quiesce health: what the standard gRPC health service of a daemon says, for probes."""

from __future__ import annotations

import asyncio

import click
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from quiesce.cli.options import DURATION
from quiesce.cli.output import Output, pass_output
from quiesce.client.addresses import split_addresses
from quiesce.errors import InvalidRequest, NotServing
from quiesce.rpc import error_of, open_channel

SERVING = health_pb2.HealthCheckResponse.SERVING


@click.command(name="health")
@click.argument("address", metavar="HOST:PORT")
@click.option("--service", default="", metavar="NAME", help="Like quiesce.v1.Backups; otherwise the process.")
@click.option("--timeout", type=DURATION, default="3s", show_default=True, help="How long to wait for the answer.")
@pass_output
def command(output: Output, address: str, service: str, timeout: int) -> None:
    """Ask a node or a coordinator whether it serves; the exit code says it.

    A node that is out of rotation for a backup is well: its process serves, its service quiesce.v1.Records does not.
    """
    addresses = split_addresses(address)
    if len(addresses) > 1:
        raise InvalidRequest(detail=f"`{address}` is more than one address")
    status = asyncio.run(_check(addresses[0], service, timeout / 1000))
    if status != SERVING:
        word = health_pb2.HealthCheckResponse.ServingStatus.Name(status).lower().replace("_", " ")
        raise NotServing(address=addresses[0], service=service or "the process", detail=word)
    output.result({"address": addresses[0], "service": service, "serving": True}, f"{addresses[0]} serves.")


async def _check(address: str, service: str, timeout_s: float) -> health_pb2.HealthCheckResponse.ServingStatus:
    channel = open_channel(address)
    try:
        answer = await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service=service), timeout=timeout_s
        )
    except grpc.aio.AioRpcError as failed:
        if failed.code() == grpc.StatusCode.NOT_FOUND:
            # The health service's way to say so of one call; of a watch it answers with the status itself.
            return health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        raise error_of(failed, addresses=address, seconds=timeout_s, operation="asking for health") from None
    finally:
        await channel.close()
    return answer.status
