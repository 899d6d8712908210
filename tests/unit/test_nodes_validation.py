"""What a request must be before anything is done for it."""

import pytest

from nodes.service.scanning import check_scan
from nodes.service.validation import check_get, check_lookup, check_write
from quiesce.errors import BatchTooLarge, InvalidRequest, RecordTooLarge
from quiesce.rpc.limits import BATCH_BYTES, BATCH_OPERATIONS, GET_IDS, RECORD_BYTES
from quiesce.v1 import record_pb2

BLOB = record_pb2.RECORD_KIND_BLOB


def create(size=1, **more):
    return record_pb2.Operation(create=record_pb2.Create(**{"cluster": 3, "kind": BLOB, "body": bytes(size), **more}))


def write(*operations, **more):
    return record_pb2.WriteRequest(database="d", operations=operations, **more)


def fill(*sizes):
    bodies = [b"x" * size for size in sizes]
    return record_pb2.Operation(
        fill=record_pb2.Fill(positions=range(len(bodies)), versions=[1] * len(bodies), bodies=bodies)
    )


def test_a_write_within_the_limits():
    check_write(write(fill(RECORD_BYTES, BATCH_BYTES - RECORD_BYTES)))
    check_write(write(fill(*[1] * (BATCH_OPERATIONS - 1)), create()))
    check_write(write(create(RECORD_BYTES), create(BATCH_BYTES - RECORD_BYTES)))
    check_write(write(*[create()] * BATCH_OPERATIONS))
    check_write(write(create(), session_id=5, sequence=1))


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (write(create(RECORD_BYTES + 1)), RecordTooLarge),
        (write(create(RECORD_BYTES), create(RECORD_BYTES), create(1)), BatchTooLarge),
        (write(*[create()] * (BATCH_OPERATIONS + 1)), BatchTooLarge),
        (write(fill(1, RECORD_BYTES + 1)), RecordTooLarge),
        (write(fill(RECORD_BYTES, RECORD_BYTES), fill(1)), BatchTooLarge),
        (write(fill(*[1] * BATCH_OPERATIONS), create()), BatchTooLarge),
        (write(), InvalidRequest),
        (write(record_pb2.Operation()), InvalidRequest),
        (write(create(kind=0)), InvalidRequest),
        (write(record_pb2.Operation(create=record_pb2.Create(kind=BLOB))), InvalidRequest),
        (write(create(class_name="")), InvalidRequest),
        (write(create(cluster=40_000)), InvalidRequest),
        (write(create(position=1 << 63)), InvalidRequest),
        (write(record_pb2.Operation(delete=record_pb2.Delete(cluster=40_000))), InvalidRequest),
        (write(create(), session_id=5), InvalidRequest),
        (write(create(), session_id=5, sequence=2, acknowledged_through=2), InvalidRequest),
        (record_pb2.WriteRequest(operations=[create()]), InvalidRequest),
    ],
)
def test_a_write_beyond_them(request_, error):
    with pytest.raises(error):
        check_write(request_)


def test_reads_beyond_the_limits():
    with pytest.raises(BatchTooLarge):
        check_get(record_pb2.GetRequest(database="d", ids=[record_pb2.RecordId()] * (GET_IDS + 1)))
    with pytest.raises(BatchTooLarge):
        check_lookup(record_pb2.LookupRequest(database="d", index_name="i", keys=[b"[1]"] * (GET_IDS + 1)))
    with pytest.raises(InvalidRequest, match="index"):
        check_lookup(record_pb2.LookupRequest(database="d"))
    with pytest.raises(InvalidRequest, match="no cluster"):
        check_scan(record_pb2.ScanRequest(database="d"))
    with pytest.raises(InvalidRequest, match="database"):
        check_scan(record_pb2.ScanRequest(whole_database=True))
