"""Addresses as people write them."""

from __future__ import annotations

from collections.abc import Sequence

from quiesce.errors import InvalidRequest


def split_addresses(addresses: str | Sequence[str]) -> list[str]:
    """Return the addresses of a list, or of a text with commas between them, each once.

    Raises:
        InvalidRequest: there are none, or one is not `host:port`.
    """
    listed = addresses.split(",") if isinstance(addresses, str) else addresses
    found = [address.strip() for address in listed if address.strip()]
    if not found:
        raise InvalidRequest(detail="no address is given; one looks like 127.0.0.1:7101")
    for address in found:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise InvalidRequest(detail=f"`{address}` is not an address; one looks like 127.0.0.1:7101")
    return list(dict.fromkeys(found))
