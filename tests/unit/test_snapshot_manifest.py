from __future__ import annotations

import json

import msgspec
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from quiesce.snapshot import (
    DatabaseSummary,
    MalformedObject,
    Manifest,
    ManifestMark,
    PackSummary,
    TableSummary,
    Totals,
    decode_manifest,
    encode_manifest,
    is_snapshot_id,
    new_snapshot_id,
)
from quiesce.snapshot.sealed import seal, unseal

MANIFEST = Manifest(
    snapshot_id="20261123T104502Z-3fa9c1",
    cluster_id="c1",
    node_id=2,
    mark=ManifestMark(3, 1234, 1_700_000_000_000, 99),
    content_id="ab" * 32,
    complete=True,
    databases=[DatabaseSummary("wörld", 1, 10, 2, 300)],
    table=TableSummary("cd" * 32, 400, 2),
    packs=[PackSummary("ef" * 32, 5000)],
    totals=Totals(10, 2, 0, 0, 2, 300, 200, 300, 5000),
    base=None,
    started_ms=1,
    ended_ms=2,
    impact={"p99_ms": 4.5},
)


def test_what_goes_in_comes_out() -> None:
    assert decode_manifest(encode_manifest(MANIFEST)) == MANIFEST


def test_a_stranger_can_read_it_and_check_it() -> None:
    data = encode_manifest(MANIFEST)
    found = json.loads(data)
    assert found["mark"] == {"term": 3, "index": 1234, "time_ms": 1_700_000_000_000, "epoch": 99}
    assert found["format"] == 1
    checksum = found["checksum"].encode()
    assert data.startswith(b'{"checksum":"' + checksum)
    assert blake3(data.replace(checksum, b"0" * 64, 1)).hexdigest().encode() == checksum


def test_any_byte_that_was_changed_is_found() -> None:
    data = encode_manifest(MANIFEST)
    for place in range(len(data)):
        for flip in (0x01, 0x20, 0x80):
            changed = bytearray(data)
            changed[place] ^= flip
            with pytest.raises(MalformedObject):
                decode_manifest(bytes(changed))
    for cut in (data[:-1], data + b"\n", b"", data[:40]):
        with pytest.raises(MalformedObject):
            decode_manifest(cut)


def test_a_format_of_the_future_is_refused_by_its_number() -> None:
    future = encode_manifest(msgspec.structs.replace(MANIFEST, format=2))
    with pytest.raises(MalformedObject, match="format 2 is not known"):
        decode_manifest(future)


@pytest.mark.parametrize("snapshot_id", ["", "latest", "../x", "a/b", ".x", "a" * 129, "a b", "ä"])
def test_what_is_no_name_for_a_snapshot(snapshot_id: str) -> None:
    assert not is_snapshot_id(snapshot_id)
    with pytest.raises(MalformedObject):
        decode_manifest(encode_manifest(msgspec.structs.replace(MANIFEST, snapshot_id=snapshot_id)))


def test_new_ids_tell_when() -> None:
    found = new_snapshot_id(1_795_430_702_000, 0xFF3FA9C1)
    assert found == "20261123T104502Z-3fa9c1"
    assert is_snapshot_id(found)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text().filter(lambda key: key != "checksum"), _json, max_size=4))
def test_sealed_json_comes_back(document: dict[str, object]) -> None:
    assert unseal(seal(document)) == document


@given(st.binary(max_size=200))
def test_garbage_is_malformed_and_nothing_worse(garbage: bytes) -> None:
    with pytest.raises(MalformedObject):
        unseal(garbage)
