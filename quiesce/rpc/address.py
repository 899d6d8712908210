"""Whether an address can be listened on, in the words of the operating system."""

from __future__ import annotations

import socket

from quiesce.errors import AddressInUse


def check_free(address: str) -> None:
    """See that `host:port` can be listened on. Whoever listens next may still be beaten to it.

    Raises:
        AddressInUse: it is taken, or is not this machine's.
    """
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As the daemons do: an address that a connection of before still lingers on is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
            probe.listen()
        except OSError as error:
            raise AddressInUse(address=address, detail=error.strerror or error) from None
