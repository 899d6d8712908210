"""quiesce.orientdb.reader on damaged files: a typed error, or what the reference reader makes of them.

READER_DAMAGES=10000 tries so many damages instead of some hundreds, and cuts a whole real file at every byte.
"""

from __future__ import annotations

import gzip
import os
import random
import tracemalloc
from pathlib import Path

import pytest
from orientdb_reading import assert_same_as_reference, parts

from quiesce.errors import MalformedExport, QuiesceError, TruncatedExport

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DAMAGES = int(os.environ.get("READER_DAMAGES", "600"))
BASE = (
    b'{"info":{"exporter-version":13,"x":-1.5e3},"clusters":[{"name":"a","id":14}],"records":['
    b'{"@type":"d","@rid":"#14:0","@version":1,"@class":"A","@fieldTypes":"b=l","a":[1,{"@type":"d","@version":0,'
    b'"@fieldTypes":"x=l","x":1,"@fieldTypes":"x=l"}],"b":7,"t":"\\u00e9\\"\xc3\xa9","@fieldTypes":"b=l,c=e"},,'
    b'{ "@rid" : "#14:1", "n": NaN, "@type":"d", "d": -0.0 },{"@type":"b","@rid":"#14:2","@version":2,"value":"AAAA"}'
    b'],"brokenRids":[#1:2],"indexes":[],"more":{"k":[true,false,null]}}'
)
PIECES = [
    *(bytes([one]) for one in b'"{}[]:,\\@#=-+.eE01 \n\t\x00\xff'), b"", b"", b"\xc3\xa9", b"null", b"NaN", b"\\ud800",
    b'"@rid":"#1:1",', b'"@type":"d",', b",,", b'"', b"}",
]  # fmt: skip


def damaged(dice: random.Random) -> bytes:
    data = bytearray(BASE)
    for _ in range(dice.randrange(1, 4)):
        at, end = dice.randrange(len(data)), dice.choice([0, 1, 1, 2, dice.randrange(40)])
        if dice.random() < 0.1:
            start = dice.randrange(len(data))
            data[at:at] = data[start : start + dice.randrange(60)]
        else:
            data[at : at + end] = dice.choice(PIECES)
    return bytes(data)


def refusal(path: Path, chunk_bytes: int) -> QuiesceError | None:
    """Why a file is refused; any other error than those of a damaged file is a fault."""
    try:
        parts(path, chunk_bytes)
    except (MalformedExport, TruncatedExport) as error:
        return error
    return None


@pytest.mark.timeout(600)
def test_damage_is_a_typed_error_or_a_right_reading(tmp_path: Path) -> None:
    path = tmp_path / "damaged.json"
    first = random.randrange(2**32)
    read = 0
    for seed in range(first, first + DAMAGES):
        dice = random.Random(seed)
        data = damaged(dice)
        path.write_bytes(gzip.compress(data, 1) if dice.random() < 0.1 else data)
        chunk_bytes = dice.choice([1, 16, 1 << 20])
        refused = refusal(path, chunk_bytes)
        if refused is not None:
            assert int(refused.fields["byte"]) <= len(data), seed
            continue
        read += 1
        try:
            assert_same_as_reference(path, data.decode(), chunk_bytes)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {data!r}") from error
    # Or all that it tried were refused, and nothing was compared.
    assert read > DAMAGES // 50


@pytest.mark.timeout(600)
def test_a_real_file_cut_anywhere(tmp_path: Path) -> None:
    data = (EXAMPLES / "orient-3.2-template.json").read_bytes().rstrip()
    path = tmp_path / "cut.json"
    every = 1 if DAMAGES >= 10_000 else 97
    for end in range(0, len(data), every):
        path.write_bytes(data[:end])
        with pytest.raises(TruncatedExport) as caught:
            parts(path)
        assert caught.value.fields["byte"] == str(end)


def test_memory_is_bounded_by_the_largest_value(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    record = b'{"@type":"d","@rid":"#14:%d","@version":1,"t":"%b"}'
    with path.open("wb") as file:
        file.write(b'{"records":[')
        for position in range(30_000):
            file.write((b"," if position else b"") + record % (position, b"x" * 1_000))
        file.write(b"]}")
    tracemalloc.start()
    try:
        from quiesce.orientdb.reader import ExportReader

        with ExportReader(path, chunk_bytes=1 << 16) as reader:
            count = sum(len(part) for part in reader if isinstance(part, list))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 30_000
    assert peak < 4 << 20
