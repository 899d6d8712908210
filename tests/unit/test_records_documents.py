"""Documents: what is written is what OrientDB writes, and is read again as it was."""

import contextlib
import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiesce.errors import InvalidDocument
from quiesce.records import (
    RID,
    Byte,
    Custom,
    Document,
    EmbeddedSet,
    Float,
    LinkBag,
    LinkList,
    LinkMap,
    LinkSet,
    Long,
    Short,
    decode_document,
    encode_document,
    encode_key,
)

text = st.text(st.characters(exclude_categories=["Cs"]))
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=" ,=:"), min_size=1).filter(
    lambda name: name[0] != "@"
)
rids = st.builds(RID, st.integers(-1, 32767), st.integers(-1, (1 << 63) - 1))
doubles = st.floats()
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(  # noqa: DTZ001
    lambda m: m.replace(microsecond=m.microsecond // 1000 * 1000, tzinfo=UTC)
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 31), (1 << 31) - 1),
    st.builds(Long, st.integers(-(1 << 63), (1 << 63) - 1)),
    st.builds(Short, st.integers(-(1 << 15), (1 << 15) - 1)),
    st.builds(Byte, st.integers(-128, 127)),
    st.builds(Float, st.floats(width=32)),
    doubles,
    st.decimals(allow_nan=False, allow_infinity=False),
    text,
    moments,
    st.dates(),
    st.binary(),
    st.builds(Custom, st.binary()),
    rids,
)
keys = text.filter(lambda key: key != "@type")
links = st.one_of(
    st.builds(LinkList, st.lists(rids | st.none())),
    st.builds(LinkBag, st.lists(rids)),
    st.builds(LinkSet, st.sets(rids)),
    st.builds(LinkMap, st.dictionaries(keys, rids | st.none())),
)


# Equal in nothing but themselves, as the items of a Python set must be.
unequal = st.one_of(text, st.binary(), moments, st.dates(), st.builds(Custom, st.binary()))


def collections(documents: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    items = st.recursive(
        scalars | links | documents,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(keys, inner, max_size=3)
            | st.builds(EmbeddedSet, st.lists(st.lists(inner, max_size=2), min_size=1, max_size=3))
        ),
        max_leaves=6,
    )
    return st.one_of(
        st.lists(items, max_size=4),
        st.dictionaries(keys, items, max_size=4),
        st.sets(unequal, max_size=4),
        st.sets(st.integers(-5, 5), max_size=4),
        st.sets(st.builds(Short, st.integers(-5, 5)), max_size=4),
        st.sets(st.decimals(allow_nan=False, allow_infinity=False, places=2), max_size=4),
        st.builds(EmbeddedSet, st.lists(st.lists(scalars, max_size=2), min_size=1, max_size=3)),
    )


def documents_of(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Document]:
    fields = st.dictionaries(names, scalars | links | collections(inner) | inner, max_size=5)
    named = st.builds(lambda name, rest: {"@class": name, **rest}, text.filter(bool), fields)
    return st.builds(Document, fields | named)


documents = st.recursive(documents_of(st.nothing()), documents_of, max_leaves=4)


def typed(value: Any) -> Any:
    """Python's == takes 1, 1.0, True and Short(1) for one: compare the types, too."""
    match value:
        # Nothing but links: written as the collection of links.
        case [RID(), *_] if type(value) is list and all(type(item) is RID for item in value):
            return LinkList, value
        case dict() if value and type(value) is dict and all(type(item) is RID for item in value.values()):
            return typed(LinkMap(value))
        case Document() | LinkMap():
            return type(value), {key: typed(item) for key, item in value.items()}
        case dict():
            return dict, {key: typed(item) for key, item in value.items()}
        case set():
            return type(value), frozenset(map(typed, value))
        case RID():
            return value
        case list():
            return type(value), [typed(item) for item in value]
        case int() | float() | Decimal():
            kind = int if type(value) is Long and not -(1 << 31) <= value < 1 << 31 else type(value)
            return kind, str(value)
        case _:
            return type(value), value


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@given(documents)
def test_what_is_written_is_read_again(document: Document) -> None:
    body = encode_document(document)
    json.loads(body)
    assert typed(decode_document(body)) == typed(document)
    # Nothing wanders: an update with what was read changes no byte.
    assert encode_document(decode_document(body)) == body


