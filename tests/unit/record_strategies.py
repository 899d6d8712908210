"""Any document of the model, and how to compare two of them with their types."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

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
