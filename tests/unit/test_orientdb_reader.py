"""quiesce.orientdb.reader: against a slow, obvious reader, on generated files, cut files and real ones."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from orientdb_reading import assert_same_as_reference, parts

from quiesce.errors import FileUnusable, MalformedExport, TruncatedExport
from quiesce.orientdb.reader import ExportReader

# --- files as an engine might write them

names = st.text(st.characters(exclude_characters='=,"\\@', exclude_categories=["Cs"]), min_size=1, max_size=6)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["#12:3", '},,{"@type":"d","@rid":"#1:1"', "\\", '"', "@home", "]}", "\u2028\U0001f600", "\b\f\x7f", '{"@type":"d"']
)
numbers = st.sampled_from(
    ["0", "-0.0", "1.0E300", "4.9E-324", "1E+400", "123456789012345678901234567890", "3.10", "NaN"]
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), texts, numbers.map(lambda text: ("raw", text))
)
types = st.lists(st.tuples(names, st.sampled_from("lfdsbctxnzge")), max_size=3, unique_by=lambda pair: pair[0])


@st.composite
def documents(draw: st.DrawFn, values: st.SearchStrategy[object], *, embedded: bool) -> list[tuple[str, object]]:
    """A document as a list of keys and values: @-keys in the usual places or anywhere, @fieldTypes up to twice."""
    fields = list(draw(st.dictionaries(names, values, max_size=4)).items())
    listed = [f"{name}={code}" for name, code in draw(types)]
    lead: list[tuple[str, object]] = [("@type", "d")]
    lead += [("@version", ("raw", "0" if embedded else str(draw(st.integers(0, 1000)))))]
    if draw(st.booleans()):
        lead.append(("@class", draw(st.sampled_from(["City", "Ünï", 'a"b']))))
    if draw(st.booleans()):
        lead.append(("@fieldTypes", ",".join(listed[: draw(st.integers(0, len(listed)))])))
    late = [("@fieldTypes", ",".join(listed))] if draw(st.booleans()) else []
    if draw(st.integers(0, 4)) == 0:
        return [lead[0], *draw(st.permutations([*lead[1:], *fields, *late]))]
    return [*lead, *fields, *late]


values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(names, inner, max_size=3).map(lambda one: ("map", list(one.items()))),
        documents(inner, embedded=True).map(lambda one: ("map", one)),
    ),
    max_leaves=6,
)


def write(value: object, space: random.Random | None, ascii_only: bool) -> str:
    gap = (lambda: "".join(space.choices(" \t\r\n", k=space.randrange(3)))) if space else (lambda: "")
    if isinstance(value, tuple) and value[0] == "raw":
        return str(value[1])
    if isinstance(value, tuple):
        pairs = [
            gap()
            + json.dumps(key, ensure_ascii=ascii_only)
            + gap()
            + ":"
            + gap()
            + write(item, space, ascii_only)
            + gap()
            for key, item in value[1]
        ]
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(gap() + write(item, space, ascii_only) + gap() for item in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


@st.composite
def exports(draw: st.DrawFn) -> str:
    space = draw(st.none() | st.randoms(use_true_random=False))
    ascii_only = draw(st.booleans())
    records = []
    for position, fields in enumerate(draw(st.lists(documents(values, embedded=False), max_size=5))):
        fields.insert(draw(st.integers(1, len(fields))) if draw(st.booleans()) else 1, ("@rid", f"#14:{position}"))
        records.append(write(("map", fields), space, ascii_only))
    separator = draw(st.sampled_from([",", ",,", "\n,,", " , "]))
    sections = [
        '"info":' + write(("map", [("exporter-version", 13), ("name", draw(texts))]), space, ascii_only),
        '"records":[' + separator.join(records) + "]",
        '"brokenRids":' + draw(st.sampled_from(["[]", "[#1:2,#3:4]", '["#1:2"]', "[ #1:2 ]"])),
        '"whatever":' + write(draw(values), space, ascii_only).replace("NaN", "0"),
    ]
    chosen = draw(st.permutations(sections))[: draw(st.integers(1, 4))]
    return draw(st.sampled_from(["", "\ufeff"])) + "{" + ",".join(chosen) + "}" + draw(st.sampled_from(["", "\n"]))


@settings(max_examples=250, deadline=None)
@given(text=exports(), chunk_bytes=st.integers(1, 200), packed=st.booleans())
@example(text='{"whatever":-0.0}', chunk_bytes=1, packed=False)
@example(text='{"whatever":1e+3}', chunk_bytes=1, packed=True)
def test_any_file_reads_as_the_reference_reads_it(
    tmp_path_factory: pytest.TempPathFactory, text: str, chunk_bytes: int, packed: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "export.json"
    data = text.encode()
    path.write_bytes(gzip.compress(data, 1) if packed else data)
    assert_same_as_reference(path, text, chunk_bytes)


@pytest.mark.parametrize("chunk_bytes", [1, 3, 64, 4096, 1 << 20])
def test_template_in_any_chunks(shared: Path, chunk_bytes: int) -> None:
    path = shared / "orientdb-exports" / "templates" / "orient-3.2-template.json"
    assert_same_as_reference(path, path.read_text(), chunk_bytes)


def test_every_real_file_reads_as_the_reference_reads_it(shared: Path) -> None:
    folder = shared / "orientdb-exports"
    for path in sorted([*folder.glob("[!w]*.json*"), *folder.glob("*/*.json*")]):
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
        assert_same_as_reference(path, text)


def test_types_of_a_field_without_a_name_are_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    text = '{"records":[{"@rid":"#1:1","@fieldTypes":"x,,=l","":1,"x":1,"@fieldTypes":"x=l"}]}'
    path.write_text(text)
    assert_same_as_reference(path, text)


def test_world_by_cluster(shared: Path) -> None:
    _, records = parts(shared / "orientdb-exports" / "world-3.2.34.json.gz")
    assert len(records) == 79_508
    # 3 of them are the engine's own.
    assert Counter(one.cluster for one in records) == {
        0: 3, 3: 20, 4: 4, 5: 3, 6: 3, 16: 126, 17: 126, 18: 17_003, 19: 17_003, 20: 3_942, 21: 3_942,
        24: 17_003, 25: 17_003, 26: 1_664, 27: 1_663,
    }  # fmt: skip
    andorra = next(one for one in records if one[:2] == (16, 0))
    assert andorra.version == 3
    assert andorra.body == (
        b'{"@class":"Country","name":"Andorra","iso":"AD","iso3":"AND","population":77006,"areakm2":468,'
        b'"languages":["ca"],"names":{"currency":"Euro","phone":"376","tld":".ad"},'
        b'"neighbours":["#16:37","#17:33"],"capital":"#19:0",'
        b'"@fieldTypes":"population=l,areakm2=c,languages=e,neighbours=n,capital=x"}'
    )
    # One @fieldTypes a document, also in those that are embedded.
    city = next(one for one in records if one[:2] == (18, 0))
    assert city.body.count(b"@fieldTypes") == 2
    assert city.body.count(b'"at":{"@type":"d","@version":0,"@class":"Coordinates","lat":42.50729,') == 1


# --- files that are not whole, or no export


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, bytes]:
    data = (
        b'{"info":{"exporter-version":13,"x":-1.5e3},"clusters":[{"name":"a","id":14}],"records":['
        b'{"@type":"d","@rid":"#14:0","@version":1,"@class":"A","name":"\\u00e9\\"x","n":true,"m":null},,'
        b'{"@type":"b","@rid":"#14:1","@version":2,"value":"AAAA"}],"brokenRids":[#1:2],"indexes":[]}'
    )
    return tmp_path / "small.json", data


@pytest.mark.parametrize("chunk_bytes", [1, 1 << 20])
def test_cut_at_every_byte(small: tuple[Path, bytes], chunk_bytes: int) -> None:
    path, data = small
    for end in range(len(data)):
        path.write_bytes(data[:end])
        with pytest.raises(TruncatedExport) as caught:
            parts(path, chunk_bytes)
        assert caught.value.fields["byte"] == str(end)
        # From the end of its id on, the record that is cut off is named.
        inside = data.index(b"#14:1") + 6 <= end < data.index(b"]", data.index(b"#14:1"))
        assert ("record #14:1" in str(caught.value)) == inside
    path.write_bytes(data)
    assert len(parts(path, chunk_bytes)[1]) == 2


def test_gzip_cut_at_every_byte(small: tuple[Path, bytes]) -> None:
    path, data = small
    packed = gzip.compress(data, mtime=0)
    for end in range(2, len(packed)):
        path.write_bytes(packed[:end])
        with pytest.raises(TruncatedExport):
            parts(path)


def test_damaged_gzip(small: tuple[Path, bytes]) -> None:
    path, data = small
    packed = bytearray(gzip.compress(data))
    packed[-6] ^= 1
    path.write_bytes(packed)
    with pytest.raises(MalformedExport, match="gzip compression is damaged"):
        parts(path)


def test_joined_and_padded_gzip(small: tuple[Path, bytes]) -> None:
    path, data = small
    path.write_bytes(gzip.compress(data[:50]) + gzip.compress(data[50:]) + bytes(20))
    assert len(parts(path)[1]) == 2


@pytest.mark.parametrize(
    ("text", "section", "byte", "says"),
    [
        ('{"info":{"a":x}}', "info", 13, "expecting value"),
        ('{"info":{},"info":{}}', "(after info)", 17, "twice"),
        ('{"info":{}} x', "(end)", 12, "follows"),
        ('{"info":{} "schema":{}}', "(after info)", 11, "comma"),
        ('{"records":[{"@type":"d","@rid":"#1:2"} {"@type":"d","@rid":"#1:3"}]}', "records", 40, "comma"),
        ('{"records":[{"@type":"d","@version":1}]}', "records", 12, "no @rid"),
        ('{"records":[{"@type":"d","@rid":"#99999:2"}]}', "records", 12, "out of range"),
        ('{"records":[{"@type":"q","@rid":"#9:2"}]}', "records", 12, "unknown type 'q'"),
        ('{"records":[{"@type":"b","@rid":"#9:2","value":"A"}]}', "records", 12, "base64"),
        ('{"records":[{"@type":"d","@rid":"#9:2","@version":1,"a":01}]}', "records", 57, "delimiter"),
        ('{"records":[{"@type":"d","@rid":"#9:2","@version":1.5,"a":1}]}', "records", 12, "no integer"),
        ('{"records":[{"@type":"d","@rid":"#9:2","@version":1,"a":"\\ud800"}]}', "records", 12, "#9:2"),
        ('{"records":[{"@type":"d","@rid":"#9:2","@class":7}]}', "records", 12, "@class"),
        ('{"records":[{"@type":"d","@version":1, "@rid" : "#9:2","a":tru}]}', "records", 59, "record #9:2: expecting"),
        ('{"records":[{"@type":"d","@rid":"#9:2"}{"@rid":"#9:3"}]}', "records", 39, "record #9:3: a comma"),
        ('{"records":[{"@rid":"#9:2","e":{"@fieldTypes":1}}]}', "records", 12, "record #9:2: @fieldTypes is no string"),
        ('{"records":[7]}', "records", 12, "record expected"),
        ('{"records":{}}', "records", 11, "list of records"),
        ("[]", "(start)", 0, "brace"),
        ("PK\x03\x04", "(start)", 0, "BACKUP"),
    ],
)  # fmt: skip
def test_says_what_is_wrong_and_where(tmp_path: Path, text: str, section: str, byte: int, says: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(MalformedExport, match=says) as caught:
        parts(path)
    assert caught.value.fields["section"] == section
    assert caught.value.fields["byte"] == str(byte)


def test_what_is_no_record_can_be_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text('{"records":[{"@rid":"#9:1"},{"@rid":"#9:2","@class":7},{"@version":1},,{"@rid":"#9:3"}]}')
    refused: list[tuple[int, str, str]] = []
    with ExportReader(path, refused=lambda byte, rid, error: refused.append((byte, rid, str(error)))) as reader:
        records = [one for part in reader if isinstance(part, list) for one in part]
    assert [one.position for one in records] == [1, 3]
    assert refused == [(28, "#9:2", "@class is no string: 7"), (55, "", "a record has no @rid")]


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(b'{"records":[{"@type":"d","@rid":"#9:2","@version":1,"a":"\xff"}]}')
    with pytest.raises(MalformedExport, match="utf-8"):
        parts(path)


def test_deep_nesting_is_an_error_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_text('{"records":[{"@type":"d","@rid":"#9:2","@version":1,"a":' + "[" * 100_000 + "]" * 100_000 + "}]}")
    with pytest.raises(MalformedExport, match="nested too deeply"):
        parts(path)


@pytest.mark.parametrize("depth", [100, 200, 201, 300, 500, 900, 2_000])
@pytest.mark.parametrize("brackets", ["[]", '{"a":}'])
def test_any_depth_is_read_or_refused(tmp_path: Path, depth: int, brackets: str) -> None:
    path = tmp_path / "deep.json"
    value = brackets[:-1] * depth + "1" + brackets[-1] * depth
    path.write_text('{"records":[{"@type":"d","@rid":"#9:2","@version":1,"a":' + value + "}]}")
    try:
        [record] = parts(path)[1]
    except MalformedExport:
        refused = True
    else:
        refused = False
        assert record.body.decode() == f'{{"a":{value}}}'
    assert not refused or depth > 200


def test_a_value_without_end_is_not_held_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    path.write_text('{"info":{"a":"' + "x" * 10_000)
    with (
        pytest.raises(FileUnusable, match="larger than 1000"),
        ExportReader(path, chunk_bytes=64, value_bytes=1000) as r,
    ):
        list(r)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match="No such file"):
        ExportReader(tmp_path / "absent")
    with pytest.raises(FileUnusable, match="directory"):
        ExportReader(tmp_path)
