from __future__ import annotations

import json

import pytest

from quiesce.snapshot import MalformedObject, database_segments, decode_database_page, encode_database_page
from quiesce.v1.database_pb2 import (
    DATABASE_STATE_IMPORTING,
    DATABASE_STATE_ONLINE,
    ClassDefinition,
    Cluster,
    Database,
    IndexDefinition,
    IndexField,
    PropertyDefinition,
)


def database() -> Database:
    name = PropertyDefinition(name="name", type="STRING", mandatory=True, min="1", default_value="")
    name.custom_fields.update({"b": "2", "a": "1"})
    city = ClassDefinition(name="City", super_classes=["V"], cluster_ids=[3], default_cluster_id=0, oversize=1.1)
    city.properties.append(name)
    by_name = IndexDefinition(name="City.name", type="UNIQUE", id=4, maintained=True, metadata=b'{"x":\xff}')
    by_name.fields.append(IndexField(name="name", by=IndexField.BY_VALUE))
    return Database(
        name="world",
        id=7,
        state=DATABASE_STATE_ONLINE,
        changed_at=99,
        clusters=[Cluster(id=3, name="default", records=5, next_position=2**60)],
        classes=[city],
        indexes=[by_name],
        preserved={"info": b"\x00\xff", "a": b"{}"},
    )


def test_what_goes_in_comes_out_but_for_the_cluster_s_own_numbers() -> None:
    expected = database()
    expected.id = expected.changed_at = expected.clusters[0].records = 0
    assert decode_database_page(encode_database_page(database())) == expected


def test_equal_databases_make_equal_bytes_whatever_their_numbers() -> None:
    other = Database()
    other.CopyFrom(database())
    other.id, other.changed_at, other.clusters[0].records = 8, 1000, 0
    other.ClearField("preserved")
    other.preserved["a"], other.preserved["info"] = b"{}", b"\x00\xff"
    assert encode_database_page(other) == encode_database_page(database())


def test_the_documented_bytes() -> None:
    page = encode_database_page(Database(name="ä", clusters=[Cluster(id=3, name="d", next_position=9)]))
    expected = '{"clusters":[{"id":3,"name":"d","next_position":"9"}],"format":"quiesce-database/1","name":"\\u00e4"}'
    assert page == expected.encode()


def test_a_half_imported_database_stays_one() -> None:
    importing = database()
    importing.state = DATABASE_STATE_IMPORTING
    assert decode_database_page(encode_database_page(importing)).state == DATABASE_STATE_IMPORTING


def test_a_long_page_is_cut() -> None:
    long = database()
    long.preserved["manual"] = bytes(range(256)) * (20 << 10)
    segments = database_segments(long)
    assert len(segments) == 2
    assert decode_database_page(b"".join(raw for raw, _ in segments)).preserved == long.preserved


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"format":"quiesce-database/2"}', b"\xff", b"3"])
def test_what_is_no_database_page(raw: bytes) -> None:
    with pytest.raises(MalformedObject):
        decode_database_page(raw)


def test_unknown_fields_are_not_dropped_in_silence() -> None:
    document = json.loads(encode_database_page(database()))
    document["triggers"] = ["x"]
    with pytest.raises(MalformedObject):
        decode_database_page(json.dumps(document).encode())
