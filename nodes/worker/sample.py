"""Which pages are read although nobody has written to them: a store may change under its pages."""

from __future__ import annotations

import struct

from blake3 import blake3

from nodes.worker.base import Base
from quiesce.snapshot import ManifestMark

_PLACE = struct.Struct(">QqQ")
_ALL = 1 << 64


class Sample:
    """About `budget` bytes of the base's pages, others at each mark, the same ones on every replica.

    So what is read for it costs the same whatever the store's size, and every page has its turn. All replicas read the
    same ones: should the base be wrong, they agree on what is right.
    """

    def __init__(self, base: Base | None, mark: ManifestMark, budget: int) -> None:
        there = base.manifest.totals.bytes_raw if base is not None else 0
        self._below = _ALL if there <= budget else _ALL * budget // there
        self._index = mark.index

    def takes(self, database: str, cluster: int, page: int) -> bool:
        """Return whether a page is one of them."""
        drawn = blake3(_PLACE.pack(self._index, cluster, page) + database.encode()).digest(8)
        return int.from_bytes(drawn, "big") < self._below