@pytest.mark.parametrize(
    ("value", "written", "code"),
    [
        (1, "1", None),
        (-(1 << 31), "-2147483648", None),
        (1 << 31, "2147483648", "l"),
        (Long(1), "1", "l"),
        (Short(-7), "-7", "s"),
        (Byte(-128), "-128", "b"),
        (True, "true", None),
        (None, "null", None),
        (0.1, "0.1", "d"),
        (3.0, "3.0", "d"),
        (-0.0, "-0.0", "d"),
        (Float(0.1), "0.1", "f"),
        (Float(16777216.0), "16777216.0", "f"),
        (Decimal("1.10"), "1.10", "c"),
        (Decimal("1E+30"), "1E+30", "c"),
        (Decimal("12345678901234567890.123456789"), "12345678901234567890.123456789", "c"),
        (datetime(2014, 5, 13, 16, 53, 20, 123999, UTC), "1400000000123", "t"),
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), "0", "t"),
        (datetime(1969, 12, 31, 23, 59, 59, 999000, UTC), "-1", "t"),
        (date(1969, 12, 31), "-86400000", "a"),
        (b"", '""', "b"),
        (b"\x01", '"AQ=="', "b"),
        (Custom(b"\x01"), '"AQ=="', "u"),
        ("#5:0", '"#5:0"', None),
        (RID(5, 0), '"#5:0"', "x"),
        ([RID(5, 0), RID(5, 0)], '["#5:0","#5:0"]', "z"),
        ((RID(5, 0),), '["#5:0"]', "z"),
        (float("nan"), '"NaN"', "d"),
        (Float("-inf"), '"-Infinity"', "f"),
        ({RID(5, 1), RID(5, 0)}, '["#5:0","#5:1"]', "n"),
        ({"a": RID(5, 0)}, '{"a":"#5:0"}', "m"),
        (LinkBag([RID(5, 0)]), '["#5:0"]', "g"),
        ({2, 1}, "[1,2]", "e"),
        ([1, 2.5, "x"], '[1,2.5,"x"]', None),
        ({"k": [None]}, '{"k":[null]}', None),
        (Document(a=Short(1)), '{"@type":"d","@version":0,"a":1,"@fieldTypes":"a=s"}', None),
        (Document({"@class": "C"}), '{"@type":"d","@version":0,"@class":"C"}', None),
    ],
)
def test_how_values_are_written(value: Any, written: str, code: str | None) -> None:
    types = f',"@fieldTypes":"v={code}"' if code else ""
    body = f'{{"v":{written}{types}}}'.encode()
    assert encode_document({"v": value}) == body


@pytest.mark.parametrize(
    ("value", "written", "types"),
    [
        ([Decimal("1.50"), Decimal("2")], "[1.50,2]", "v==[*c]"),
        ([Decimal("1.50"), None], "[1.50,null]", "v==[*c]"),
        ([1, Short(2), "x", b""], '[1,2,"x",""]', "v==[;s;;b]"),
        ([1, 1 << 40, 0.5, True, "x", None], '[1,1099511627776,0.5,true,"x",null]', None),
        ([float("inf"), Float(1)], '["Infinity",1.0]', "v==[d;f]"),
        ({"a": Long(1), "b": 2}, '{"a":1,"b":2}', "v=={a:l}"),
        ({"a,b=c d": Byte(1), "e": 2}, '{"a,b=c d":1,"e":2}', "v=={a%2Cb%3Dc%20d:b}"),
        ({"a": date(1970, 1, 1), "b": date(1970, 1, 2)}, '{"a":0,"b":86400000}', "v=={*a}"),
        ({Short(2), Short(1)}, "[1,2]", "v=e,v==e[*s]"),
        ([[RID(5, 0)], [RID(5, 1)]], '[["#5:0"],["#5:1"]]', "v==[*z]"),
        ([RID(5, 0), "#5:0"], '["#5:0","#5:0"]', "v==[x]"),
        ([{"k": [Float(1)]}], '[{"k":[1.0]}]', "v==[*{*[*f]}]"),
        ([{1, 2}], "[[1,2]]", "v==[*e]"),
    ],
)
def test_types_inside_collections(value: Any, written: str, types: str | None) -> None:
    kept = f',"@fieldTypes":"{types}"' if types else ""
    assert encode_document({"v": value}) == f'{{"v":{written}{kept}}}'.encode()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2014-05-13 16:53:20", datetime(2014, 5, 13, 16, 53, 20, tzinfo=UTC)),
        ("2014-05-13 16:53:20:123", datetime(2014, 5, 13, 16, 53, 20, 123000, tzinfo=UTC)),
    ],
)
def test_moments_as_old_engines_spell_them(text: str, moment: datetime) -> None:
    assert decode_document(f'{{"v":"{text}","@fieldTypes":"v=t"}}'.encode()) == {"v": moment}


@pytest.mark.parametrize("shape", ["[", "[c", "{c}", "[c]]", "{a:c", "[*c;d]", "]", "[" * 300, "{a:%ff}"])
def test_a_shape_that_is_none(shape: str) -> None:
    with pytest.raises(InvalidDocument):
        decode_document(f'{{"v":[1],"@fieldTypes":"v=={shape}"}}'.encode())


