"""Operations and record ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiesce.errors import InvalidRequest
from quiesce.records import RID, Record, RecordKind, create, create_blob, delete, update
from quiesce.v1 import record_pb2


@given(st.builds(RID, st.integers(-1, 32767), st.integers(-1, (1 << 63) - 1)))
def test_ids_are_read_as_written(rid: RID) -> None:
    assert RID.parse(str(rid)) == rid


@pytest.mark.parametrize("text", ["", "5:1", "#5", "#5:", "#5:1 ", "#a:1", "#5:1:2", "#5:1\n", "#٥:1"])
def test_bad_ids(text: str) -> None:
    with pytest.raises(InvalidRequest):
        RID.parse(text)


def test_create_puts_the_class_into_the_body() -> None:
    operation = create({"a": 1}, class_name="P")
    assert operation.create.body == b'{"@class":"P","a":1}'
    assert operation.create.class_name == "P"
    assert create({"@class": "P"}).create.class_name == "P"
    assert not operation.create.HasField("position")


def test_create_in_a_cluster() -> None:
    made = create({"a": 1}, cluster=0, class_name="P", position=0).create
    assert (made.WhichOneof("place"), made.cluster, made.position) == ("cluster", 0, 0)
    assert made.body == b'{"@class":"P","a":1}'


def test_create_needs_a_place_and_one_class() -> None:
    with pytest.raises(InvalidRequest, match="class or a cluster"):
        create({"a": 1})
    with pytest.raises(InvalidRequest, match="class Q"):
        create({"@class": "Q"}, class_name="P")


def test_the_other_operations() -> None:
    assert create_blob(b"\x00", cluster=7).create.kind == record_pb2.RECORD_KIND_BLOB
    assert update(RID(1, 2), {"a": 1}, expected_version=0).update.HasField("expected_version")
    assert not update(RID(1, 2), {"a": 1}).update.HasField("expected_version")
    assert update(RID(1, 2), b"raw").update.body == b"raw"
    gone = delete(RID(1, 2), expected_version=4).delete
    assert (gone.cluster, gone.position, gone.expected_version) == (1, 2, 4)


def test_records_from_the_wire() -> None:
    record = Record.of(record_pb2.Record(cluster=1, position=2, version=3, kind=1, body=b'{"a":1}'))
    assert (record.rid, record.document()) == (RID(1, 2), {"a": 1})
    with pytest.raises(InvalidRequest, match="blob"):
        Record(RID(1, 2), 1, RecordKind.BLOB, b"").document()
