"""What a request must be before anything is done for it; limits in quiesce/rpc/limits.py and docs/limits.md."""

from __future__ import annotations

from collections.abc import Sequence

from quiesce.errors import BatchTooLarge, InvalidRequest, RecordTooLarge
from quiesce.rpc.batches import counted_operations
from quiesce.rpc.limits import BATCH_BYTES, BATCH_OPERATIONS, GET_IDS, RECORD_BYTES
from quiesce.v1 import record_pb2

GREATEST_CLUSTER = 32_767
GREATEST_POSITION = (1 << 63) - 1
_KINDS = (record_pb2.RECORD_KIND_DOCUMENT, record_pb2.RECORD_KIND_BLOB)


def check_database(name: str) -> None:
    """Check that a request names a database at all; whether there is one is the state's to say.

    Raises:
        InvalidRequest: it does not.
    """
    if not name:
        raise InvalidRequest(detail="it names no database")


def check_get(request: record_pb2.GetRequest) -> None:
    """Check a read of records.

    Raises:
        BatchTooLarge: too many ids.
        InvalidRequest: no database.
    """
    check_database(request.database)
    if len(request.ids) > GET_IDS:
        raise BatchTooLarge(size=len(request.ids), unit="records", limit=GET_IDS)


def check_lookup(request: record_pb2.LookupRequest) -> None:
    """Check a read by index.

    Raises:
        BatchTooLarge: too many keys.
        InvalidRequest: no database or no index.
    """
    check_database(request.database)
    if not request.index_name:
        raise InvalidRequest(detail="it names no index")
    if len(request.keys) > GET_IDS:
        raise BatchTooLarge(size=len(request.keys), unit="keys", limit=GET_IDS)


def check_write(request: record_pb2.WriteRequest) -> None:
    """Check a batch of writes by what it says; the state checks it against what is there.

    Raises:
        BatchTooLarge: too many operations, or too many bytes together.
        RecordTooLarge: one of the bodies.
        InvalidRequest: something is missing or out of range; the operation is named by its place, from 0.
    """
    check_database(request.database)
    if not request.operations:
        raise InvalidRequest(detail="the batch is empty")
    if (count := counted_operations(request.operations)) > BATCH_OPERATIONS:
        raise BatchTooLarge(size=count, unit="operations", limit=BATCH_OPERATIONS)
    if request.session_id and request.sequence <= request.acknowledged_through:
        raise InvalidRequest(
            detail=f"sequence {request.sequence} is not above acknowledged_through, {request.acknowledged_through}"
        )
    total = 0
    for place, operation in enumerate(request.operations):
        sizes = _check_operation(place, operation)
        largest = max(sizes, default=0)
        if largest > RECORD_BYTES:
            raise RecordTooLarge(size=largest, limit=RECORD_BYTES)
        total += sum(sizes)
    if total > BATCH_BYTES:
        raise BatchTooLarge(size=total, unit="bytes", limit=BATCH_BYTES)


def _check_operation(place: int, operation: record_pb2.Operation) -> Sequence[int]:
    """Return the sizes of what it carries, in bytes."""
    match operation.WhichOneof("operation"):
        case "create":
            create = operation.create
            if create.kind not in _KINDS:
                raise InvalidRequest(detail=f"operation {place}: the kind of record is not given")
            where = create.WhichOneof("place")
            if where is None or (where == "class_name" and not create.class_name):
                raise InvalidRequest(detail=f"operation {place}: neither a cluster nor a class is given")
            check_place(f"operation {place}", create.cluster, create.position)
            return (len(create.body),)
        case "update":
            check_place(f"operation {place}", operation.update.cluster, operation.update.position)
            return (len(operation.update.body),)
        case "delete":
            check_place(f"operation {place}", operation.delete.cluster, operation.delete.position)
            return ()
        case "expect":
            expect = operation.expect
            check_place(f"operation {place}", expect.record.cluster, expect.record.position)
            if expect.WhichOneof("what") is None:
                raise InvalidRequest(detail=f"operation {place}: it does not say what it expects")
            return (len(expect.free_key.key),)
        case "fill":
            # What is in it the state checks.
            return list(map(len, operation.fill.bodies))
        case _:
            raise InvalidRequest(detail=f"operation {place}: neither create, update, delete, expect nor fill")


def check_place(where: str, cluster: int, position: int) -> None:
    """Check the parts of a record id.

    Raises:
        InvalidRequest: one is out of range.
    """
    if cluster > GREATEST_CLUSTER:
        raise InvalidRequest(detail=f"{where}: cluster {cluster} is above {GREATEST_CLUSTER}")
    if position > GREATEST_POSITION:
        raise InvalidRequest(detail=f"{where}: position {position} is above {GREATEST_POSITION}")
