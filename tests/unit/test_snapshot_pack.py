from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiesce.snapshot import MalformedObject, PackBuilder, PackEntry, compress, decompress, digest, pack_index
from quiesce.snapshot.pack import PACK_BYTES


def packed(raws: list[bytes]) -> tuple[bytes, list[PackEntry]]:
    builder, entries = PackBuilder(), []
    for raw in raws:
        frame = compress(raw)
        entries.append(PackEntry(digest(raw), builder.add(digest(raw), frame, len(raw)), len(frame), len(raw)))
    data, name = builder.finish()
    assert name == digest(data)
    return data, entries


def index_of(data: bytes) -> list[PackEntry]:
    found = pack_index(len(data), b"")
    while isinstance(found, int):
        found = pack_index(len(data), data[-found:])
    return found


@given(st.lists(st.binary(min_size=1, max_size=2000), max_size=10))
def test_a_pack_tells_what_is_in_it(raws: list[bytes]) -> None:
    data, entries = packed(raws)
    assert index_of(data) == entries
    assert [decompress(data[e.offset : e.offset + e.stored_length], e.raw_length) for e in entries] == raws


@given(st.binary(min_size=1, max_size=2000), st.data())
def test_a_frame_that_is_cut_or_longer_is_refused(raw: bytes, data: st.DataObject) -> None:
    frame = compress(raw)
    for wrong in (frame[: data.draw(st.integers(0, len(frame) - 1))], frame + b"\x00", frame + frame):
        with pytest.raises(MalformedObject):
            decompress(wrong, len(raw))
    with pytest.raises(MalformedObject):
        decompress(frame, len(raw) + 1)


def test_any_byte_changed_in_the_index_is_found() -> None:
    data, entries = packed([b"a" * 50, b"b" * 60])
    end = entries[-1].offset + entries[-1].stored_length
    for place in range(end, len(data)):
        changed = bytearray(data)
        changed[place] ^= 0x10
        with pytest.raises(MalformedObject):
            index_of(bytes(changed))


@pytest.mark.parametrize("data", [b"", b"QPK\x01", b"x" * 44, b"x" * 400])
def test_what_is_no_pack(data: bytes) -> None:
    with pytest.raises(MalformedObject):
        index_of(data)


def test_a_pack_takes_one_segment_however_large_and_then_keeps_to_its_size() -> None:
    builder = PackBuilder()
    large = bytes(PACK_BYTES + 1)
    assert builder.fits(large)
    builder.add(digest(b""), large, 1)
    assert not builder.fits(b"x")
