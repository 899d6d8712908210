"""The lease on a node, as what works under it is checked against."""

from __future__ import annotations

from typing import NamedTuple

from quiesce.v1.node_pb2 import RotationLease


class Held(NamedTuple):
    """Which lease it is, and the fence of its present holder."""

    epoch: int
    fence: int

    @classmethod
    def of(cls, lease: RotationLease) -> Held:
        """Return what a lease is checked against; one that nobody took over has no fence of its own."""
        return cls(lease.epoch, lease.fence or lease.epoch)
