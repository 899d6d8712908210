"""nodes.store.packing: what a scan sends is what protobuf would have written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.store import keys
from nodes.store.packing import pack
from quiesce.errors import DamagedStore
from quiesce.records.rid import MAX_CLUSTER_ID, MAX_POSITION
from quiesce.v1 import record_pb2
from tests.simulation.engine import Rows, Table


@settings(deadline=None, max_examples=200)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from([0, 1, 255, 256]) | st.integers(0, MAX_CLUSTER_ID), st.integers(0, MAX_POSITION),
            st.integers(0, keys.MAX_VERSION), st.integers(0, 2), st.binary(max_size=300),
        ),
        max_size=5,
    )
)  # fmt: skip
def test_packed_records_are_what_protobuf_writes(rows: list[tuple[int, int, int, int, bytes]]) -> None:
    ordered = sorted({(cluster, position): rest for cluster, position, *rest in rows}.items())
    table = {
        keys.RECORD.pack(7, *place): keys.RECORD_HEADER.pack(version, kind) + content
        for place, (version, kind, content) in ordered
    }
    expected = record_pb2.ScanResponse()
    for (cluster, position), (version, kind, content) in ordered:
        expected.records.add(cluster=cluster, position=position, version=version, kind=kind, body=content)
    iterator = Rows(Table(table, 0))
    # A cluster after the other, so that each scan must end where the next begins.
    ranges = [keys.cluster_range(7, cluster) for cluster in sorted({cluster for (cluster, _), _ in ordered})]
    packed = [one for begin, end in ranges for one in pack(iterator, begin, end, Path("store"), None)]
    assert b"".join(one.wire for one in packed) == expected.SerializeToString()
    assert sum(one.records for one in packed) == len(table)


@pytest.mark.parametrize(("key", "value"), [(b"k" * 14, b"1234"), (b"k" * 13, b"12345"), (b"k" * 15, b"12345")])
def test_a_row_that_is_no_record_is_damage(key: bytes, value: bytes) -> None:
    with pytest.raises(DamagedStore, match="no record"):
        list(pack(Rows(Table({key: value}, 0)), b"", b"\xff", Path("store"), None))
