"""The tests behind the words and signs of a condition: =, <, LIKE, IN, CONTAINS and so on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from quiesce.errors import UnfitValue
from quiesce.records import RID
from quiesce.sql.expressions import Comparator
from quiesce.sql.texts import like, text_of
from quiesce.sql.values import compare, equal, is_collection, same


def _ordered(accept: Callable[[int], bool]) -> Callable[[Any, Any], bool]:
    def test(left: Any, right: Any) -> bool:
        order = compare(left, right)
        return order is not None and accept(order)

    return test


def _contains(value: Any, wanted: Any) -> bool:
    if not is_collection(value):
        return False
    if is_collection(wanted):
        # One item in brackets counts as the item; several would have to be an item themselves.
        if len(wanted) == 1 and _contains(value, next(iter(wanted))):
            return True
        return any(is_collection(item) and equal(item, wanted) for item in value)
    return any(same(item, wanted) for item in value)


def _within(value: Any, collection: Any) -> bool:
    if not is_collection(collection):
        return False
    if isinstance(value, str | RID):
        # What most lists hold, without a look at each item.
        if isinstance(collection, set | frozenset) and value in collection:
            return True
        if isinstance(collection, list) and value in collection:
            return True
    return any(equal(value, item) for item in collection)


def _contains_all(value: Any, wanted: Any) -> bool:
    items = wanted if is_collection(wanted) else [wanted]
    return is_collection(value) and all(any(same(item, one) for item in value) for one in items)


def _contains_any(value: Any, wanted: Any) -> bool:
    items = wanted if is_collection(wanted) else [wanted]
    return is_collection(value) and any(any(same(item, one) for item in value) for one in items)


def _matches(value: Any, pattern: Any) -> bool:
    return value is not None and pattern is not None and _regex(text_of(pattern)).fullmatch(text_of(value)) is not None


@lru_cache(64)
def _regex(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UnfitValue(detail=f"`{pattern}` is not a regular expression: {error}") from None


TESTS: dict[Comparator, Callable[[Any, Any], bool]] = {
    Comparator.EQUAL: equal,
    Comparator.NOT_EQUAL: lambda left, right: not equal(left, right),
    Comparator.LESS: _ordered(lambda order: order < 0),
    Comparator.LESS_OR_EQUAL: _ordered(lambda order: order <= 0),
    Comparator.GREATER: _ordered(lambda order: order > 0),
    Comparator.GREATER_OR_EQUAL: _ordered(lambda order: order >= 0),
    Comparator.LIKE: like,
    Comparator.MATCHES: _matches,
    Comparator.CONTAINS: _contains,
    Comparator.CONTAINS_ALL: _contains_all,
    Comparator.CONTAINS_ANY: _contains_any,
    Comparator.CONTAINS_KEY: lambda value, key: isinstance(value, Mapping) and text_of(key) in value,
    Comparator.CONTAINS_VALUE: lambda value, one: (
        isinstance(value, Mapping) and any(equal(item, one) for item in value.values())
    ),
    Comparator.CONTAINS_TEXT: lambda value, text: (
        isinstance(value, str) and text is not None and text_of(text) in value
    ),
    Comparator.IN: _within,
    Comparator.NOT_IN: lambda value, collection: not _within(value, collection),
}
# Those that go by the collate of a property.
COLLATED = frozenset(
    (
        Comparator.EQUAL,
        Comparator.NOT_EQUAL,
        Comparator.LESS,
        Comparator.LESS_OR_EQUAL,
        Comparator.GREATER,
        Comparator.GREATER_OR_EQUAL,
        Comparator.LIKE,
    )
)
