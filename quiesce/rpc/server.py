"""Makes every gRPC server: standard health, reflection, limits."""

from __future__ import annotations

from collections.abc import Iterable

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from quiesce.errors import AddressInUse
from quiesce.rpc.address import check_free
from quiesce.rpc.limits import SERVER_OPTIONS


class Server:
    """A gRPC server with health by service name."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.grpc = grpc.aio.server(options=SERVER_OPTIONS)
        self._port: int | None = None
        self._health = HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)

    async def set_serving(self, service: str, serving: bool) -> None:
        """Set what the standard health service says of `service`; "" is the process as a whole."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        await self._health.set(service, status)

    def listen(self) -> int:
        """Take the address, and return the port; calls wait until `start`.

        Raises:
            AddressInUse: the address is taken, or is not this machine's.
        """
        if self._port is None:
            # gRPC would say it in a line of its own on standard error, and in its own words.
            check_free(self.address)
            try:
                port = self.grpc.add_insecure_port(self.address)
            except RuntimeError as error:
                raise AddressInUse(address=self.address, detail=str(error)) from error
            if port == 0:
                raise AddressInUse(address=self.address, detail="the bind was refused")
            self._port = port
        return self._port

    async def start(self, services: Iterable[str]) -> int:
        """Listen, answer, and return the port. `services` are the full names, for reflection.

        Raises:
            AddressInUse: the address is taken, or is not this machine's.
        """
        names = [*services, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, self.grpc)
        port = self.listen()
        await self.grpc.start()
        return port

    async def stop(self, grace_s: float) -> None:
        """Stop taking calls, and cut what still runs after `grace_s` seconds."""
        await self._health.enter_graceful_shutdown()
        await self.grpc.stop(grace_s)


def open_server(address: str) -> Server:
    """Return a server for `host:port` that is not listening yet; port 0 chooses a free one."""
    return Server(address)
