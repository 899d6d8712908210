"""What a node writes as the key of an index is read back as the value it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiesce.errors import InvalidDocument
from quiesce.indexing.entries import plan_index
from quiesce.indexing.key import encode_key
from quiesce.records import RID
from quiesce.sql.index_keys import decode_key
from quiesce.v1.database_pb2 import IndexDefinition, IndexField

KINDS: dict[str, st.SearchStrategy[Any]] = {
    "INTEGER": st.integers(-(1 << 31), (1 << 31) - 1),
    "LONG": st.integers(-(1 << 63), (1 << 63) - 1),
    "DOUBLE": st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0),
    "DECIMAL": st.decimals(allow_nan=False, allow_infinity=False, places=4),
    "BOOLEAN": st.booleans(),
    "STRING": st.text(max_size=20),
    "LINK": st.builds(RID, st.integers(0, 32767), st.integers(0, 1 << 62)),
}


@given(st.data())
def test_keys_come_back(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=3))
    fields = [IndexField(name=f"f{n}", key_type=kind, by=IndexField.BY_VALUE) for n, kind in enumerate(kinds)]
    values = [data.draw(st.one_of(st.none(), KINDS[kind])) for kind in kinds]
    plan = plan_index(1, IndexDefinition(name="i", type="NOTUNIQUE", class_name="C", fields=fields, id=1))
    texts = [str(value) if isinstance(value, RID) else value for value in values]
    found = decode_key(fields, encode_key(plan.fields, texts))
    assert (found if len(values) > 1 else [found]) == values


def test_a_key_of_other_fields_is_refused() -> None:
    with pytest.raises(InvalidDocument):
        decode_key([IndexField(key_type="LONG")], b"\x02\x00")
