"""quiesce._native.cut_records: what it takes is what the slow way makes of it; the rest it leaves alone."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quiesce._native import cut_records
from quiesce.orientdb.escapes import Pairs, pairs
from quiesce.orientdb.oddities import Oddities
from quiesce.orientdb.record_text import DOCUMENT, ExportedRecord, NotARecord, parse_record

KIND = DOCUMENT
RECORD = (
    '{"@type":"d","@rid":"#14:0","@version":2,"@class":"A","@fieldTypes":"a=l","a":1,"t":"\\u00e9\\"x\\ud83d\\ude00é",'
    '"e":{"@type":"d","@version":0,"@fieldTypes":"x=l","x":[-1.5e+3,true,null,{}],"@fieldTypes":"x=l,y=s","y":1},'
    '"@fieldTypes":"a=l,b=e"}'
)


def cut(
    text: str | bytes, *, most: int = 100, separated: bool = True
) -> tuple[list[ExportedRecord], int, bool, int, int]:
    data = text if isinstance(text, bytes) else text.encode()
    rows, at, separated, commas, twice = cut_records(data, 0, 1_000, separated, most, KIND)
    return [ExportedRecord._make(one) for one in rows], at, separated, commas, twice


def test_takes_what_engines_write() -> None:
    [record], at, separated, commas, twice = cut(RECORD)
    assert at == len(RECORD.encode())
    assert (separated, commas, twice) == (False, 0, 2)
    assert record[:4] == (14, 0, 2, KIND)
    assert record.byte == 1_000
    assert record.body.decode() == (
        '{"@class":"A","a":1,"t":"\\u00e9\\"x\\ud83d\\ude00é",'
        '"e":{"@type":"d","@version":0,"x":[-1.5e+3,true,null,{}],"y":1,"@fieldTypes":"x=l,y=s"},'
        '"@fieldTypes":"a=l,b=e"}'
    )


def test_any_order_and_white_space() -> None:
    [record], *_ = cut(' {\n"b" : [ 1 , { } ] ,\t"@rid":"#7:9", "@class" : "x y" ,"@fieldTypes":"b=e" , "c":" "}\r\n,')
    assert record[:3] == (7, 9, 1)
    assert record.body == b'{"@class":"x y","b":[1,{}],"c":" ","@fieldTypes":"b=e"}'
    assert cut('{"@rid":"#7:9"}')[0][0].body == b"{}"


def test_commas() -> None:
    one = '{"@rid":"#1:1"}'
    records, at, separated, commas, _ = cut(f"{one},,{one}\n,,,{one} ,")
    assert len(records) == 3
    assert at == len(f"{one},,{one}\n,,,{one}")
    assert (separated, commas) == (False, 3)
    assert len(cut(one + one)[0]) == 1
    assert cut(one, separated=False)[0] == []
    assert len(cut(",".join([one] * 9), most=4)[0]) == 4


def test_leaves_what_is_cut_off() -> None:
    data = RECORD.encode()
    for end in range(len(data)):
        records, at, separated, *_ = cut(data[:end])
        assert (records, at, separated) == ([], 0, True)


@pytest.mark.parametrize(
    "text",
    [
        '{"@type":"b","@rid":"#1:1","value":""}',
        '{"@type":"d","a":1}',
        '{"@type":"d","@rid":"#99999:1"}',
        '{"@type":"d","@rid":"#1:9223372036854775808"}',
        '{"@type":"d","@rid":"#1:1","@version":2147483648}',
        '{"@type":"d","@rid":"#1:1","@version":-1}',
        '{"@type":"d","@rid":"#1:1","@rid":"#1:2"}',
        '{"@type":"d","@rid":"#1:1","a":NaN}',
        '{"@type":"d","@rid":"#1:1","a":01}',
        '{"@type":"d","@rid":"#1:1","a":"\\ud800"}',
        '{"@type":"d","@rid":"#1:1","a":"\\x"}',
        '{"@type":"d","@rid":"#1:1","a":"\n"}',
        '{"@type":"d","@rid":"#1:1","a":1,}',
        '{"@type":"d","@rid":"#1:1","\\u0040class":"A"}',
        '{"@type":"d","@rid":"#1:1","@cl\\u0061ss":"A"}',
        '{"@type":"d","@rid":"#1:1","@fieldTypes":"a=l","@fieldTypes":"b=l"}',
        '{"@type":"d","@rid":"#1:1","a":' + "[" * 201 + "]" * 201 + "}",
        b'{"@type":"d","@rid":"#1:1","a":"\xff"}',
        b'{"@type":"d","@rid":"#1:1","\xff":1}',
    ],
)
def test_leaves_what_is_unusual(text: str | bytes) -> None:
    assert cut(text) == ([], 0, True, 0, 0)


def test_deep_values_do_not_crash() -> None:
    for bracket in ("[", '{"a":'):
        assert cut('{"@rid":"#1:1","a":' + bracket * 1_000_000)[0] == []


def content(value: object) -> object:
    """What a document says, whatever empty entries its @fieldTypes have."""
    if isinstance(value, Pairs):
        named = {key: content(item) for key, item in value}
        types = named.get("@fieldTypes")
        return named | {"@fieldTypes": [*filter(None, types.split(","))] if isinstance(types, str) else types}
    return [content(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=2_000, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_what_it_takes_is_what_the_slow_way_makes_of_it(seed: int) -> None:
    dice = random.Random(seed)
    data = bytearray(RECORD.encode())
    for _ in range(dice.randrange(4)):
        at = dice.randrange(len(data))
        data[at : at + dice.randrange(3)] = dice.choice(
            [b"", b'"', b"{", b"}", b"\\", b"\xff", b"1", b",", b"[", b"]", b":", b" ", b"-", b"e", b"\xc3\xa9", b"@"]
        )
    text = bytes(data)
    records, at, *_ = cut(text)
    if not records:
        return
    begin = text.index(b"{")
    try:
        slow = parse_record(text[begin:at], 1_000 + begin, Oddities())
    except NotARecord as error:
        raise AssertionError(text[begin:at]) from error
    assert records[0]._replace(body=b"") == slow._replace(body=b"")
    assert content(pairs(records[0].body)) == content(pairs(slow.body))
    json.loads(records[0].body)