def test_the_class_comes_first_and_all_types_in_one_list() -> None:
    body = encode_document({"a": 1.5, "@class": "Person", "b": Short(1)})
    assert body == b'{"@class":"Person","a":1.5,"b":1,"@fieldTypes":"a=d,b=s"}'
    assert decode_document(body).class_name == "Person"


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"a b": 1}, "no blank"),
        ({"@rid": "#1:1"}, "OrientDB's own"),
        ({"": 1}, "not empty"),
        ({1: 1}, "must be a text"),
        ({"a": object()}, "a: OrientDB has no type for Python's object"),
        ({"a": 1 << 63}, "64 bits"),
        ({"a": Byte(128)}, "8 bits"),
        ({"a": Decimal("Infinity")}, "never Infinity"),
        ({"a": datetime(2020, 1, 1)}, "no time zone"),  # noqa: DTZ001
        ({"a": [1, Decimal("NaN")]}, r"a\[1\]: a DECIMAL is never NaN"),
        ({"a": {"k": [object()]}}, r"a\['k'\]\[0\]: "),
        ({"a": {"@type": 1}}, r"records\.Document"),
        ({"a": {1: 1}}, "keys of a map"),
        ({"a": Document(b=[Document(c=object())])}, r"a\.b\[0\]\.c: "),
        ({"a": "\ud800"}, "surrogate"),
        ({"@class": 5}, "@class"),
    ],
)
def test_what_cannot_be_written_is_said_with_its_place(document: Any, complaint: str) -> None:
    with pytest.raises(InvalidDocument, match=complaint):
        encode_document(document)


def test_nesting_without_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidDocument, match="too deeply"):
        encode_document({"a": endless})
    with pytest.raises(InvalidDocument):
        decode_document(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


@pytest.mark.parametrize(
    ("body", "value"),
    [
        # One code for two types: a number or 1 to 3 characters are a BYTE, anything else is BINARY.
        (b'{"v":-128,"@fieldTypes":"v=b"}', Byte(-128)),
        (b'{"v":"7","@fieldTypes":"v=b"}', Byte(7)),
        (b'{"v":"","@fieldTypes":"v=b"}', b""),
        (b'{"v":"AQ==","@fieldTypes":"v=b"}', b"\x01"),
        # Engines before 2.0 allowed `=` in a name and quoted what JSON lacks.
        (b'{"v":1,"@fieldTypes":"na=me=l,v=l"}', Long(1)),
        (b'{"v":"Infinityd","@fieldTypes":"v=d"}', float("inf")),
        (b'{"v":null,"@fieldTypes":"v=l"}', None),
        (b'{"@fieldTypes":"v=s", "v" : 1 }', Short(1)),
        (b'{"v":0.1000000000000000000000000001,"@fieldTypes":"v=c"}', Decimal("0.1000000000000000000000000001")),
        (b'{"v":123456789012345678901234567890}', 123456789012345678901234567890),
        (b'{"v":[1,true],"@fieldTypes":"v=e"}', EmbeddedSet([1, True])),
        (b'{"v":[],"@fieldTypes":"v=n"}', LinkSet()),
        (b'{"v":[null,"#1:2"],"@fieldTypes":"v=z"}', LinkList([None, RID(1, 2)])),
        (b'{"v":86399999,"@fieldTypes":"v=a"}', date(1970, 1, 1)),
        (b'{"v":-1,"@fieldTypes":"v=a"}', date(1969, 12, 31)),
    ],
)
def test_what_engines_wrote_is_read(body: bytes, value: Any) -> None:
    assert typed(decode_document(body)["v"]) == typed(value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"v":1}x',
        b'{"v":1,"@fieldTypes":"v=q"}',
        b'{"v":"x","@fieldTypes":"v=l"}',
        b'{"v":40000,"@fieldTypes":"v=s"}',
        b'{"v":"***","@fieldTypes":"v=u"}',
        b'{"v":"5:0","@fieldTypes":"v=x"}',
        b'{"v":1e999}',
        b'{"v":999999999999999999,"@fieldTypes":"v=t"}',
        b'{"v":1,"@fieldTypes":5}',
        b'{"v":"\xff"}',
    ],
)
def test_a_damaged_body_is_a_typed_error(body: bytes) -> None:
    with pytest.raises(InvalidDocument):
        decode_document(body)


@given(st.binary(max_size=60) | text.map(str.encode))
def test_no_body_makes_anything_but_a_document_or_a_typed_error(body: bytes) -> None:
    with contextlib.suppress(InvalidDocument):
        assert isinstance(decode_document(body), Document)


def test_index_keys() -> None:
    key = encode_key([1, "x", None, RID(5, 1), Decimal("1.10"), date(1970, 1, 2), b"\x01"])
    assert key == b'[1,"x",null,"#5:1",1.10,86400000,"AQ=="]'
    with pytest.raises(InvalidDocument):
        encode_key([object()])
