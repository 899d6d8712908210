"""Index keys: their order is the order of the values, and they can be read back."""

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiesce.indexing.key import KEY_TYPES, KeyField, UnfitKey, decode_key, encode_key, key_text, one_field_encoder

LONGS = st.integers(-(1 << 63), (1 << 63) - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False) | st.decimals(-5, 5, places=3)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = {"LONG": LONGS, "DOUBLE": FLOATS, "DECIMAL": DECIMALS, "STRING": TEXTS, "BOOLEAN": st.booleans()}
TYPED = st.sampled_from(sorted(VALUES)).flatmap(
    lambda name: st.tuples(st.just(name), VALUES[name] | st.none(), VALUES[name] | st.none())
)


def sign(left: Any, right: Any) -> int:
    return (left > right) - (left < right)


def compared(left: Any, right: Any) -> int:
    """Order as documented: null first; strings by code points."""
    if left is None or right is None:
        return sign(left is not None, right is not None)
    if isinstance(left, str):
        return sign([ord(c) for c in left], [ord(c) for c in right])
    return sign(left, right)


@given(TYPED)
def test_order_of_keys_is_order_of_values(typed: tuple[str, Any, Any]) -> None:
    name, left, right = typed
    field = [KeyField(name)]
    assert sign(encode_key(field, [left]), encode_key(field, [right])) == compared(left, right)


@given(TYPED, TYPED)
def test_composite_order_is_field_by_field(first: tuple[str, Any, Any], second: tuple[str, Any, Any]) -> None:
    fields = [KeyField(first[0]), KeyField(second[0])]
    left, right = encode_key(fields, [first[1], second[1]]), encode_key(fields, [first[2], second[2]])
    assert sign(left, right) == (compared(first[1], first[2]) or compared(second[1], second[2]))
    # A record id follows in a non-unique index: no key may begin another.
    assert left == right or not (left.startswith(right) or right.startswith(left))


@given(TYPED, TYPED)
def test_round_trip(first: tuple[str, Any, Any], second: tuple[str, Any, Any]) -> None:
    fields = [KeyField(first[0]), KeyField(second[0])]
    key = encode_key(fields, [first[1], second[1]])
    assert decode_key(fields, key + b"tail") == ([first[1], second[1]], len(key))


@given(st.binary(max_size=9), st.binary(max_size=9))
def test_binary_order(left: bytes, right: bytes) -> None:
    import base64

    field = [KeyField("BINARY")]
    keys = [encode_key(field, [base64.b64encode(raw).decode()]) for raw in (left, right)]
    assert sign(*keys) == sign(left, right)
    assert decode_key(field, keys[0])[0] == [base64.b64encode(left).decode()]


@given(st.tuples(st.integers(0, 32767), st.integers(0, 1 << 62)), st.tuples(st.integers(0, 32767), st.integers(0, 9)))
def test_link_order(left: tuple[int, int], right: tuple[int, int]) -> None:
    keys = [encode_key([KeyField("LINK")], [f"#{c}:{p}"]) for c, p in (left, right)]
    assert sign(*keys) == sign(left, right)


@given(st.binary(max_size=40))
def test_any_bytes_decode_or_are_refused(raw: bytes) -> None:
    for name in ("LONG", "STRING", "DECIMAL", "LINK", "ANY", "BOOLEAN"):
        try:
            decode_key([KeyField(name)], raw)
        except UnfitKey:
            continue


def test_equal_numbers_are_one_key() -> None:
    decimal = [KeyField("DECIMAL")]
    assert len({encode_key(decimal, [value]) for value in (1, Decimal("1.00"), Decimal("10E-1"))}) == 1
    assert encode_key([KeyField("DOUBLE")], [-0.0]) == encode_key([KeyField("DOUBLE")], [0])
    assert encode_key([KeyField("LONG")], [Decimal("5.0")]) == encode_key([KeyField("LONG")], [5])


def test_what_is_no_number_of_json() -> None:
    keys = [encode_key([KeyField("DOUBLE")], [value]) for value in ("-Infinity", -1e308, 1e308, "Infinity", "NaN")]
    assert keys == sorted(keys)
    assert key_text([KeyField("DOUBLE")], keys[-1]) == "NaN"


def test_case_insensitive() -> None:
    field = [KeyField("STRING", case_insensitive=True)]
    assert encode_key(field, ["Straße"]) == encode_key(field, ["STRASSE"])
    assert encode_key([KeyField("STRING")], ["a"]) != encode_key([KeyField("STRING")], ["A"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INTEGER", 1 << 31),
        ("INTEGER", "1"),
        ("INTEGER", True),
        ("SHORT", 40_000),
        ("LONG", Decimal("1.5")),
        ("LONG", Decimal("1E+9999999")),
        ("DOUBLE", Decimal("1E+400")),
        ("DOUBLE", "x"),
        ("DECIMAL", "1"),
        ("DECIMAL", Decimal("1E+99999999999999")),
        ("LINK", "12:3"),
        ("LINK", "#-1:-1"),
        ("LINK", "#40000:1"),
        ("BINARY", "%%"),
        ("BOOLEAN", 1),
        ("STRING", ["a"]),
        ("STRING", "x" * 20_000),
        ("ANY", {}),
    ],
)
def test_unfit_values_are_refused(name: str, value: object) -> None:
    with pytest.raises(UnfitKey):
        encode_key([KeyField(name)], [value])


def test_text_for_people() -> None:
    fields = [KeyField("STRING"), KeyField("LONG")]
    assert key_text(fields, encode_key(fields, ["Zoë", 3])) == '["Zoë", 3]'
    assert key_text(fields[:1], encode_key(fields[:1], ["x" * 999]) + b"rid").endswith("…")


@given(
    st.sampled_from(sorted(KEY_TYPES)),
    st.booleans(),
    LONGS | st.integers(-130, 130) | FLOATS | DECIMALS | TEXTS | st.booleans() | st.none() | st.text("a\0é", max_size=3)
    | st.sampled_from([sign * (1 << bits) + one for bits in (7, 15, 31, 63) for sign in (1, -1) for one in (-1, 0)])
    | st.sampled_from(["x" * 4_092, "é" * 4_093, "x" * 16_380, "x" * 16_382, "\U0001f600" * 4_092, "#1:2"]),
)  # fmt: skip
def test_an_encoder_of_one_field_does_the_same(key_type: str, case_insensitive: bool, value: Any) -> None:
    field = KeyField(key_type, case_insensitive)
    try:
        expected = encode_key((field,), (value,))
    except UnfitKey as error:
        with pytest.raises(UnfitKey, match=re.escape(str(error))):
            one_field_encoder(field)(value)
    else:
        assert one_field_encoder(field)(value) == expected
