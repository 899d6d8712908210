"""The content id: one number for all records of a snapshot, whatever its layout in packs.

A Merkle tree hash as in RFC 9162, section 2.1.1, with BLAKE3-256 for SHA-256; leaves in docs/formats/snapshot.md.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from blake3 import blake3

from quiesce.snapshot.table import PageTable

_LEAF = struct.Struct(">iQI32s")


def content_id(table: PageTable) -> str:
    """Return the content id of the pages in a table, 64 hexadecimal digits."""
    return merkle_root(leaves(table)).hex()


def leaves(table: PageTable) -> Iterable[bytes]:
    """Yield what the tree is built over: database name, cluster, page, segment and digest of every row, in order."""
    names = [_named(database.name) for database in table.databases]
    for row in table.rows:
        yield names[row.database] + _LEAF.pack(row.cluster, row.page, row.segment, row.digest)


def _named(name: str) -> bytes:
    encoded = name.encode()
    return struct.pack(">I", len(encoded)) + encoded


def merkle_root(items: Iterable[bytes]) -> bytes:
    """Return the Merkle tree hash of the items."""
    # Pairing neighbours and passing an odd last one up gives RFC 9162's tree, without recursion.
    level = [blake3(b"\x00" + item).digest() for item in items]
    if not level:
        return blake3(b"").digest()
    while len(level) > 1:
        odd = [level[-1]] if len(level) % 2 else []
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [blake3(b"\x01" + left + right).digest() for left, right in pairs] + odd
    return level[0]
