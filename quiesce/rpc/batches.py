"""How batches of writes are counted, at both ends of a connection."""

from __future__ import annotations

from collections.abc import Sequence

from quiesce.rpc.limits import BATCH_OPERATIONS
from quiesce.v1.record_pb2 import Operation


def counted_operations(batch: Sequence[Operation]) -> int:
    """Return what BATCH_OPERATIONS bounds: each record of a fill is one.

    Where there are too many operations, their number: what is in them is not looked at any more.
    """
    if len(batch) > BATCH_OPERATIONS:
        return len(batch)
    return sum(len(operation.fill.bodies) or 1 for operation in batch)
