"""The members of a cluster as people write them: `1=host:port,2=host:port`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from quiesce.errors import InvalidConfiguration

_GREATEST_NODE_ID = (1 << 63) - 1
# What separates members where they are written one after the other.
_NOT_IN_HOSTS = frozenset(" ,=")
_CLUSTER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def parse_address(key: str, text: str) -> str:
    """Return `host:port` as it came, once it is known to be one; IPv6 hosts stand in brackets.

    Raises:
        InvalidConfiguration: it is none; `key` is named.
    """
    host, colon, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host or (":" in host and not bracketed) or not host.isprintable() or set(host) & _NOT_IN_HOSTS:
        raise InvalidConfiguration(detail=f"{key}: `{text}` is not host:port")
    if not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise InvalidConfiguration(detail=f"{key}: `{port}` in `{text}` is not a port")
    return f"{host}:{port}"


def parse_cluster_id(key: str, text: str) -> str:
    """Return the id of a cluster as it came, once it is known to be one.

    Raises:
        InvalidConfiguration: it is none; `key` is named.
    """
    if not _CLUSTER_ID.fullmatch(text):
        raise InvalidConfiguration(detail=f"{key}: `{text}` is not 1 to 64 letters, digits, `_` or `-`")
    return text


def parse_node_id(key: str, value: object) -> int:
    """Return a node id, 1 or more.

    Raises:
        InvalidConfiguration: it is none; `key` is named.
    """
    text = str(value).strip()
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _GREATEST_NODE_ID:
        raise InvalidConfiguration(detail=f"{key}: `{value}` is not a node id, a whole number from 1")
    return int(text)


def parse_members(key: str, value: object) -> dict[int, str]:
    """Return address by node id from `1=host:port,2=host:port` or from a table of the same.

    Raises:
        InvalidConfiguration: a part is malformed, or an id or an address is there twice; `key` is named.
    """
    if isinstance(value, Mapping):
        pairs = [(str(node), str(address)) for node, address in value.items()]
    else:
        pairs = []
        for part in str(value).split(","):
            node, equals, address = part.partition("=")
            if not equals:
                raise InvalidConfiguration(detail=f"{key}: `{part}` is not id=host:port")
            pairs.append((node, address))
    members: dict[int, str] = {}
    for node, text in pairs:
        node_id, address = parse_node_id(key, node), parse_address(key, text)
        if node_id in members:
            raise InvalidConfiguration(detail=f"{key}: node {node_id} is there twice")
        if address in members.values():
            raise InvalidConfiguration(detail=f"{key}: {address} is there twice")
        members[node_id] = address
    return dict(sorted(members.items()))


def format_members(members: Mapping[int, str]) -> str:
    """Return the form that `parse_members` reads."""
    return ",".join(f"{node}={address}" for node, address in sorted(members.items()))
