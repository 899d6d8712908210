"""Refuses what is too large before it is sent: gRPC would only cut the connection."""

from __future__ import annotations

from collections.abc import Sequence

from quiesce.errors import BatchTooLarge, InvalidRequest, RecordTooLarge
from quiesce.rpc.batches import counted_operations
from quiesce.rpc.limits import BATCH_BYTES, BATCH_OPERATIONS, RECORD_BYTES
from quiesce.v1.record_pb2 import Operation


def check_batch(operations: Sequence[Operation]) -> None:
    """Check a batch against the limits of docs/limits.md.

    Raises:
        InvalidRequest: the batch is empty.
        RecordTooLarge, BatchTooLarge: a limit is passed.
    """
    if not operations:
        raise InvalidRequest(detail="a write without operations")
    if (count := counted_operations(operations)) > BATCH_OPERATIONS:
        raise BatchTooLarge(size=count, limit=BATCH_OPERATIONS, unit="operations")
    total = 0
    for operation in operations:
        # The size as a message is cheap to ask for and at least that of the body; only large ones are looked into.
        total += (size := operation.ByteSize())
        if size > RECORD_BYTES and (size := max(_body_sizes(operation), default=0)) > RECORD_BYTES:
            raise RecordTooLarge(size=size, limit=RECORD_BYTES)
    if total > BATCH_BYTES and (total := sum(sum(_body_sizes(one)) for one in operations)) > BATCH_BYTES:
        raise BatchTooLarge(size=total, limit=BATCH_BYTES, unit="bytes")


def _body_sizes(operation: Operation) -> Sequence[int]:
    match operation.WhichOneof("operation"):
        case "create":
            return (len(operation.create.body),)
        case "update":
            return (len(operation.update.body),)
        case "fill":
            return list(map(len, operation.fill.bodies))
        case _:
            return ()
